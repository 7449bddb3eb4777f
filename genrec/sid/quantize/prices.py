"""Prices of centroids under which the sizes of their clusters nearly keep their bounds, by entropic optimal transport.

A price is added to a centroid's squared distances, so that crowded centroids lose points to their neighbours. Every
point is shared out by softmax of -(distance + price) / temperature, and a price moves by temperature x log(size / bound)
wherever a bound is broken (Sinkhorn scaling with a range constraint, Chizat et al., Scaling algorithms for unbalanced
transport, arXiv 1607.05816; over-relaxed), while the temperature falls.
"""

from typing import NamedTuple

import torch

from genrec.sid.quantize.distances import Bounds, Distances


class Annealing(NamedTuple):
    """The schedule of `fit_prices`; temperatures are in mean margins between the best and the second best centroid."""

    temperatures: tuple[float, ...]
    steps: int  # price updates at each temperature
    relaxation: float  # 1 is plain Sinkhorn; up to 2 brings sizes within their bounds in fewer steps, less smoothly


COARSE = Annealing((0.3,), 6, 1.7)
FINE = Annealing((0.3, 0.1, 0.03), 6, 1.7)
FINEST = Annealing((3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003), 20, 1.0)
_MARGIN_ROWS = 1024  # points whose mean margin sets the unit of temperature


def fit_prices(distances: Distances, bounds: Bounds, annealing: Annealing = FINE) -> torch.Tensor:
    """Prices under which cluster sizes nearly keep the bounds (step 1).

    Args:
        distances: of points in random order: where the table does not fit, its first rows stand for all.
        bounds: of the cluster sizes for all N points.
        annealing: COARSE takes a third of the time of FINE and leaves sizes farther off; FINEST is for
            tables of a few rows.

    Returns:
        float32 [K]: positive where the upper bound binds, negative where the lower one does.
    """
    sample = distances.sample()
    low, high = bounds.scaled(len(sample) / distances.num_points)
    prices = torch.zeros(distances.num_codes, device=sample.device)
    if distances.num_codes == 1:
        return prices
    rows = sample[:_MARGIN_ROWS]
    best = rows.topk(2, dim=1, largest=False).values
    margin = float((best[:, 1] - best[:, 0]).mean())
    if not margin > 1e-7 * float(rows.abs().max()):  # points that are all alike have no price
        return prices
    for temperature in annealing.temperatures:
        scale = temperature * margin
        # Prices enter a table of exp(-(distance + price) / scale) as factors of its columns, so a step is two
        # matrix-vector products; the table already holds the prices of the temperature before.
        table = torch.add(-prices / scale, sample, alpha=-1 / scale).softmax(1)
        start = prices
        for _ in range(annealing.steps):
            factors = ((start - prices) / scale).clamp_(-60, 60).exp_()
            sizes = (factors * (table.T @ (1 / (table @ factors)))).clamp_min_(1e-6)
            step = annealing.relaxation * scale
            above = (prices + step * (sizes / high).log()).clamp_min(0)
            prices = above + (prices + step * (sizes / low).log()).clamp_max(0)
    return prices
