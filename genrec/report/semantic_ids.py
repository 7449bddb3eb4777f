"""Semantic ids for the page: how the codes are used, plots of the quality report, and items that share a prefix."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genrec import tables
from genrec.report import plots
from genrec.report.plots import Plot
from genrec.tables import read_sids


def code_counts(sids: np.ndarray, num_codes: int) -> list[np.ndarray]:
    """Items behind each code, int [K] for every level."""
    return [np.bincount(level, minlength=num_codes) for level in sids.T]


def num_codes_of(config: Mapping[str, Any], sids: np.ndarray) -> int:
    """Codes a level: as configured, and never fewer than are in use."""
    return max(int(config.get("sid", {}).get("num_codes", 0)), int(sids.max()) + 1)


def sid_plots(sid: Path) -> list[Plot]:
    """Plots of quality.json in a sid artifact; [] where there is none."""
    path = sid / "quality.json"
    if not path.is_file():
        return []
    quality = json.loads(path.read_text(encoding="utf-8"))
    drawn = [_sizes(quality), _reconstruction(quality), _agreement(quality), _fan_out(quality), _popularity(quality)]
    return [plot for plot in [*drawn, _churn(quality)] if plot]


def _sizes(quality: Mapping[str, Any]) -> Plot | None:
    levels = quality.get("cluster_sizes")
    if not levels:
        return None
    bins = max((level["histogram"] for level in levels), key=len)
    series = {
        f"level {i + 1}": (list(range(len(bins))), [level["histogram"].get(name, 0) for name in bins])
        for i, level in enumerate(levels)
    }
    svg = plots.line_plot("sid-sizes", series, "items of a code, doubling from step to step", from_zero=True)
    steps = ", ".join(f"{i}: {name}" for i, name in enumerate(bins))
    extremes = "; ".join(f"level {i + 1}: {level['min']} to {level['max']}" for i, level in enumerate(levels))
    return {
        "title": "Cluster sizes",
        "svg": svg,
        "note": f"Number of codes by the items they hold, before ids were made unique. Steps are {steps}. {extremes}.",
    }


def _reconstruction(quality: Mapping[str, Any]) -> Plot | None:
    levels = list(range(1, len(quality["reconstruction_error"]) + 1))
    series = {
        "nearest codes": (levels, [100 * v for v in quality["reconstruction_error_raw"]]),
        "unique ids": (levels, [100 * v for v in quality["reconstruction_error"]]),
    }
    svg = plots.line_plot("sid-error", series, "codes used", from_zero=True)
    note = "Share of the vectors' variance, %, that the first codes leave unexplained."
    return {"title": "Reconstruction error", "svg": svg, "note": note}


def _agreement(quality: Mapping[str, Any]) -> Plot | None:
    agreement = quality.get("prefix_agreement") or {}
    names = {"text": "like text", "cooccurrence": "bought together", "chance": "any two items"}
    bars = {
        f"{label}, {depth} code{'s' * (depth > 1)}": 100 * agreement[kind][depth - 1]
        for depth in (1, 2)
        for kind, label in names.items()
        if len(agreement.get(kind, [])) >= depth
    }
    if not bars:
        return None
    svg = plots.bar_plot("sid-agreement", bars, "share of neighbours, %")
    note = "How many of an item's 10 nearest have the same first codes: it should be far above any two items."
    return {"title": "Neighbours share prefixes", "svg": svg, "note": note}


def _fan_out(quality: Mapping[str, Any]) -> Plot | None:
    bars = {}
    for depth, level in enumerate(quality.get("fan_out") or []):
        after = "at the start" if depth == 0 else f"after {depth} code{'s' * (depth > 1)}"
        bars[f"{after}, mean"] = level["mean"]
        bars[f"{after}, most"] = level["max"]
    if not bars:
        return None
    svg = plots.bar_plot("sid-fan-out", bars, "codes that may follow")
    return {"title": "Fan-out", "svg": svg, "note": "What a beam has to choose from at each step."}


def _popularity(quality: Mapping[str, Any]) -> Plot | None:
    spread = quality.get("popularity")
    if not spread:
        return None
    series = {f"{entry['depth']} code{'s' * (entry['depth'] > 1)}": _percent_curve(entry["curve"]) for entry in spread}
    series["even"] = ([0.0, 100.0], [0.0, 100.0])
    svg = plots.line_plot("sid-popularity", series, "most popular prefixes, % of those in use", from_zero=True)
    tops = "; ".join(f"{e['top_10_percent_share']:.0%} behind a tenth of {e['num_prefixes']:,}" for e in spread)
    note = f"Share of the training events, %, behind the most popular prefixes: {tops}."
    return {"title": "Popularity over prefixes", "svg": svg, "note": note}


def _percent_curve(curve: list[float]) -> tuple[list[float], list[float]]:
    return [100 * i / (len(curve) - 1) for i in range(len(curve))], [100 * v for v in curve]


def _churn(quality: Mapping[str, Any]) -> Plot | None:
    churn = quality.get("churn")
    if not churn:
        return None
    bars = {f"changed, {d + 1} code{'s' * (d > 0)}": 100 * v for d, v in enumerate(churn["changed"])}
    bars |= {
        f"pairs kept, {d + 1} code{'s' * (d > 0)}": 100 * v for d, v in enumerate(churn["pairs_kept"]) if v is not None
    }
    svg = plots.bar_plot("sid-churn", bars, "%")
    note = (
        "A second fit with another seed on nine tenths of the items. Codes are renamed freely, so look at the pairs: "
        "how many pairs of items with a common prefix have one again."
    )
    return {"title": "Churn between two fits", "svg": svg, "note": note}


def code_plot(sid: Path, config: Mapping[str, Any]) -> Plot:
    """How evenly the codes of each level are used."""
    sids = read_sids(sid)
    svg = plots.code_usage("codes", code_counts(sids, num_codes_of(config, sids)))
    return {
        "title": "Items per code",
        "svg": svg,
        "note": "A flat curve is an evenly used level; where it ends early, the rest of the codes is unused.",
    }


def sid_examples(sid: Path, prepared: Path, num_groups: int = 3, num_shown: int = 4) -> list[dict[str, Any]]:
    """Items that share all codes but the last: [{prefix, items [{sid, title, brand}]}].

    Groups of at least three items, taken at even distances in the order of their prefixes: no hand-picking.
    """
    sids = read_sids(sid)
    prefixes, inverse, counts = np.unique(sids[:, :-1], axis=0, return_inverse=True, return_counts=True)
    wanted = min(3, int(counts.max()))
    groups = np.flatnonzero(counts >= wanted)
    groups = groups[np.linspace(0, len(groups) - 1, min(num_groups, len(groups))).round().astype(int)]
    catalogue = tables.CATALOGUE_FILE.read(prepared, ["item_id", "title", "brand"])
    shown_groups = []
    for group in groups:
        items = np.flatnonzero(inverse.ravel() == group)[:num_shown]
        rows = catalogue.take(items).to_pylist()
        shown = [
            {"sid": _show_sid(sids[i]), "title": row["title"] or row["item_id"], "brand": row["brand"]}
            for i, row in zip(items, rows, strict=True)
        ]
        shown_groups.append({"prefix": _show_sid(prefixes[group]), "size": int(counts[group]), "items": shown})
    return shown_groups


def _show_sid(codes: np.ndarray) -> str:
    return "-".join(str(c) for c in codes)
