"""Semantic ids for the page: how the codes are used, plots of the quality report, and items that share a prefix."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genrec import tables
from genrec.report.plots import Plot, bar_plot, line_plot
from genrec.tables import read_sids


def code_plot(sid: Path, num_codes: int) -> Plot:
    """How evenly the `num_codes` codes of each level are used."""
    counts = [np.sort(np.bincount(level, minlength=num_codes))[::-1] for level in read_sids(sid).T]
    series = {f"level {i}": (np.arange(1, len(level) + 1), level) for i, level in enumerate(counts, start=1)}
    note = "A flat curve is an evenly used level; where it reaches zero, the rest of the codes is unused."
    return line_plot("codes", "Items per code", note, series, "code, most used first", from_zero=True)


def sid_plots(sid: Path) -> list[Plot]:
    """Plots of quality.json in a sid artifact, of what it holds; [] where there is none."""
    path = sid / "quality.json"
    if not path.is_file():
        return []
    quality = json.loads(path.read_text(encoding="utf-8"))
    makers = {
        "cluster_sizes": _sizes,
        "reconstruction_error": _reconstruction,
        "prefix_agreement": _agreement,
        "fan_out": _fan_out,
        "popularity": _popularity,
        "churn": _churn,
    }
    return [maker(quality) for name, maker in makers.items() if quality.get(name)]


def _sizes(quality: Mapping[str, Any]) -> Plot:
    levels = quality["cluster_sizes"]
    bins = max((level["histogram"] for level in levels), key=len)
    series = {
        f"level {i}": (range(len(bins)), [level["histogram"].get(name, 0) for name in bins])
        for i, level in enumerate(levels, start=1)
    }
    steps = ", ".join(f"{i}: {name}" for i, name in enumerate(bins))
    extremes = "; ".join(f"level {i}: {level['min']} to {level['max']}" for i, level in enumerate(levels, start=1))
    note = f"Number of codes by the items they hold, before ids were made unique. Steps are {steps}. {extremes}."
    x_label = "items of a code, doubling from step to step"
    return line_plot("sid-sizes", "Cluster sizes", note, series, x_label, from_zero=True)


def _reconstruction(quality: Mapping[str, Any]) -> Plot:
    names = {"nearest codes": "reconstruction_error_raw", "unique ids": "reconstruction_error"}
    series = {
        label: (range(1, len(quality[name]) + 1), [100 * v for v in quality[name]]) for label, name in names.items()
    }
    note = "Share of the vectors' variance, %, that the first codes leave unexplained."
    return line_plot("sid-error", "Reconstruction error", note, series, "codes used", from_zero=True)


def _agreement(quality: Mapping[str, Any]) -> Plot:
    agreement = quality["prefix_agreement"]
    names = {"text": "like text", "cooccurrence": "bought together", "chance": "any two items"}
    bars = {
        f"{label}, {_codes(depth)}": 100 * agreement[kind][depth - 1]
        for depth in (1, 2)
        for kind, label in names.items()
        if len(agreement.get(kind, [])) >= depth
    }
    note = "How many of an item's 10 nearest have the same first codes: it should be far above any two items."
    return bar_plot("sid-agreement", "Neighbours share prefixes", note, bars, "share of neighbours, %")


def _fan_out(quality: Mapping[str, Any]) -> Plot:
    bars = {
        f"after {_codes(depth)}, {shown}" if depth else f"at the start, {shown}": level[name]
        for depth, level in enumerate(quality["fan_out"])
        for shown, name in (("mean", "mean"), ("most", "max"))
    }
    note = "What a beam has to choose from at each step."
    return bar_plot("sid-fan-out", "Fan-out", note, bars, "codes that may follow")


def _popularity(quality: Mapping[str, Any]) -> Plot:
    spread = quality["popularity"]
    curves = {_codes(entry["depth"]): entry["curve"] for entry in spread} | {"even": [0, 1]}
    series = {label: (np.linspace(0, 100, len(curve)), 100 * np.array(curve)) for label, curve in curves.items()}
    tops = "; ".join(f"{e['top_10_percent_share']:.0%} behind a tenth of {e['num_prefixes']:,}" for e in spread)
    note = f"Share of the training events, %, behind the most popular prefixes: {tops}."
    x_label = "most popular prefixes, % of those in use"
    return line_plot("sid-popularity", "Popularity over prefixes", note, series, x_label, from_zero=True)


def _churn(quality: Mapping[str, Any]) -> Plot:
    bars = {
        f"{shown}, {_codes(depth)}": 100 * value
        for name, shown in (("changed", "changed"), ("pairs_kept", "pairs kept"))
        for depth, value in enumerate(quality["churn"][name], start=1)
        if value is not None
    }
    note = (
        "A second fit with another seed on nine tenths of the items. Codes are renamed freely, so look at the pairs: "
        "how many pairs of items with a common prefix have one again."
    )
    return bar_plot("sid-churn", "Churn between two fits", note, bars, "%")


def _codes(number: int) -> str:
    return "1 code" if number == 1 else f"{number} codes"


def sid_examples(sid: Path, prepared: Path, num_groups: int = 3, num_shown: int = 4) -> list[dict[str, Any]]:
    """Items that share all codes but the last: [{prefix, size, items [{sid, title, brand}]}].

    Groups of at least three items, taken at even distances in the order of their prefixes: no hand-picking.
    """
    sids = read_sids(sid)
    prefixes, inverse, counts = np.unique(sids[:, :-1], axis=0, return_inverse=True, return_counts=True)
    groups = np.flatnonzero(counts >= min(3, int(counts.max())))
    groups = groups[np.unique(np.linspace(0, len(groups) - 1, num_groups).round().astype(int))]
    catalogue = tables.CATALOGUE_FILE.read(prepared, ["item_id", "title", "brand"])
    shown = []
    for group in groups:
        items = np.flatnonzero(inverse.ravel() == group)[:num_shown]
        rows = [
            {"sid": _show(sids[i]), "title": row["title"] or row["item_id"], "brand": row["brand"]}
            for i, row in zip(items, catalogue.take(items).to_pylist(), strict=True)
        ]
        shown.append({"prefix": _show(prefixes[group]), "size": int(counts[group]), "items": rows})
    return shown


def _show(codes: np.ndarray) -> str:
    return "-".join(map(str, codes))
