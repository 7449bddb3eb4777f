"""Curves of training, from the log of an sft or rl artifact."""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from genrec import tables
from genrec.report import plots
from genrec.report.plots import Plot


def read_log(path: Path) -> dict[str, tuple[list[float], list[float]]]:
    """training_log.parquet as {figure: (steps, values)}; figures that are not finite are left out."""
    table = tables.read_table(path, tables.TRAINING_LOG)
    table = table.filter(pc.is_finite(table["value"]))
    series = {}
    for name in pc.unique(table["name"]).to_pylist():
        rows = table.filter(pc.equal(table["name"], name)).sort_by("step")
        series[name] = (rows["step"].to_pylist(), rows["value"].to_pylist())
    return series


_SFT_PLOTS: tuple[tuple[str, str, tuple[str, ...], dict[str, Any]], ...] = (
    (
        "Training loss",
        "Cross-entropy of the next item's codes, summed over the levels, in nats.",
        ("loss", "valid_loss"),
        {"smooth": True},
    ),
    ("Validation", "The ringed checkpoint is the best.", ("valid_hr@10", "valid_ndcg@10"), {"mark_best": True}),
)
_RL_PLOTS: tuple[tuple[str, str, tuple[str, ...], dict[str, Any]], ...] = (
    ("Reward", "Mean over the candidates of a step; of several terms, each.", ("reward", "reward_*"), {"smooth": True}),
    (
        "Hit rate",
        "Share of candidate groups that hold the target, before any repair, and of those without a hit.",
        ("hit_rate", "empty_groups"),
        {"smooth": True, "from_zero": True},
    ),
    ("KL divergence", "From the SFT model, nats a token.", ("kl",), {"smooth": True, "from_zero": True}),
    (
        "Entropy",
        "Of the candidates of a group, nats; towards 0 the policy knows only one item.",
        ("entropy",),
        {"smooth": True, "from_zero": True},
    ),
    (
        "Distinct items",
        "Different items among all candidates of a step.",
        ("distinct_items",),
        {"smooth": True, "from_zero": True},
    ),
    ("Value loss", "Of the value head, weighted.", ("value_loss",), {"smooth": True, "from_zero": True}),
    (
        "Validation",
        "Step 0 is the SFT model; the best checkpoint is ringed.",
        ("valid_hr@10", "valid_ndcg@10"),
        {"mark_best": True},
    ),
)


def training_plots(stage: str, folder: Path) -> list[Plot]:
    """Curves of an sft or rl artifact, whichever figures its log has."""
    path = folder / "training_log.parquet"
    log = read_log(path) if path.is_file() else {}
    made = []
    for i, (title, note, names, how) in enumerate(_SFT_PLOTS if stage == "sft" else _RL_PLOTS):
        present = [n for name in names for n in ([n for n in log if fnmatchcase(n, name)] if "*" in name else [name])]
        series = {_plain(name): log[name] for name in present if name in log}
        if series:
            label = "optimizer step" if stage == "sft" else "update"
            svg = plots.line_plot(f"{stage}-{i}", series, label, **how)
            made.append({"title": title, "svg": svg, "note": note})
    return made


def _plain(name: str) -> str:
    if name.startswith("valid_") and "@" in name:
        return name.removeprefix("valid_").upper()
    return name.removeprefix("reward_").replace("_", " ")
