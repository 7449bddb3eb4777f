"""The section on ranking of a run's report: what the channels find, what the ranking gains, and why, in words and plots."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genrec import tables
from genrec.report.fronts import front_plots
from genrec.report.plots import Plot, bar_plot, line_plot
from genrec.report.results import Table

_FIGURES = ("hr@1", "hr@5", "hr@10", "hr@20", "hr@50", "ndcg@10", "ndcg@50", "mrr", "map", "auc", "gauc")
_MOST_FEATURES = 15
_OF_SEGMENT = {"events": "{:.1f}", "head_share": "{:.0%}"}  # means over its users


def ranking_section(facts: Mapping[str, Any], prepared: Path | None) -> dict[str, Any]:
    """{sentences, tables, plots} of what the rank stage found (`genrec.measure.ranked`); `prepared` names items."""
    found = [_channels(facts["retrieval"])]
    plots: list[Plot] = []
    if "ranking" in facts:
        found.append(_figures(facts["ranking"]["metrics"]))
        found += [_segments(rows)] if (rows := facts["ranking"].get("segments")) else []
        plots += [_calibration(facts["ranking"]["calibration"]), *_importance(facts["ranking"]["importance"])]
    if facts.get("groups"):
        found.append(_groups(facts["groups"]))
    if facts.get("explained") and prepared is not None:
        found.append(_explained(facts["explained"], prepared))
    if "rerank" in facts:
        found.append(_reranked(facts["rerank"]))
        plots += [plot for front in facts["rerank"]["fronts"] for plot in front_plots(front)]
    return {"sentences": sentences(facts), "tables": found, "plots": plots}


def sentences(facts: Mapping[str, Any]) -> list[str]:
    """Whether the ranking is used and why, the ceiling, and what it took."""
    retrieval, said = facts["retrieval"], []
    if "ranking" in facts:
        summary = facts["ranking"]
        gain, name = summary["gain"], summary["ranker"]
        state = "is used" if facts["use"] else "is not used"
        low, high = gain["ci"]
        said.append(
            f"The ranking by {name} {state}: NDCG@10 on validation users that it has not learned from is {gain['after']:.4f}, "
            f"in the generator's order {gain['before']:.4f} (difference {gain['difference']:+.4f}, interval {low:+.4f} to "
            f"{high:+.4f})."
        )
    said.append(
        f"Of the validation rows {retrieval['ceiling']:.1%} have the target among their {retrieval['candidates']:.0f} candidates: "
        f"no order reaches more. The channels together have {retrieval['union']:.1%} among their first {retrieval['k']}."
    )
    if "rerank" in facts:
        rerank = facts["rerank"]
        said.append(
            f"Re-ranking was tuned on the lists of {rerank['tuned_on']:,} validation users and is judged on those of "
            f"{rerank['judged_on']:,} others."
        )
        said += [f"Re-ranking, {what}: {count:,}." for what, count in rerank["warnings"].items()]
    seconds = ", ".join(f"{name} {value:.1f} s" for name, value in facts["seconds"].items())
    said.append(f"Time: {seconds}; at most {facts['peak_memory_gib']:.2f} GiB of memory.")
    return said


def _channels(retrieval: Mapping[str, Any]) -> Table:
    k = retrieval["k"]
    by_recall = sorted(retrieval["channels"].items(), key=lambda pair: -pair[1]["recall"])
    rows = [[name, *(f"{of[part]:.1%}" for part in ("recall", "adds", "queries"))] for name, of in by_recall]
    title = f"What each channel finds among its first {k} (validation)"
    return _table(title, ["Channel", "Has the target", "No other has it", "Lists anything"], rows)


def _figures(metrics: Mapping[str, Mapping[str, float]]) -> Table:
    names = [name for name in _FIGURES if any(name in of for of in metrics.values())]
    first = [order for order in ("ranking", "generator") if order in metrics]
    others = sorted((o for o in metrics if o not in first), key=lambda o: -metrics[o]["ndcg@10"])
    rows = [
        [order, *(f"{metrics[order][name]:.4f}" if name in metrics[order] else "" for name in names)]
        for order in (*first, *others)
    ]
    return _table("The candidates in the order of each (validation)", ["Order", *map(str.upper, names)], rows)


def _segments(segments: list[Mapping[str, Any]]) -> Table:
    rows = [
        [
            str(of["segment"]),
            f"{of['lists']:,}",
            *("" if of.get(name) is None else text.format(of[name]) for name, text in _OF_SEGMENT.items()),
            *(f"{of[order]['ndcg@10']:.4f}" for order in ("ranking", "generator")),
            f"{of['ranking']['ndcg@10'] - of['generator']['ndcg@10']:+.4f}",
        ]
        for of in segments
    ]
    columns = ["Segment", "Lists", "Events", "Popular items", "Ranking NDCG@10", "Generator NDCG@10", "Difference"]
    return _table("By segment of users (validation)", columns, rows)


def _groups(groups: list[Mapping[str, Any]]) -> Table:
    rows = [
        [row["group"], str(row["features"]), f"{row['gain']['difference']:+.4f}", _interval(row["gain"]["ci"])]
        for row in groups
    ]
    columns = ["Features", "Number", "NDCG@10", "Interval"]
    return _table("What is lost without each group of features (validation)", columns, rows)


def _explained(explained: Mapping[str, Any], prepared: Path) -> Table:
    titles = tables.CATALOGUE_FILE.read(prepared, ["title"])["title"].to_pylist()
    rows = []
    for candidate in explained["candidates"]:
        parts = [f"{each['name']} {each['contribution']:+.3f}" for each in candidate["features"]]
        title = titles[candidate["item"]] or f"item {candidate['item']}"
        mark = " (came next)" if candidate["is_next"] else ""
        rows.append([f"{title[:80]}{mark}", f"{candidate['score']:.3f}", ", ".join(parts)])
    return _table("One list: what made the scores (SHAP values)", ["Item", "Score", "Largest parts"], rows)


def _reranked(rerank: Mapping[str, Any]) -> Table:
    rows = [
        [row["step"], row["figure"].replace("_", " "), f"{row['before']:.4f}", f"{row['after']:.4f}",
         f"{row['difference']:+.4f}", _interval(row["ci"])]
        for row in rerank["table"]
        if row["difference"] is not None
    ]  # fmt: skip
    columns = ["Step", "Figure", "Before", "After", "Difference", "Interval"]
    return _table("What each step of re-ranking gains and costs (other validation users)", columns, rows)


def _calibration(calibration: Mapping[str, Any]) -> Plot:
    bins = calibration["bins"]
    number = list(range(1, len(bins) + 1))
    note = (
        "Share of candidates that came next, in %, by bin of equally many candidates, the least likely first; expected "
        f"calibration error {calibration['ece']:.4f}. Validation, probabilities by the other half of the users."
    )
    series = {name: (number, [100 * each[name] for each in bins]) for name in ("predicted", "observed")}
    return line_plot("ranking-calibration", "Calibration", note, series, "bin")


def _importance(importance: Mapping[str, float]) -> list[Plot]:
    if not importance:
        return []
    bars = {name: 100 * share for name, share in list(importance.items())[:_MOST_FEATURES]}
    note = "Share of the gain of all splits, mean over the models."
    return [bar_plot("ranking-importance", "Features that the ranker uses most", note, bars, "%")]


def _table(title: str, columns: list[str], rows: list[list[str]]) -> Table:
    return {"title": title, "columns": columns, "rows": [{"trained": False, "cells": cells} for cells in rows]}


def _interval(ends: Any) -> str:
    return f"{ends[0]:+.4f} to {ends[1]:+.4f}" if ends else ""
