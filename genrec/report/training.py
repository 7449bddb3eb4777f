"""Curves of training, from the log of an sft or rl artifact."""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import polars as pl

from genrec import tables
from genrec.report.plots import Plot, line_plot

_CURVE, _FROM_ZERO, _VALIDATION = {"smooth": True}, {"smooth": True, "from_zero": True}, {"mark_best": True}
_LOSS = "Cross-entropy of the next item's codes, summed over the levels, in nats."
_HITS = "Share of candidate groups that hold the target, before any repair, and of those without a hit."
_ENTROPY = "Of the candidates of a group, nats; towards 0 the policy knows only one item."
_RINGED = "Step 0 is the SFT model; the highest is ringed."
_VALID = ("valid_hr@10", "valid_ndcg@10")
_PLOTS: dict[str, list[tuple[str, str, tuple[str, ...], dict[str, Any]]]] = {  # title, note, figures, how drawn
    "sft": [
        ("Training loss", _LOSS, ("loss", "valid_loss"), _CURVE),
        ("Validation", "The ringed checkpoint is the best.", _VALID, _VALIDATION),
    ],
    "rl": [
        ("Reward", "Mean over the candidates of a step; of several terms, each.", ("reward", "reward_*"), _CURVE),
        ("Hit rate", _HITS, ("hit_rate", "empty_groups"), _FROM_ZERO),
        ("KL divergence", "From the SFT model, nats a token.", ("kl",), _FROM_ZERO),
        ("Entropy", _ENTROPY, ("entropy",), _FROM_ZERO),
        ("Distinct items", "Different items among all candidates of a step.", ("distinct_items",), _FROM_ZERO),
        ("Value loss", "Of the value head, weighted.", ("value_loss",), _FROM_ZERO),
        ("Validation", _RINGED, _VALID, _VALIDATION),
        ("Validation reward", f"Of a listed item. {_RINGED}", ("valid_reward",), _VALIDATION),
    ],
}


def read_log(path: Path) -> dict[str, tuple[list[float], list[float]]]:
    """training_log.parquet as {figure: (steps, values)}; figures that are not finite are left out."""
    log = pl.DataFrame(tables.read_table(path, tables.TRAINING_LOG)).filter(pl.col("value").is_finite()).sort("step")
    figures = log.partition_by("name", as_dict=True)
    return {name: (rows["step"].to_list(), rows["value"].to_list()) for (name,), rows in figures.items()}


def training_plots(stage: str, folder: Path) -> list[Plot]:
    """Curves of an sft or rl artifact, whichever figures its log has."""
    path = tables.TRAINING_LOG_FILE.path(folder)
    log = read_log(path) if path.is_file() else {}
    x_label = "optimizer step" if stage == "sft" else "update"
    drawn = []
    for i, (title, note, patterns, how) in enumerate(_PLOTS[stage]):
        series = {_plain(n): log[n] for pattern in patterns for n in log if fnmatchcase(n, pattern)}
        if series:
            drawn.append(line_plot(f"{stage}-{i}", title, note, series, x_label, **how))
    return drawn


def _plain(name: str) -> str:
    if name.startswith("valid_") and "@" in name:
        return name.removeprefix("valid_").upper()
    return name.removeprefix("reward_").replace("_", " ")
