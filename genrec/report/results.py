"""One shape for the results of a run and of a comparison of recipes, and their tables.

A row is {label, recipe (None: a baseline), model, final, metrics {metric: {mean, ci}}, slices {slice: the same}, lists
{coverage, ...}, seeds}, as in comparison.json; a pair is {row, against, metric, difference, ci, share_in_favour,
relative}. A report is a comparison of one run: `rows_of` and `pairs_of` read both from a report.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from genrec.measure.comparison import rows_of_run

Row = Mapping[str, Any]
Table = dict[str, Any]  # title, columns, rows (see `result_table` and templates/macros.html.j2)
_OTHER_PROTOCOL = {"drop": "seen_kept", "keep": "seen_dropped"}


def rows_of(report: Mapping[str, Any]) -> list[Row]:
    """The models of a run, best NDCG at the headline cut-off first; under the headline protocol."""
    k = report["protocol"]["headline_k"]
    rows = []
    for row in rows_of_run(list(report["metrics"]), report["name"]):
        entry = report["metrics"][row.model]
        shown: dict[str, Any] = {"label": row.label, "recipe": row.recipe, "model": row.model, "final": row.final}
        shown |= {"metrics": _figures(entry), "slices": {s: _figures(e) for s, e in entry.get("slices", {}).items()}}
        rows.append(shown | {"lists": {"coverage": entry[f"coverage@{k}"]}, "targets": _targets(entry)})
    return best_first(rows, k)


def rows_under_the_other_protocol(report: Mapping[str, Any]) -> list[Row]:
    """The same rows, in the same order, with seen items kept where the headline drops them, and the other way round."""
    place, k = _OTHER_PROTOCOL[report["protocol"]["seen_items"]], report["protocol"]["headline_k"]
    entries = {row["model"]: report["metrics"][row["model"]][place] for row in rows_of(report)}
    return [
        {
            **row,
            "metrics": _figures(entries[row["model"]]),
            "lists": {"coverage": entries[row["model"]][f"coverage@{k}"]},
        }
        for row in rows_of(report)
    ]


def pairs_of(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The paired comparisons of a run."""
    return [{"row": pair["model"], **pair} for pair in report["comparisons"]]


def best_first(rows: Sequence[Row], k: int) -> list[Row]:
    """Rows by NDCG@k, best first; equal ones keep their order."""
    return sorted(rows, key=lambda row: -row["metrics"][f"ndcg@{k}"]["mean"])


def _figures(entry: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: {"mean": entry[name], "ci": entry[f"{name}_ci"]} for name in entry if f"{name}_ci" in entry}


def _targets(entry: Mapping[str, Any]) -> dict[str, int]:
    return {name: slice_["targets"] for name, slice_ in entry.get("slices", {}).items()}


# ---- tables -----------------------------------------------------------------------------------------------------------


def result_table(rows: Sequence[Row], metrics: Sequence[str], title: str, last: tuple[str, Callable]) -> Table:
    """Metrics with their intervals, for the page: {title, columns, rows [{label, trained, cells, last}]}.

    A cell is {value, low, high, best (of its column)}; `last` is (name, text of a row) of one column more.
    """
    best = {name: max(row["metrics"][name]["mean"] for row in rows) for name in metrics}
    shown = []
    for row in rows:
        figures = [(row["metrics"][name], best[name]) for name in metrics]
        cells = [
            {"value": f["mean"], "low": f["ci"][0], "high": f["ci"][1], "best": f["mean"] == highest}
            for f, highest in figures
        ]
        last_cell = last[1](row)
        shown.append({"label": row["label"], "trained": row["recipe"] is not None, "cells": cells, "last": last_cell})
    return {"title": title, "columns": [*(name.upper() for name in metrics), last[0]], "rows": shown}


def text_table(
    rows: Sequence[Row], k: int, interval: str, last: tuple[str, Callable], form: str
) -> tuple[list[str], list[list[str]]]:
    """(columns, rows) for a terminal; `interval` heads the intervals, which `form` writes."""
    columns = ["Model", f"HR@{k}", interval, f"NDCG@{k}", interval, last[0]]
    cells = []
    for row in rows:
        figures = [row["metrics"][name] for name in (f"hr@{k}", f"ndcg@{k}")]
        shown = [text for f in figures for text in (f"{f['mean']:.4f}", form.format(*f["ci"]))]
        cells.append([row["label"], *shown, last[1](row)])
    return columns, cells


def coverage(k: int) -> tuple[str, Callable]:
    """The last column of a run's tables."""
    return f"Coverage@{k}", lambda row: f"{row['lists']['coverage']:.1%}"


def num_seeds() -> tuple[str, Callable]:
    """The last column of a comparison's tables."""
    return "Seeds", lambda row: str(len(row["seeds"]))


def terminal_rows(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """(columns, rows) of a run's results as text, best model first; no rows when nothing was evaluated."""
    if "metrics" not in report:
        return [], []
    k, level = report["protocol"]["headline_k"], f"{report['protocol']['confidence']:.0%}"
    return text_table(rows_of(report), k, level, coverage(k), "{:.3f}-{:.3f}")


def run_tables(report: Mapping[str, Any]) -> list[Table]:
    """The page's tables of a run: one a protocol."""
    seen, k = report["protocol"]["seen_items"], report["protocol"]["headline_k"]
    metrics = [f"{name}@{cut}" for name in ("hr", "ndcg") for cut in report["protocol"]["ks"]]
    titles = {"drop": "Seen items dropped from the ranking", "keep": "Seen items kept in the ranking"}
    other = titles["keep" if seen == "drop" else "drop"]
    return [
        result_table(rows_of(report), metrics, f"{titles[seen]} (headline)", coverage(k)),
        result_table(rows_under_the_other_protocol(report), metrics, other, coverage(k)),
    ]
