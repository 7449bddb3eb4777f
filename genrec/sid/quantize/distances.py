"""Size bounds of clusters, and squared distances of points to centroids that are held or computed in blocks."""

from dataclasses import dataclass

import torch

# Entries of the distance table that is held at once; beyond it prices come from a sample and `balance` moves greedily.
_TABLE_ENTRIES = 1 << 24  # 64 MiB of float32


@dataclass(frozen=True)
class Bounds:
    """How many points every centroid gets: low..high."""

    low: int
    high: int

    def scaled(self, share: float) -> tuple[float, float]:
        """The bounds a sample of this share of the points is held to."""
        return max(self.low * share, 1e-3), self.high * share


def size_bounds(num_points: int, num_codes: int, slack: int, tolerance: float) -> Bounds:
    """floor(N / K) -+ the larger of `slack` and `tolerance` x N / K, never below 0. slack >= 1 makes it feasible."""
    mean = num_points // num_codes
    give = max(slack, int(tolerance * num_points / num_codes))
    return Bounds(max(0, mean - give), mean + give)


class Distances:
    """Squared distances of points to centroids: held as a table where it fits, else computed block by block.

    Each row is less its point's squared norm: that changes no choice, and the table takes fewer passes to make.

    Args:
        points: float32 [N, d].
        centroids: float32 [K, d].
        tables: how many times the usual memory the table may take.
    """

    def __init__(self, points: torch.Tensor, centroids: torch.Tensor, tables: int = 1) -> None:
        self.points, self.centroids = points, centroids
        self.num_points, self.num_codes = len(points), len(centroids)
        self.block_rows = max(1, tables * _TABLE_ENTRIES // self.num_codes)
        self.is_table = self.num_points <= self.block_rows
        self._first = self._compute(points[: self.block_rows])

    def _compute(self, points: torch.Tensor) -> torch.Tensor:
        return torch.addmm(self.centroids.square().sum(1), points, self.centroids.T, alpha=-2)

    def sample(self) -> torch.Tensor:
        """float32 [n, K]: the rows that are held, the first or all."""
        return self._first

    def of(self, rows: torch.Tensor) -> torch.Tensor:
        """float32 [len(rows), K], a copy."""
        return self._first[rows] if self.is_table else self._compute(self.points[rows])

    def cheapest(self, prices: torch.Tensor) -> torch.Tensor:
        """int64 [N]: the centroid with the smallest squared distance + price."""
        if self.is_table:
            return (self._first + prices).argmin(1)
        return torch.cat([self._compute(p).add_(prices).argmin(1) for p in self.points.split(self.block_rows)])
