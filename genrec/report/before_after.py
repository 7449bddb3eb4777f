"""What reinforcement learning changed on validation, as a table: from the summary of the rl stage."""

from collections.abc import Mapping
from typing import Any

from genrec.report.results import Table


def before_after_table(summary: Mapping[str, Any]) -> Table | None:
    """A line for every figure, of the SFT model and of the leading checkpoint; None where nothing was compared."""
    compared = summary.get("before_after")
    if not compared:
        return None
    before, after, ends = compared["before"], compared.get("after"), compared.get("change_ci", {})
    columns = ["Validation", "SFT"]
    if after is not None:
        fate = "returned" if compared["returned"] else "not returned"
        columns += [f"Step {compared['step']} ({fate})", "Change", f"{summary['gate']['confidence']:.0%} interval"]
    rows = []
    for name, value in before.items():
        cells = [_title(name), _shown(name, value)]
        if after is not None:
            cells += _change(name, value, after.get(name), ends.get(name))
        rows.append({"trained": False, "cells": cells})
    return {"title": "Before and after, on validation", "columns": columns, "rows": rows}


def _change(name: str, before: float, after: float | None, ends: Any) -> list[str]:
    """The figure after, the change relative to the one before, and the interval of the difference."""
    if after is None:
        return ["", "", ""]
    relative = f"{(after - before) / abs(before):+.1%}" if before else ""
    interval = f"{ends[0]:+.4f} to {ends[1]:+.4f}" if ends else ""
    return [_shown(name, after), relative, interval]


def _title(name: str) -> str:
    if name.startswith(("hr@", "ndcg@")):
        return name.upper()
    plain = name.replace("_", " ")
    return f"Reward: {plain.removeprefix('reward ')}" if name.startswith("reward_") else plain.capitalize()


def _shown(name: str, value: float) -> str:
    if name.startswith(("coverage", "tail_share", "purchases")):
        return f"{value:.1%}"
    return f"{value:.2f}" if name.startswith("novelty") else f"{value:.4f}"
