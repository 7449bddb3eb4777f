"""Plots of results: metrics with intervals, slices by popularity, paired differences."""

from genrec.measure.comparison import RANKED
from genrec.report.plots import Interval, Plot, interval_plot
from genrec.report.results import Results

_PAIRED = "{:.0%} intervals, paired on the same users and seeds. One that touches zero does not tell the two apart."


def result_plots(results: Results) -> list[Plot]:
    """HR and NDCG of every row; differences of the best trained model to the others, and of each to where it began."""
    k = results["headline_k"]
    return [_figures(results, f"hr@{k}"), _figures(results, f"ndcg@{k}"), *_differences(results)]


def slice_plots(results: Results) -> list[Plot]:
    """HR of every row by the popularity of the target in training."""
    return [_figures(results, f"hr@{results['headline_k']}", name) for name in results["rows"][0]["slices"]]


def _figures(results: Results, metric: str, slice_: str = "") -> Plot:
    rows, targets = results["rows"], results.get("targets", {}).get(slice_)
    measured = [(row["slices"][slice_] if slice_ else row["metrics"])[metric] for row in rows]
    intervals = [
        Interval(row["label"], figure["mean"], figure["ci"], row["recipe"] is not None, bool(row["part_of"]))
        for row, figure in zip(rows, measured, strict=True)
    ]
    title = f"{metric.upper()}{slice_ and f', {slice_} items'}"
    of_parts = ", small: a part of the score of the row above, alone" if any(row["part_of"] for row in rows) else ""
    marks = f"Round: trained here{of_parts}. Square: baseline."
    note = f"{f'{targets:,} targets. ' if targets else ''}{results['confidence']:.0%} intervals. {marks}"
    name = f"{metric.replace('@', '')}-{slice_ or 'all'}"
    return interval_plot(name, title, note, intervals, metric.upper())


def _differences(results: Results) -> list[Plot]:
    rows, metric = results["rows"], f"ndcg@{results['headline_k']}"
    trained = [row for row in rows if row["recipe"] is not None and not row["part_of"]]
    best = next((row["label"] for row in rows if row["recipe"] is None), None)
    final = next((row["label"] for row in trained if row["final"]), None)
    sft_of = {row["recipe"]: row["label"] for row in trained if row["model"] == "sft"}
    start = {row["label"]: sft_of.get(row["recipe"]) for row in trained if row["model"] == "rl"}
    ranked = [row["label"] for row in trained if row["model"] in RANKED]
    models = [row["label"] for row in trained]
    place = {row["label"]: i for i, row in enumerate(rows)}
    pairs = [pair for pair in results["comparisons"] if pair["metric"] == metric]
    pairs.sort(key=lambda pair: (place[pair["row"]], place[pair["against"]]))
    groups = {
        f"{final} against the others": [(f"vs {p['against']}", p) for p in pairs if p["row"] == final],
        "Against the best baseline": [(p["row"], p) for p in pairs if p["against"] == best and len(trained) > 1],
        "What reinforcement learning changed": [(p["row"], p) for p in pairs if p["against"] == start.get(p["row"])],
        "What ranking changed": [
            (f"{p['row']} vs {p['against']}", p) for p in pairs if p["row"] in ranked and p["against"] in models
        ],
    }
    note, x_label = _PAIRED.format(results["confidence"]), f"difference in {metric.upper()}"
    note += f" The best baseline is {best}." if best else ""
    return [
        interval_plot(
            f"difference-{i}", title, note,
            [Interval(label, pair["difference"], pair["ci"], emphasis=True) for label, pair in group],
            x_label, differences=True,
        )
        for i, (title, group) in enumerate(groups.items())
        if group
    ]  # fmt: skip
