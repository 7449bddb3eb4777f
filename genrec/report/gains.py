"""What reinforcement learning made of each recipe, beside what its authors report: sentences and a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from genrec.measure.gains import FIGURES
from genrec.report.results import Table, shown
from genrec.report.words import excludes_zero

Gain = Mapping[str, Any]  # an element of what genrec.measure.gains.gains returns
_NAMES = {"hr": "HR@{k}", "ndcg": "NDCG@{k}", "categories": "categories a list", "new_items": "new items a list"} | {
    "purchases": "purchases found",
    "repeats": "repeats a list",
}
_HITS = ("hr", "ndcg")
_RATES = (*_HITS, "purchases")  # shares of the lists; the others are numbers of items
_COLUMNS = ["Recipe", "Figure", "SFT", "RL", "Change", "{level} interval", "Relative", "Reported", "Paid for"]


def meanings(k: int) -> list[str]:
    """What each figure is."""
    return [f"{_named(name, k)}: {meaning}" for name, meaning in FIGURES.items()]


def sentences(gains: Sequence[Gain], k: int) -> list[str]:
    """For each recipe the hits beside what is reported, and which of the figures that its reward pays for moved."""
    return [_sentence(gain, k) for gain in gains]


def _sentence(gain: Gain, k: int) -> str:
    figures, reported, hits = gain["figures"], gain["reported"], gain["figures"]["hr"]
    said = [
        f"{gain['recipe']}, SFT to RL: HR@{k} {_change('hr', hits)}{_beside(hits['relative'], reported, 'rl_over_sft')}"
    ]
    if reported.get("sft_over_itemcf") is not None and gain["sft_over_itemcf"] is not None:
        said.append(f"SFT over ItemCF{_beside(gain['sft_over_itemcf'], reported, 'sft_over_itemcf')}")
    paid = {name: figure for name, figure in figures.items() if figure["paid_for"] and name not in _HITS}
    moved = [name for name, figure in paid.items() if excludes_zero(figure["ci"])]
    for name in paid:
        chance = "beyond chance" if name in moved else "within chance"
        said.append(f"{_named(name, k)} {_change(name, paid[name])}, {chance}")
    if paid and not moved:
        said.append("its reward bought none of what it pays for beside hits")
    return f"{'; '.join(said)}."


def _beside(measured: float | None, reported: Mapping[str, float | None], name: str) -> str:
    """The measured relative gain, and the reported one where there is one."""
    other = reported.get(name)
    parts = [shown(measured, "{:+.1%}".format), "" if other is None else f"reported {other:+.0%}"]
    return f" ({', '.join(part for part in parts if part)})" if any(parts) else ""


def gain_table(gains: Sequence[Gain], k: int, confidence: float) -> Table:
    """A line for each recipe and figure."""
    rows = []
    for gain in gains:
        for name, figure in gain["figures"].items():
            low, high = (_written(name, bound, sign="+") for bound in figure["ci"])
            reported = gain["reported"].get("rl_over_sft") if name == "hr" else None
            cells = [
                *(gain["recipe"], _named(name, k)),
                *(_written(name, figure[when]) for when in ("before", "after")),
                *(_written(name, figure["difference"], sign="+"), f"{low} to {high}"),
                *(shown(figure["relative"], "{:+.1%}".format), shown(reported, "{:+.0%}".format)),
                "yes" if figure["paid_for"] else "",
            ]
            rows.append({"trained": figure["paid_for"], "cells": cells})
    return {"title": "", "columns": [name.format(level=f"{confidence:.0%}") for name in _COLUMNS], "rows": rows}


def _change(name: str, figure: Mapping[str, Any]) -> str:
    return f"{_written(name, figure['before'])} to {_written(name, figure['after'])}"


def _named(name: str, k: int) -> str:
    return _NAMES[name].format(k=k)


def _written(name: str, value: float, sign: str = "") -> str:
    return f"{value:{sign}.{4 if name in _RATES else 2}f}"
