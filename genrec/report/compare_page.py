"""comparison.html: the comparison as tables and plots, in one file."""

from collections.abc import Mapping, Sequence
from typing import Any

from genrec.report import plots
from genrec.report.report import duration, render

_LISTS = {
    "coverage": "Coverage: share of the catalogue in any list",
    "novelty": "Novelty: mean self-information of the listed items, bits",
    "diversity": "Diversity: 1 - Jaccard index of the categories of two items of a list",
    "tail_share": "Share of listed items outside the head",
}


def page(comparison: Mapping[str, Any]) -> str:
    """The whole page."""
    k = comparison["headline_k"]
    return render(
        "compare.html.j2",
        comparison=comparison,
        plots=result_plots(comparison),
        lists=list_table(comparison["rows"]),
        slices=slice_table(comparison["rows"], f"hr@{k}"),
        costs=cost_table(comparison["rows"]),
        recipes=recipe_table(comparison["recipes"]),
        meanings=list(_LISTS.values()),
    )


def result_plots(comparison: Mapping[str, Any]) -> list[dict[str, str]]:
    """NDCG and HR of every row, differences to the best baseline, what RL added: [{title, svg, note}]."""
    k, rows = comparison["headline_k"], comparison["rows"]
    level = f"{comparison['confidence']:.0%} interval"
    made = []
    for metric in (f"ndcg@{k}", f"hr@{k}"):
        found = [(r["label"], r["metrics"][metric], r["recipe"] is not None) for r in rows]
        bars = [
            plots.Interval(label, f["mean"], f["ci"][0], f["ci"][1], emphasis=trained) for label, f, trained in found
        ]
        svg = plots.interval_plot(f"c-{metric.replace('@', '')}", bars, f"{metric.upper()}, {level}")
        made.append({"title": metric.upper(), "svg": svg, "note": "Round: trained here. Square: baseline."})
    best = next((r["label"] for r in rows if r["recipe"] is None), None)
    sft_of = {r["recipe"]: r["label"] for r in rows if r["model"] == "sft" and r["recipe"] is not None}
    recipe_of = {r["label"]: r["recipe"] for r in rows}
    pairs = [c for c in comparison["comparisons"] if c["metric"] == f"ndcg@{k}"]
    groups = {
        f"Against the best baseline ({best})": [c for c in pairs if c["against"] == best],
        "What reinforcement learning changed": [c for c in pairs if c["against"] == sft_of.get(recipe_of[c["row"]])],
    }
    for i, (title, records) in enumerate(groups.items()):
        if records:
            bars = [plots.Interval(c["row"], c["difference"], c["ci"][0], c["ci"][1], emphasis=True) for c in records]
            svg = plots.interval_plot(f"c-diff{i}", bars, f"difference in NDCG@{k}, {level}", zero_line=True)
            note = "Paired on the same users and seeds. An interval that touches zero does not tell the two apart."
            made.append({"title": title, "svg": svg, "note": note})
    return made


Table = dict[str, Any]  # columns, rows (text)


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
