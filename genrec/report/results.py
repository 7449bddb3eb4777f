"""One shape for the results of a run and of a comparison of recipes, and their tables.

A row is {label, recipe (None: a baseline), model, final, metrics {metric: {mean, ci}}, slices {slice: the same}, lists
{coverage, ...}, seeds}, as in comparison.json; a pair is {row, against, metric, difference, ci, share_in_favour,
relative}. A report is a comparison of one run: `rows_of` and `pairs_of` read both from a report.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from genrec.measure.comparison import rows_of_run

Row = Mapping[str, Any]
Table = dict[str, Any]  # title, columns, rows (see `result_table` and templates/macros.html.j2)
_OTHER_PROTOCOL = {"drop": "seen_kept", "keep": "seen_dropped"}


def rows_of(report: Mapping[str, Any], place: str | None = None) -> list[Row]:
    """The models of a run, best NDCG at the headline cut-off first.

    `place` is where the figures under the other protocol are (seen_kept or seen_dropped); the order stays the headline's.
    """
    k, metrics = report["protocol"]["headline_k"], report["metrics"]
    rows = []
    for row in rows_of_run(list(metrics), report["name"]):
        entry = metrics[row.model][place] if place else metrics[row.model]
        slices = entry.get("slices", {})
        shown = {"metrics": _figures(entry), "slices": {name: _figures(slice_) for name, slice_ in slices.items()}}
        targets = {name: slice_["targets"] for name, slice_ in slices.items()}
        lists = {"coverage": entry[f"coverage@{k}"]}
        rows.append({**dataclasses.asdict(row), **shown, "targets": targets, "lists": lists})
    return sorted(rows, key=lambda row: -metrics[row["model"]][f"ndcg@{k}"])


def pairs_of(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The paired comparisons of a run."""
    return [{"row": pair["model"], **pair} for pair in report["comparisons"]]


def _figures(entry: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: {"mean": entry[name], "ci": entry[f"{name}_ci"]} for name in entry if f"{name}_ci" in entry}


# ---- tables -----------------------------------------------------------------------------------------------------------


def result_table(rows: Sequence[Row], metrics: Sequence[str], title: str, last: tuple[str, Callable]) -> Table:
    """Metrics with their intervals, for the page: {title, columns, rows [{label, trained, cells, last}]}.

    A cell is {mean, ci, best (of its column)}; `last` is (name, text of a row) of one column more.
    """
    best = {name: max(row["metrics"][name]["mean"] for row in rows) for name in metrics}
    shown = [
        {
            "label": row["label"],
            "trained": row["recipe"] is not None,
            "cells": [{**row["metrics"][name], "best": row["metrics"][name]["mean"] == best[name]} for name in metrics],
            "last": last[1](row),
        }
        for row in rows
    ]
    return {"title": title, "columns": [*(name.upper() for name in metrics), last[0]], "rows": shown}


def as_text(table: Table, interval: str, form: str) -> tuple[list[str], list[list[str]]]:
    """(columns, rows) of a table of results for a terminal; `interval` heads the intervals, which `form` writes."""
    *metrics, last = table["columns"]
    cells = [
        [row["label"], *(t for c in row["cells"] for t in (f"{c['mean']:.4f}", form.format(*c["ci"]))), row["last"]]
        for row in table["rows"]
    ]
    return ["Model", *(column for name in metrics for column in (name, interval)), last], cells


def coverage(k: int) -> tuple[str, Callable]:
    """The last column of a run's tables."""
    return f"Coverage@{k}", lambda row: f"{row['lists']['coverage']:.1%}"


def terminal_rows(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """(columns, rows) of a run's results as text, best model first; no rows when nothing was evaluated."""
    if "metrics" not in report:
        return [], []
    k, level = report["protocol"]["headline_k"], f"{report['protocol']['confidence']:.0%}"
    table = result_table(rows_of(report), [f"hr@{k}", f"ndcg@{k}"], "", coverage(k))
    return as_text(table, level, "{:.3f}-{:.3f}")


def run_tables(report: Mapping[str, Any]) -> list[Table]:
    """The page's tables of a run: one a protocol."""
    seen, k = report["protocol"]["seen_items"], report["protocol"]["headline_k"]
    metrics = [f"{name}@{cut}" for name in ("hr", "ndcg") for cut in report["protocol"]["ks"]]
    titles = {"drop": "Seen items dropped from the ranking", "keep": "Seen items kept in the ranking"}
    other = titles["keep" if seen == "drop" else "drop"]
    return [
        result_table(rows_of(report), metrics, f"{titles[seen]} (headline)", coverage(k)),
        result_table(rows_of(report, _OTHER_PROTOCOL[seen]), metrics, other, coverage(k)),
    ]
