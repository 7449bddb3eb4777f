"""comparison.json and comparison.html: recipes side by side, with their sentences, tables and plots."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from genrec.measure.recipes import Folder, Report, compare_recipes
from genrec.report import gains, words
from genrec.report.page import duration, of_results, render, write
from genrec.report.results import Results, Table, as_text, result_table, shown, table_of

_COSTS = {
    "Training": lambda row: shown(row["cost"]["train_seconds"], duration),
    "Lists a second": lambda row: shown(row["cost"]["lists_per_s"], "{:,.0f}".format),
}


def write_comparison(reports: Sequence[Report], out: Path, folder: Folder) -> dict[str, Any]:
    """Write comparison.json and comparison.html into `out`; returns the comparison, and "html", the page's path."""
    comparison = in_words(compare_recipes(reports, folder))
    write(out, "comparison", comparison, _page(comparison))
    return comparison | {"html": str(out / "comparison.html")}


def in_words(figures: Mapping[str, Any]) -> dict[str, Any]:
    """comparison.json: the figures of `compare_recipes` with summary, columns and table (text), and warnings."""
    missing = figures["left_out"]
    columns, table = as_text(_result_table(figures), "interval", "{:.4f} to {:.4f}")
    return {
        "summary": [*words.sentences(figures), *gains.sentences(figures["gains"], figures["headline_k"])],
        "columns": columns,
        "table": table,
        **{name: value for name, value in figures.items() if name not in ("left_out", "protocol")},
        "warnings": [f"not evaluated and left out: {', '.join(missing)}"] if missing else [],
        "protocol": words.protocol_in_words(figures["protocol"]),
    }


def _page(comparison: Results) -> str:
    return render(
        "compare.html.j2",
        **of_results(comparison, [_result_table(comparison)]),
        comparison=comparison,
        verdict=comparison["summary"],
        warnings=comparison["warnings"],
        protocol=comparison["protocol"],
        gains=gains.gain_table(comparison["gains"], comparison["headline_k"], comparison["confidence"]),
        gain_meanings=gains.meanings(comparison["headline_k"]),
        costs=table_of([row for row in comparison["rows"] if not row["part_of"]], _COSTS),
        recipes=_recipe_table(comparison["recipes"]),
    )


def _result_table(comparison: Results) -> Table:
    metrics = [f"{name}@{comparison['headline_k']}" for name in ("hr", "ndcg")]
    return result_table(comparison["rows"], metrics, {"Seeds": lambda row: str(len(row["seeds"]))})


def _mib(size: float) -> str:
    return f"{size / 2**20:,.1f}"


def _scores(by_seed: Sequence[Mapping[str, float]]) -> str:
    return "; ".join(dict.fromkeys(words.shares_in_words(shares) for shares in by_seed))


_MEASURED: dict[str, tuple[str, Callable[[Any], str]]] = {  # of a recipe, along the way: (title, how it is written)
    "ids": ("Semantic ids", str),
    "collision_rate_raw": ("Raw collision rate", "{:.2%}".format),
    "shortened_by": ("Shorter than text by", "{:.1%}".format),
    "adapter": ("Adapter", str),
    "trainable_share": ("Trainable share", "{:.1%}".format),
    "weight_bytes": ("Weights in memory, MiB", _mib),
    "peak_gpu_bytes": ("Peak GPU memory, MiB", _mib),
    "algorithm": ("RL", str),
    "score": ("Score of sft", _scores),
}


def _recipe_table(recipes: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        {"cells": [title, *(shown(recipe[name], write) for recipe in recipes)]}
        for name, (title, write) in _MEASURED.items()
        if any(recipe[name] is not None for recipe in recipes)
    ]
    return {"columns": ["", *(recipe["name"] for recipe in recipes)], "rows": rows}
