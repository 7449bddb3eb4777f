"""What the page shows beside the figures of report.json: plots, result tables, examples a person can judge."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from genrec import tables
from genrec.data.targets import read_targets
from genrec.measure.verdict import TRAINED
from genrec.report import plots
from genrec.report.collect import code_counts, num_codes_of
from genrec.report.plots import Interval
from genrec.tables import read_sids

Plot = dict[str, str]  # title, svg, note
_OTHER = {"drop": "seen_kept", "keep": "seen_dropped"}


def ranked_models(report: Mapping[str, Any]) -> list[str]:
    """Models by NDCG at the headline cut-off, best first."""
    k = report["protocol"]["headline_k"]
    return sorted(report["metrics"], key=lambda m: -report["metrics"][m][f"ndcg@{k}"])


def result_tables(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One table a protocol: {title, columns, rows [{model, trained, cells [{value, low, high, best}]}]}."""
    seen = report["protocol"]["seen_items"]
    names = [f"{m}@{k}" for m in ("hr", "ndcg") for k in report["protocol"]["ks"]]
    titles = {"drop": "Seen items dropped from the ranking", "keep": "Seen items kept in the ranking"}
    other = "keep" if seen == "drop" else "drop"
    results = []
    for protocol, place in ((seen, None), (other, _OTHER[seen])):
        entries = {m: e if place is None else e[place] for m, e in report["metrics"].items()}
        best = {name: max(e[name] for e in entries.values()) for name in names}
        rows = [
            {
                "model": model,
                "trained": model in TRAINED,
                "cells": [_cell(entries[model], name, best[name]) for name in names],
                "coverage": entries[model][f"coverage@{report['protocol']['headline_k']}"],
            }
            for model in ranked_models(report)
        ]
        title = titles[protocol] + (" (headline)" if place is None else "")
        results.append({"title": title, "columns": [n.upper() for n in names], "rows": rows})
    return results


def _cell(entry: Mapping[str, Any], name: str, best: float) -> dict[str, Any]:
    low, high = entry[f"{name}_ci"]
    return {"value": entry[name], "low": low, "high": high, "best": entry[name] == best}


def metric_plots(report: Mapping[str, Any]) -> list[Plot]:
    """HR and NDCG by model with their intervals, differences to the last trained model, head/tail/cold slices."""
    k = report["protocol"]["headline_k"]
    level = f"{report['protocol']['confidence']:.0%} interval"
    metrics, order = report["metrics"], ranked_models(report)
    made = []
    for name in (f"hr@{k}", f"ndcg@{k}"):
        rows = [_interval(model, metrics[model], name) for model in order]
        svg = plots.interval_plot(f"m-{name.replace('@', '')}", rows, f"{name.upper()}, {level}")
        made.append({"title": name.upper(), "svg": svg, "note": "Round: trained here. Square: baseline."})
    trained = [m for m in TRAINED if m in metrics]
    if trained:
        pairs = [c for c in report["comparisons"] if c["model"] == trained[-1] and c["metric"] == f"ndcg@{k}"]
        rows = [Interval(f"vs {c['against']}", c["difference"], c["ci"][0], c["ci"][1], emphasis=True) for c in pairs]
        if rows:
            svg = plots.interval_plot("m-diff", rows, f"difference in NDCG@{k}, {level}", zero_line=True)
            note = "Paired on the same users. An interval that touches zero does not tell the two apart."
            made.append({"title": f"{trained[-1]} against the others", "svg": svg, "note": note})
    slices = dict.fromkeys(s for m in order for s in metrics[m].get("slices", {}))
    shown = [*trained, *[m for m in order if m not in trained]][: len(plots.SERIES)]
    groups = {
        f"{s}\n({metrics[order[0]]['slices'][s]['targets']:,})": [
            _interval(m, metrics[m]["slices"][s], f"hr@{k}") for m in shown
        ]
        for s in slices
    }
    if groups:
        svg = plots.grouped_intervals("m-slices", groups, f"HR@{k}, {level}")
        note = "By popularity of the target in training; in brackets the number of targets."
        made.append({"title": f"HR@{k} on popular and rare items", "svg": svg, "note": note})
    return made


def _interval(model: str, entry: Mapping[str, Any], name: str) -> Interval:
    low, high = entry[f"{name}_ci"]
    return Interval(model, entry[name], low, high, emphasis=model in TRAINED)


# ---- training ---------------------------------------------------------------------------------------------------------


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
        found = [n for name in names for n in ([n for n in log if fnmatchcase(n, name)] if "*" in name else [name])]
        series = {_plain(name): log[name] for name in found if name in log}
        if series:
            label = "optimizer step" if stage == "sft" else "update"
            svg = plots.line_plot(f"{stage}-{i}", series, label, **how)
            made.append({"title": title, "svg": svg, "note": note})
    return made


def _plain(name: str) -> str:
    if name.startswith("valid_") and "@" in name:
        return name.removeprefix("valid_").upper()
    return name.removeprefix("reward_").replace("_", " ")


# ---- data, semantic ids, examples -------------------------------------------------------------------------------------


def quarantine_plot(report: Mapping[str, Any]) -> Plot | None:
    """Rows set aside by reason."""
    reasons = report["data"]["quarantined"]
    if not reasons:
        return None
    total = sum(reasons.values())
    svg = plots.bar_plot("quarantine", {k.replace("_", " "): v for k, v in reasons.items()}, "rows set aside")
    return {"title": "Quarantine", "svg": svg, "note": f"{total:,} rows were not usable and were set aside, by reason."}


def code_plot(sid: Path, config: Mapping[str, Any]) -> Plot:
    """How evenly the codes of each level are used."""
    sids = read_sids(sid)
    svg = plots.code_usage("codes", code_counts(sids, num_codes_of(config, sids)))
    return {
        "title": "Items per code",
        "svg": svg,
        "note": "A flat curve is an evenly used level; where it ends early, the rest of the codes is unused.",
    }


def sid_examples(sid: Path, prepared: Path, num_groups: int = 3, num_shown: int = 4) -> list[dict[str, Any]]:
    """Items that share all codes but the last: [{prefix, items [{sid, title, brand}]}].

    Groups of at least three items, taken at even distances in the order of their prefixes: no hand-picking.
    """
    sids = read_sids(sid)
    prefixes, inverse, counts = np.unique(sids[:, :-1], axis=0, return_inverse=True, return_counts=True)
    wanted = min(3, int(counts.max()))
    groups = np.flatnonzero(counts >= wanted)
    groups = groups[np.linspace(0, len(groups) - 1, min(num_groups, len(groups))).round().astype(int)]
    catalogue = tables.read_table(prepared / "catalogue.parquet", columns=["item_id", "title", "brand"])
    made = []
    for group in groups:
        items = np.flatnonzero(inverse.ravel() == group)[:num_shown]
        rows = catalogue.take(items).to_pylist()
        shown = [
            {"sid": _show_sid(sids[i]), "title": row["title"] or row["item_id"], "brand": row["brand"]}
            for i, row in zip(items, rows, strict=True)
        ]
        made.append({"prefix": _show_sid(prefixes[group]), "size": int(counts[group]), "items": shown})
    return made


def _show_sid(codes: np.ndarray) -> str:
    return "-".join(str(c) for c in codes)


def recommendation_examples(
    report: Mapping[str, Any], evaluate: Path, prepared: Path, num_rows: int = 3
) -> list[dict[str, Any]]:
    """Test rows at even distances with the list of the last trained (else best) model: no hand-picking."""
    trained = [m for m in TRAINED if m in report["metrics"]]
    model = trained[-1] if trained else ranked_models(report)[0]
    wanted = (pc.field("model") == model) & (pc.field("seen_items") == report["protocol"]["seen_items"])
    table = tables.read_table(evaluate / "predictions.parquet", tables.PREDICTIONS).filter(wanted)
    places = (
        np.linspace(0, len(table) - 1, num_rows + 2).round().astype(int)[1:-1]
        if len(table) > 2
        else np.arange(len(table))
    )
    table = table.take(places)
    histories = read_targets(prepared / "test.parquet", places).histories
    names = tables.read_table(prepared / "catalogue.parquet", columns=["item_id", "title"])
    titles = [
        title or item for title, item in zip(names["title"].to_pylist(), names["item_id"].to_pylist(), strict=True)
    ]
    return [
        {
            "model": model,
            "history": [titles[i] for i in history[-5:]],
            "earlier": max(0, len(history) - 5),
            "target": titles[row["target"]],
            "rank": row["rank"] + 1 if row["rank"] >= 0 else None,
            "items": [{"title": titles[i], "hit": i == row["target"]} for i in row["items"][:5]],
        }
        for row, history in zip(table.to_pylist(), histories, strict=True)
    ]
