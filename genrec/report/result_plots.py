"""Plots of results: metrics with intervals, paired differences, slices by popularity."""

from collections.abc import Mapping, Sequence
from typing import Any

from genrec.measure.comparison import TRAINED
from genrec.report import plots
from genrec.report.plots import Interval, Plot
from genrec.report.results import Row, pairs_of, rows_of

_PAIRED = "Paired on the same {}. An interval that touches zero does not tell the two apart."


def plots_of_run(report: Mapping[str, Any]) -> list[Plot]:
    """HR and NDCG of every model, differences to the model trained last, head/tail/cold slices."""
    k, level = report["protocol"]["headline_k"], _level(report["protocol"]["confidence"])
    rows = rows_of(report)
    drawn = metric_plots("m", rows, k, level)
    final = next((row["label"] for row in rows if row["recipe"] is not None and row["final"]), None)
    records = [(f"vs {c['against']}", c) for c in pairs_of(report) if c["row"] == final]
    drawn += difference_plots("m", {f"{final} against the others": records}, k, level, "users")
    return drawn + slice_plots("m", rows, k, level)


def plots_of_recipes(comparison: Mapping[str, Any]) -> list[Plot]:
    """HR and NDCG of every row, differences to the best baseline, what RL added."""
    k, rows, level = comparison["headline_k"], comparison["rows"], _level(comparison["confidence"])
    best = next((r["label"] for r in rows if r["recipe"] is None), None)
    sft_of = {r["recipe"]: r["label"] for r in rows if r["model"] == "sft" and r["recipe"] is not None}
    recipe_of = {r["label"]: r["recipe"] for r in rows}
    pairs = [(c["row"], c) for c in comparison["comparisons"]]
    groups = {
        f"Against the best baseline ({best})": [(row, c) for row, c in pairs if c["against"] == best],
        "What reinforcement learning changed": [
            (row, c) for row, c in pairs if c["against"] == sft_of.get(recipe_of[row])
        ],
    }
    return metric_plots("c", rows, k, level) + difference_plots("c", groups, k, level, "users and seeds")


def metric_plots(name: str, rows: Sequence[Row], k: int, level: str) -> list[Plot]:
    """HR@k and NDCG@k of every row."""
    drawn = []
    for metric in (f"hr@{k}", f"ndcg@{k}"):
        bars = [_interval(row["label"], row["metrics"][metric], row["recipe"] is not None) for row in rows]
        svg = plots.interval_plot(f"{name}-{metric.replace('@', '')}", bars, f"{metric.upper()}, {level}")
        drawn.append({"title": metric.upper(), "svg": svg, "note": "Round: trained here. Square: baseline."})
    return drawn


def difference_plots(
    name: str, groups: Mapping[str, Sequence[tuple[str, Mapping[str, Any]]]], k: int, level: str, paired_on: str
) -> list[Plot]:
    """A plot of differences in NDCG@k for each group {title: [(label, pair)]} that has any."""
    drawn = []
    for i, (title, records) in enumerate(groups.items()):
        bars = [
            _interval(label, {"mean": pair["difference"], "ci": pair["ci"]}, True)
            for label, pair in records
            if pair["metric"] == f"ndcg@{k}"
        ]
        if bars:
            svg = plots.interval_plot(f"{name}-diff{i}", bars, f"difference in NDCG@{k}, {level}", zero_line=True)
            drawn.append({"title": title, "svg": svg, "note": _PAIRED.format(paired_on)})
    return drawn


def slice_plots(name: str, rows: Sequence[Row], k: int, level: str) -> list[Plot]:
    """HR@k by popularity of the target, of the trained models and as many others as there are colours."""
    trained = [row for model in TRAINED for row in rows if row["model"] == model]
    shown = [*trained, *(row for row in rows if row["recipe"] is None)][: len(plots.SERIES)]
    slices = dict.fromkeys(s for row in rows for s in row["slices"])
    groups = {
        f"{s}\n({rows[0]['targets'][s]:,})": [
            _interval(row["label"], row["slices"][s][f"hr@{k}"], row["recipe"] is not None) for row in shown
        ]
        for s in slices
    }
    if not groups:
        return []
    svg = plots.grouped_intervals(f"{name}-slices", groups, f"HR@{k}, {level}")
    note = "By popularity of the target in training; in brackets the number of targets."
    return [{"title": f"HR@{k} on popular and rare items", "svg": svg, "note": note}]


def _interval(label: str, figure: Mapping[str, Any], trained: bool) -> Interval:
    low, high = figure["ci"]
    return Interval(label, figure["mean"], low, high, emphasis=trained)


def _level(confidence: float) -> str:
    return f"{confidence:.0%} interval"
