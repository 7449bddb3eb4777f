"""A report is a comparison of one run: the results of both in one shape, and their tables.

Results are a mapping as comparison.json holds it: rows [{label, recipe (None: a baseline), model, final, metrics {metric:
{mean, ci, by_seed}}, slices {slice: the same}, lists {coverage, ...}, part_of}], best first, those that are a part of
the score of another one (part_of) behind it, comparisons [{row, against, metric, difference, ci, share_in_favour,
relative}], recipes, unchanged (see `genrec.measure.unchanged`), headline_k and confidence; of a run also targets {slice: number} and, in a trained row, score {part: share}.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from genrec.measure.comparison import best_first, rows_of_run
from genrec.measure.unchanged import unchanged

Row = Mapping[str, Any]
Results = Mapping[str, Any]
Table = dict[str, Any]  # title, columns and rows [{trained, part, cells}]; a cell is a text or {mean, ci, best}
Columns = Mapping[str, Callable[[Row], Any]]  # name -> cell of a row
_LISTS = {  # what lists are like: (how it is written, what it means)
    "coverage": ("{:.1%}", "Coverage: share of the catalogue in any list"),
    "novelty": ("{:.2f}", "Novelty: mean self-information of the listed items, bits"),
    "diversity": ("{:.3f}", "Diversity: 1 - Jaccard index of the categories of two items of a list"),
    "tail_share": ("{:.1%}", "Tail share: share of listed items outside the head"),
}
LIST_MEANINGS = [meaning for _, meaning in _LISTS.values()]


def of_run(report: Mapping[str, Any]) -> Results:
    """The results of a run."""
    return {
        "rows": rows_of(report),
        "comparisons": [{"row": pair["model"], **pair} for pair in report["comparisons"]],
        "recipes": [],
        "unchanged": unchanged({report["name"]: [report]}),
        "headline_k": report["protocol"]["headline_k"],
        "confidence": report["protocol"]["confidence"],
        "targets": {
            name: slice_["targets"]
            for entry in report["metrics"].values()
            for name, slice_ in entry.get("slices", {}).items()
        },
    }


def rows_of(report: Mapping[str, Any], place: str = "") -> list[Row]:
    """The models of a run, best NDCG at the headline cut-off first.

    `place` is where the figures under the other protocol are (seen_kept or seen_dropped); the order stays the
    headline's, and what was not measured under it is left out.
    """
    k, metrics, score = report["protocol"]["headline_k"], report["metrics"], report.get("score", {})
    models = [m for m in metrics if m not in report.get("identical", {}) and (not place or place in metrics[m])]
    rows: list[Row] = []
    for row in best_first({row: metrics[row.model][f"ndcg@{k}"] for row in rows_of_run(models, report["name"])}):
        entry = metrics[row.model][place] if place else metrics[row.model]
        slices = {name: _figures(slice_) for name, slice_ in entry.get("slices", {}).items()}
        lists = {name: entry.get(f"{name}@{k}") for name in _LISTS}
        about = {"metrics": _figures(entry), "slices": slices, "lists": lists, "score": score.get(row.model)}
        rows.append({**dataclasses.asdict(row), **about})
    return rows


def _figures(entry: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        name: {"mean": entry[name], "ci": entry[f"{name}_ci"], "by_seed": [entry[name]]}
        for name in entry
        if f"{name}_ci" in entry
    }


# ---- tables -----------------------------------------------------------------------------------------------------------


def table_of(rows: Sequence[Row], columns: Columns, title: str = "") -> Table:
    """A table with a line for each row of the results."""
    lines = [
        {
            "trained": row["recipe"] is not None and not row["part_of"],
            "part": bool(row["part_of"]),
            "cells": [row["label"], *(cell(row) for cell in columns.values())],
        }
        for row in rows
    ]
    return {"title": title, "columns": ["Model", *columns], "rows": lines}


def result_table(rows: Sequence[Row], metrics: Sequence[str], last: Columns, title: str = "") -> Table:
    """Metrics with their intervals, the best of each marked, and the columns `last`."""
    best = {name: max(row["metrics"][name]["mean"] for row in rows) for name in metrics}

    def cell(name: str, row: Row) -> dict[str, Any]:
        figure = row["metrics"][name]
        return {**figure, "best": figure["mean"] == best[name]}

    return table_of(rows, {**{name.upper(): partial(cell, name) for name in metrics}, **last}, title)


def list_table(rows: Sequence[Row]) -> Table:
    """What the lists are like (see LIST_MEANINGS)."""

    def cell(name: str, row: Row) -> str:
        return shown(row["lists"][name], _LISTS[name][0].format)

    return table_of(rows, {name.replace("_", " ").capitalize(): partial(cell, name) for name in _LISTS})


def run_tables(report: Mapping[str, Any]) -> list[Table]:
    """The page's tables of a run: one a protocol."""
    ks, is_drop = report["protocol"]["ks"], report["protocol"]["seen_items"] == "drop"
    metrics, last = [f"{name}@{k}" for name in ("hr", "ndcg") for k in ks], _coverage(report)
    headline, place, other = ("dropped", "seen_kept", "kept") if is_drop else ("kept", "seen_dropped", "dropped")
    return [
        result_table(rows_of(report), metrics, last, f"Seen items {headline} (headline)"),
        result_table(rows_of(report, place), metrics, last, f"Seen items {other}"),
    ]


def terminal_rows(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """(columns, rows) of a run's results as text, best model first; no rows when nothing was evaluated."""
    if "metrics" not in report:
        return [], []
    k, level = report["protocol"]["headline_k"], f"{report['protocol']['confidence']:.0%}"
    table = result_table(rows_of(report), [f"hr@{k}", f"ndcg@{k}"], _coverage(report))
    return as_text(table, level, "{:.3f}-{:.3f}")


def _coverage(report: Mapping[str, Any]) -> Columns:
    k = report["protocol"]["headline_k"]
    return {f"Coverage@{k}": lambda row: shown(row["lists"]["coverage"], "{:.1%}".format)}


def as_text(table: Table, interval: str, form: str) -> tuple[list[str], list[list[str]]]:
    """(columns, rows) of a table of results for a terminal; `interval` heads the intervals, which `form` writes."""

    def texts(cell: Any) -> list[str]:
        return [cell] if isinstance(cell, str) else [f"{cell['mean']:.4f}", form.format(*cell["ci"])]

    named = zip(table["columns"], table["rows"][0]["cells"], strict=True)
    columns = [text for name, cell in named for text in [name, interval][: len(texts(cell))]]
    return columns, [[text for cell in row["cells"] for text in texts(cell)] for row in table["rows"]]


def shown(value: Any, write: Callable[[Any], str]) -> str:
    """A value as text, nothing where it is not known."""
    return "" if value is None else write(value)
