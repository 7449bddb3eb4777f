"""The Pareto front of a fusion's aims: one plot an aim against NDCG, with the chosen point."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrec.report.plots import Plot, front_plot

_NAMES = {
    "hr": "hit rate",
    "purchases": "purchases",
    "earned_price": "price of purchases",
    "earned_margin": "margin of purchases",
    "new": "share of new items",
    "novelty": "novelty in bits",
    "diversity": "diversity",
}
_LOWEST = 0.7  # share of the NDCG before below which nothing is drawn


def front_plots(front: Mapping[str, Any]) -> list[Plot]:
    """One plot for every aim of `fusion.Fusion.front`; none where nothing but NDCG was wanted."""
    figures, points = front["figures"], np.array(front["points"])
    before, k = front["before"], front["k"]
    plots = []
    for place, figure in enumerate(figures[1:], start=1):
        pairs = points[points[:, 0] >= _LOWEST * before[0]][:, [0, place]]
        pairs = _front_of_two(pairs)
        marks = {
            label: (front[name][0], front[name][place])
            for label, name in (("chosen", "chosen"), ("before", "before"), ("equal weights", "equal"))
            if front[name][0] >= _LOWEST * before[0]
        }
        named = _NAMES.get(figure, figure)
        note = f"Validation users. What the search looked at and nothing beats in NDCG and {named}. Dashed: the least NDCG allowed."
        if "equal weights" not in marks:
            x, y = front["equal"][0], front["equal"][place]
            note += f" All aims weighted alike give NDCG {x:.4f} and {named} {y:.4f}, left of what is drawn."
        plots.append(
            front_plot(
                f"front-{figure}", f"What more {named} costs", note, (pairs[:, 0], pairs[:, 1]), marks,
                (f"NDCG@{k}", f"{named}, first {k}"), (1 - front["max_ndcg_loss"]) * before[0],
            )
        )  # fmt: skip
    return plots


def _front_of_two(pairs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of points [n, 2], those that no other beats in both, by the first column."""
    pairs = pairs[np.lexsort((-pairs[:, 1], -pairs[:, 0]))]
    best = np.maximum.accumulate(np.append(-np.inf, pairs[:-1, 1]))
    return pairs[pairs[:, 1] > best][::-1]
