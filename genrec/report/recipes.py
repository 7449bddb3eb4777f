"""comparison.json and comparison.html: recipes side by side, with their sentences, tables and plots."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genrec.measure.recipes import Folder, Report, compare_recipes
from genrec.report import results, words
from genrec.report.page import duration, render
from genrec.report.result_plots import plots_of_recipes

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
    columns, table = results.text_table(figures["rows"], k, "interval", results.num_seeds(), "{:.4f} to {:.4f}")
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
        results=results.result_table(comparison["rows"], [f"hr@{k}", f"ndcg@{k}"], "", results.num_seeds()),
        plots=plots_of_recipes(comparison),
        lists=list_table(comparison["rows"]),
        slices=slice_table(comparison["rows"], f"hr@{k}"),
        costs=cost_table(comparison["rows"]),
        recipes=recipe_table(comparison["recipes"]),
        meanings=list(_LISTS.values()),
    )


Table = dict[str, Any]  # columns, rows (cells of text)


def list_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Coverage, novelty, diversity and share of the tail."""
    formats = {"coverage": "{:.1%}", "novelty": "{:.2f}", "diversity": "{:.3f}", "tail_share": "{:.1%}"}
    cells = [[r["label"], *(_show(r["lists"][n], f) for n, f in formats.items())] for r in rows]
    return {"columns": ["Model", "Coverage", "Novelty", "Diversity", "Tail"], "rows": cells}


def slice_table(rows: Sequence[Mapping[str, Any]], metric: str) -> Table:
    """One metric on popular, rare and new targets."""
    slices = list(dict.fromkeys(s for r in rows for s in r["slices"]))
    cells = [[r["label"], *(f"{r['slices'][s][metric]['mean']:.4f}" for s in slices)] for r in rows]
    return {"columns": ["Model", *(f"{metric.upper()} {s}" for s in slices)], "rows": cells}


def cost_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Training and inference."""
    cells = [
        [
            r["label"],
            duration(r["cost"]["train_seconds"]) if r["cost"]["train_seconds"] is not None else "",
            _show(r["cost"]["lists_per_s"], "{:,.0f}"),
        ]
        for r in rows
    ]
    return {"columns": ["Model", "Training", "Lists a second"], "rows": cells}


def recipe_table(recipes: Sequence[Mapping[str, Any]]) -> Table:
    """What each recipe measured along the way."""
    shown = {
        "ids": ("Semantic ids", "{}"),
        "collision_rate_raw": ("Raw collision rate", "{:.2%}"),
        "shortened_by": ("Shorter than text by", "{:.1%}"),
        "adapter": ("Adapter", "{}"),
        "trainable_share": ("Trainable share", "{:.1%}"),
        "weight_bytes": ("Weights in memory, MiB", "mib"),
        "peak_gpu_bytes": ("Peak GPU memory, MiB", "mib"),
        "algorithm": ("RL", "{}"),
    }
    shown = {n: how for n, how in shown.items() if any(r.get(n) is not None for r in recipes)}
    rows = [
        [
            title,
            *(
                _show(r[n] / 2**20 if form == "mib" and r[n] else r[n], "{:,.1f}" if form == "mib" else form)
                for r in recipes
            ),
        ]
        for n, (title, form) in shown.items()
    ]
    return {"columns": ["", *(r["name"] for r in recipes)], "rows": rows}


def _show(value: Any, form: str) -> str:
    return "" if value is None else form.format(value)
