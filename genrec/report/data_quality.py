"""The quality of the data for readers: sentences, what each filter left, and histograms, from report.json's `data`."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from genrec.report.plots import Plot, bar_plot
from genrec.report.results import Table

_FILTERS = {
    "read": "as read",
    "event": "event types",
    "rating": "rating",
    "repeat": "repeats",
    "k_core": "k-core",
    "item_not_in_training": "items not in training",
}
_COUNTED = ("users", "items", "interactions")


def sentences(quality: Mapping[str, Any]) -> list[str]:
    """Times, sparsity, lengths, popularity and texts, in words; of what is known."""
    said = []
    if "time" in quality:
        said.append(_times(quality["time"]))
    if "sparsity" in quality:
        lengths, popularity = quality["sequence_lengths"], quality["popularity"]
        if quality["sparsity"] is not None:
            said.append(
                f"{quality['sparsity']:.4%} of the pairs of a kept user and a kept item are without an interaction."
            )
        said += [
            f"Events of a training sequence: {_figures(lengths)}. Training events of an item: {_figures(popularity)}; the most "
            f"popular 1% of the items have {quality['popular_share']:.1%} of them.",
            f"{quality['share_without_text']:.1%} of the items of the catalogue have no text.",
        ]
    return said


def filter_table(steps: Sequence[Mapping[str, Any]]) -> Table:
    """Users, items and interactions as read and behind each filter, with the share of the interactions that it took."""
    rows: list[Any] = []
    for place, step in enumerate(steps):
        before = steps[place - 1]["interactions"] if place else None
        lost = "" if not before else f"{1 - step['interactions'] / before:.1%}"
        counts = ["" if step[name] is None else f"{step[name]:,}" for name in _COUNTED]
        rows.append({"cells": [_FILTERS.get(step["filter"], step["filter"]), *counts, lost]})
    return {"title": "Behind each filter", "columns": ["", "Users", "Items", "Interactions", "Taken"], "rows": rows}


def quarantine_plot(reasons: Mapping[str, int]) -> Plot:
    """Rows set aside, by reason."""
    note = f"{sum(reasons.values()):,} rows were not usable and were set aside, by reason."
    bars = {reason.replace("_", " "): number for reason, number in reasons.items()}
    return bar_plot("quarantine", "Quarantine", note, bars, "rows set aside")


def quality_plots(quality: Mapping[str, Any]) -> list[Plot]:
    """Histograms of the length of training sequences and of the popularity of items; bins double."""
    kinds = (
        ("sequence_lengths", "Length of sequences", "Users by the events of their training sequence", "users"),
        ("popularity", "Popularity of items", "Items by their training events", "items"),
    )
    return [
        bar_plot(
            f"data-{name}".replace("_", "-"), title, f"{note}: {_figures(quality[name])}.", _bars(quality[name]), unit
        )
        for name, title, note, unit in kinds
        if quality.get(name, {}).get("histogram")
    ]


def _bars(distribution: Mapping[str, Any]) -> dict[str, int]:
    return {
        f"{b['from']:,}" if b["from"] == b["to"] else f"{b['from']:,} to {b['to']:,}": b["count"]
        for b in distribution["histogram"]
    }


def _figures(distribution: Mapping[str, Any]) -> str:
    if distribution["max"] is None:
        return "none"
    return f"{distribution['mean']:,.1f} on average (median {distribution['median']:,.0f}, at most {distribution['max']:,})"


def _times(times: Mapping[str, Any]) -> str:
    if times["kind"] == "position":
        return "The timestamps are positions in a user's sequence, not times."
    first, last = (time.strftime("%Y-%m-%d", time.gmtime(times[name] / 1000)) for name in ("first", "last"))
    return f"Events from {first} to {last} (UTC)."
