"""comparison.json and comparison.html: recipes side by side, with their sentences, tables and plots."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genrec.measure.recipes import Folder, Report, compare_recipes
from genrec.report import results, words
from genrec.report.page import duration, render
from genrec.report.result_plots import plots_of_recipes
from genrec.report.results import Row, Table

_LISTS = {
    "coverage": "Coverage: share of the catalogue in any list",
    "novelty": "Novelty: mean self-information of the listed items, bits",
    "diversity": "Diversity: 1 - Jaccard index of the categories of two items of a list",
    "tail_share": "Share of listed items outside the head",
}


def write_comparison(reports: Sequence[Report], out: Path, folder: Folder) -> dict[str, Any]:
    """Write comparison.json and comparison.html into `out`; returns the comparison, and "html", the page's path."""
    comparison = in_words(compare_recipes(reports, folder))
    out.mkdir(parents=True, exist_ok=True)
    (out / "comparison.json").write_text(json.dumps(comparison, indent=1) + "\n", encoding="utf-8")
    page = out / "comparison.html"
    page.write_text(_page(comparison), encoding="utf-8")
    return comparison | {"html": str(page)}


def in_words(figures: Mapping[str, Any]) -> dict[str, Any]:
    """comparison.json: the figures of `compare_recipes` with summary, columns and table (text), and warnings."""
    k, missing = figures["headline_k"], figures["left_out"]
    columns, table = results.as_text(_result_table(figures["rows"], k), "interval", "{:.4f} to {:.4f}")
    return {
        "summary": words.summary(figures),
        "columns": columns,
        "table": table,
        **{name: value for name, value in figures.items() if name not in ("left_out", "protocol")},
        "warnings": [f"not evaluated and left out: {', '.join(missing)}"] if missing else [],
        "protocol": words.protocol_in_words(figures["protocol"]),
    }


def _page(comparison: Mapping[str, Any]) -> str:
    k = comparison["headline_k"]
    return render(
        "compare.html.j2",
        comparison=comparison,
        results=_result_table(comparison["rows"], k),
        plots=plots_of_recipes(comparison),
        lists=_list_table(comparison["rows"]),
        slices=_slice_table(comparison["rows"], f"hr@{k}"),
        costs=_cost_table(comparison["rows"]),
        recipes=_recipe_table(comparison["recipes"]),
        meanings=list(_LISTS.values()),
    )


def _result_table(rows: Sequence[Row], k: int) -> Table:
    num_seeds = ("Seeds", lambda row: str(len(row["seeds"])))
    return results.result_table(rows, [f"hr@{k}", f"ndcg@{k}"], "", num_seeds)


def _list_table(rows: Sequence[Row]) -> Table:
    formats = {"coverage": "{:.1%}", "novelty": "{:.2f}", "diversity": "{:.3f}", "tail_share": "{:.1%}"}
    cells = [[row["label"], *(_show(row["lists"][n], form) for n, form in formats.items())] for row in rows]
    return {"columns": ["Model", "Coverage", "Novelty", "Diversity", "Tail"], "rows": cells}


def _slice_table(rows: Sequence[Row], metric: str) -> Table:
    slices = list(dict.fromkeys(s for row in rows for s in row["slices"]))
    cells = [[row["label"], *(f"{row['slices'][s][metric]['mean']:.4f}" for s in slices)] for row in rows]
    return {"columns": ["Model", *(f"{metric.upper()} {s}" for s in slices)], "rows": cells}


def _cost_table(rows: Sequence[Row]) -> Table:
    costs = [(row["label"], row["cost"]["train_seconds"], row["cost"]["lists_per_s"]) for row in rows]
    cells = [[label, "" if time is None else duration(time), _show(speed, "{:,.0f}")] for label, time, speed in costs]
    return {"columns": ["Model", "Training", "Lists a second"], "rows": cells}


_MEASURED = {  # of a recipe, along the way: (title, format, unit)
    "ids": ("Semantic ids", "{}", 1),
    "collision_rate_raw": ("Raw collision rate", "{:.2%}", 1),
    "shortened_by": ("Shorter than text by", "{:.1%}", 1),
    "adapter": ("Adapter", "{}", 1),
    "trainable_share": ("Trainable share", "{:.1%}", 1),
    "weight_bytes": ("Weights in memory, MiB", "{:,.1f}", 2**20),
    "peak_gpu_bytes": ("Peak GPU memory, MiB", "{:,.1f}", 2**20),
    "algorithm": ("RL", "{}", 1),
}


def _recipe_table(recipes: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [title, *(_show(recipe[name], form, unit) for recipe in recipes)]
        for name, (title, form, unit) in _MEASURED.items()
        if any(recipe.get(name) is not None for recipe in recipes)
    ]
    return {"columns": ["", *(recipe["name"] for recipe in recipes)], "rows": rows}


def _show(value: Any, form: str, unit: int = 1) -> str:
    return "" if value is None else form.format(value / unit if unit > 1 else value)
