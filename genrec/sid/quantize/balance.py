"""Assignment of points to centroids when every centroid must get between `low` and `high` points.

This is a transport problem: minimise the sum of squared distances under the size bounds. Three steps, from cheap to
exact:

1. Prices. Each centroid gets a price that is added to its distances, so that crowded ones lose points to their
   neighbours. Entropic transport finds the prices: softmax of -(distance + price) / temperature, and a price moves
   by temperature x log(size / bound) wherever a bound is broken (Sinkhorn scaling with a range constraint, Chizat et
   al., Scaling algorithms for unbalanced transport, arXiv 1607.05816; over-relaxed), while the temperature falls.
2. Every point takes the centroid with the smallest distance + price. This is optimal for the sizes it gives, which
   are nearly right.
3. Shortest augmenting paths mend the rest. A path in the graph of centroids (edge a -> b: the cheapest move of one
   point of a to b) moves one point along each edge. Starting from an assignment without a negative cycle, shortest
   paths keep it so and end in the optimum (Ahuja, Magnanti & Orlin, Network Flows, 1993, section 9.7). The graph has
   K nodes, not N: that is what makes it fast. Where the table of distances is too large to be held, the surplus
   moves greedily in blocks instead, the cheapest moves first.
"""

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from genrec.sid.repair import rank_within

# Entries of the distance table that is held at once; beyond it prices come from a sample and step 3 is greedy.
_TABLE_ENTRIES = 1 << 24  # 64 MiB of float32
_WHOLE, _FAR = 1 << 40, 1 << 61  # the largest distance as a whole number; the length of a path that is not there
_MAX_ALL_PAIRS = 1024  # centroids up to which the prices are centred by all shortest paths (cubic)


class Annealing(NamedTuple):
    """How prices are found: at falling temperatures, in mean margins between the best and the second best centroid."""

    temperatures: tuple[float, ...]
    steps: int  # price updates at each temperature
    relaxation: float  # 1 is plain Sinkhorn; up to 2 brings sizes within their bounds in fewer steps, less smoothly


COARSE = Annealing((0.3,), 6, 1.7)
FINE = Annealing((0.3, 0.1, 0.03), 6, 1.7)
FINEST = Annealing((3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003), 20, 1.0)
_MARGIN_ROWS = 1024  # points the mean margin is taken from


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
        # matrix-vector products; the table takes in what was found at the temperature before.
        table = torch.add(-prices / scale, sample, alpha=-1 / scale).softmax(1)
        start = prices
        for _ in range(annealing.steps):
            factors = ((start - prices) / scale).clamp_(-60, 60).exp_()
            sizes = (factors * (table.T @ (1 / (table @ factors)))).clamp_min_(1e-6)
            step = annealing.relaxation * scale
            above = (prices + step * (sizes / high).log()).clamp_min(0)
            prices = above + (prices + step * (sizes / low).log()).clamp_max(0)
    return prices


def assign_within_bounds(
    distances: Distances, bounds: Bounds, prices: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes whose sizes keep the bounds (steps 2 and 3).

    Args:
        distances: of N points to K centroids.
        bounds: with K * low <= N <= K * high.
        prices: float32 [K], see `fit_prices`.

    Returns:
        int64 [N] codes, and float32 [K] prices under which `Distances.cheapest` gives these very codes: exactly so
        (but for ties, as of equal points) where the table of distances is held, nearly so beyond.
    """
    num_points, num_codes = distances.num_points, distances.num_codes
    if not num_codes * bounds.low <= num_points <= num_codes * bounds.high:
        raise ValueError(f"{num_points} points do not fit {num_codes} clusters of {bounds.low} to {bounds.high}")
    if not distances.is_table:
        return settle_greedily(distances, bounds, distances.cheapest(prices)), prices
    codes, settled = _Paths(distances.sample().cpu().numpy(), prices.cpu().numpy(), bounds).run()
    device = prices.device
    return torch.from_numpy(codes).to(device), torch.from_numpy(settled.astype(np.float32)).to(device)


class _Paths:
    """Step 3 where the whole table of distances [N, K] is at hand.

    Distances and prices are scaled to whole numbers: sums of them are exact, so that ties (equal items, of which real
    catalogues are full) are ties, and no rounding makes a negative cycle.
    """

    def __init__(self, distances: np.ndarray, prices: np.ndarray, bounds: Bounds) -> None:
        self.bounds = bounds
        largest = max(float(np.abs(distances).max()), float(np.abs(prices).max()), 1e-30)
        self.unit = largest / _WHOLE
        self.distances = np.rint(distances * np.float64(1 / self.unit)).astype(np.int64)
        self.codes = (self.distances + np.rint(prices * np.float64(1 / self.unit)).astype(np.int64)).argmin(1)
        num_codes = distances.shape[1]
        self.counts = np.bincount(self.codes, minlength=num_codes)
        # [a, b]: the cheapest move of a point of a to b, and which point that is.
        self.cost = np.full((num_codes, num_codes), _FAR)
        self.mover = np.zeros((num_codes, num_codes), dtype=np.int64)
        for code in range(num_codes):
            self._refresh(code)

    def run(self) -> tuple[np.ndarray, np.ndarray]:
        low, high = self.bounds.low, self.bounds.high
        while (self.counts > high).any():
            self._augment(self.counts > high, self.counts < high)
        while (self.counts < low).any():
            self._augment(self.counts > low, self.counts < low)
        # Sizes keep the bounds; what is left are moves between them that make the sum smaller.
        while self._augment(self.counts > low, self.counts < high, only_gains=True):
            pass
        return self.codes, self._settled_prices()

    def _refresh(self, code: int) -> None:
        """The cheapest moves out of a cluster whose members changed."""
        members = np.flatnonzero(self.codes == code)
        if not len(members):
            self.cost[code] = _FAR
            return
        rows = self.distances[members]
        moves = rows - rows[:, code, None]
        best = moves.argmin(0)
        self.cost[code], self.mover[code] = moves[best, np.arange(moves.shape[1])], members[best]

    def _augment(self, sources: np.ndarray, sinks: np.ndarray, only_gains: bool = False) -> bool:
        """Move one point along each edge of shortest paths from sources to sinks that have no cluster but their start
        in common. All edges of the tree of shortest paths are tight, so moving along several keeps the invariant.
        """
        if not sources.any():
            return False
        length, parent = self._shortest(sources)
        ends = np.flatnonzero(sinks & (length < _FAR) & (parent >= 0))
        if only_gains:
            ends = ends[length[ends] < 0]
        spare = self._spare(only_gains)
        touched = np.zeros(len(length), dtype=bool)
        moved: set[int] = set()
        moves: list[tuple[int, int]] = []
        for end in ends[length[ends].argsort(kind="stable")].tolist():
            path = self._path(end, parent)
            root = path[-1]
            movers = [int(self.mover[a, b]) for b, a in itertools.pairwise(path)]
            if touched[path[:-1]].any() or spare[root] <= 0 or not moved.isdisjoint(movers):
                continue
            touched[path] = True
            spare[root] -= 1
            moved.update(movers)
            moves += zip(movers, path, strict=False)
            self.counts[end] += 1
            self.counts[root] -= 1
        for point, code in moves:
            self.codes[point] = code
        for code in np.flatnonzero(touched).tolist():
            self._refresh(code)
        return bool(moves)

    def _spare(self, only_gains: bool) -> np.ndarray:
        """How many points each cluster may give away at present."""
        if not only_gains and (self.counts > self.bounds.high).any():
            return self.counts - self.bounds.high
        return self.counts - self.bounds.low

    def _path(self, end: int, parent: np.ndarray) -> list[int]:
        """From the end to the start."""
        path = [end]
        while parent[path[-1]] >= 0:
            path.append(int(parent[path[-1]]))
        return path

    def _shortest(self, sources: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bellman-Ford from all sources at once: lengths [K], and the cluster before each on its path (-1: none)."""
        length = np.where(sources, 0, _FAR)
        parent = np.full(len(length), -1)
        active = np.flatnonzero(sources)
        while len(active):
            reached = length[active, None] + self.cost[active]
            before = reached.argmin(0)
            new = reached[before, np.arange(len(length))]
            better = np.flatnonzero(new < length)
            length[better], parent[better] = new[better], active[before[better]]
            active = better
        return length, parent

    def _settled_prices(self) -> np.ndarray:
        """Prices under which every point prefers its cluster, as clearly as can be.

        Shortest path lengths from any one cluster are such prices with their sign turned; their mean over all
        clusters leaves no point on a tie that is not one.
        """
        num_codes = len(self.cost)
        filled = np.flatnonzero(self.counts > 0)
        if num_codes > _MAX_ALL_PAIRS:
            settled = -self._shortest(self.counts > 0)[0]
        else:
            lengths = self.cost[filled].copy()
            lengths[np.arange(len(filled)), filled] = 0
            for row, via in enumerate(filled):
                np.minimum(lengths, lengths[:, via, None] + lengths[row], out=lengths)
            settled = -lengths.mean(0)
        return (settled - settled.mean()) * self.unit


def settle_greedily(distances: Distances, bounds: Bounds, codes: torch.Tensor) -> torch.Tensor:
    """Step 3 in blocks, not quite optimal: surplus first, then what clusters lack, the cheapest moves first."""
    codes = codes.clone()
    while True:
        counts = torch.bincount(codes, minlength=distances.num_codes)
        if int(counts.max()) > bounds.high:
            give, take = counts - bounds.high, bounds.high - counts
        elif int(counts.min()) < bounds.low:
            give, take = counts - bounds.low, bounds.low - counts
        else:
            return codes
        _move(distances, codes, give.clamp_min(0), take.clamp_min(0))


def _move(distances: Distances, codes: torch.Tensor, give: torch.Tensor, take: torch.Tensor) -> None:
    """Move points out of clusters with something to give into those that take some; changes `codes`."""
    rows = (give[codes] > 0).nonzero()[:, 0]
    losses, targets = [], []
    for block in rows.split(distances.block_rows):
        table = distances.of(block)
        own = table.gather(1, codes[block, None])[:, 0]
        best = table.masked_fill_(take == 0, torch.inf).min(1)
        losses.append(best.values - own)
        targets.append(best.indices)
    order = torch.cat(losses).argsort(stable=True).cpu().numpy()
    target, source = torch.cat(targets).cpu().numpy(), codes[rows].cpu().numpy()
    order = order[rank_within(source[order]) < give.cpu().numpy()[source[order]]]
    order = order[rank_within(target[order]) < take.cpu().numpy()[target[order]]]
    codes[rows[torch.from_numpy(order).to(rows.device)]] = torch.from_numpy(target[order]).to(codes.device)
