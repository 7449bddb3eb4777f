"""k-means whose clusters all have nearly the same size: a balanced start, then Lloyd iterations under size bounds.

The assignment step under size bounds is that of Bradley, Bennett & Demiriz, Constrained K-Means Clustering (Microsoft
Research, 2000). Their k-means can start anywhere; here a tree of equal halvings gives the start, so that dense
regions have enough centroids from the beginning and few iterations are needed.

k-means-constrained (0.9), which solves a min-cost flow at every iteration, takes 20 to 40 times the CPU seconds for an
inertia within 0.6% (4,000 points, 64 clusters; tests/bench/bench_balanced_kmeans.py).
"""

import torch

from genrec.sid.quantize.balance import assign_within_bounds, settle_greedily
from genrec.sid.quantize.distances import Bounds, Distances
from genrec.sid.quantize.prices import COARSE, fit_prices

# The axis a group is halved along need not be exact.
_POWER_ITERATIONS = 3
_AXIS_ROWS = 1024  # members the axis is computed from
_TREE_DIM = 32  # dimensions the halvings look at
_BLOCK_ROWS = 65536


def balanced_kmeans(
    points: torch.Tensor, num_codes: int, bounds: Bounds, *, num_iterations: int, tolerance: float, seed: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Centroids, prices and codes of a k-means under size bounds.

    Args:
        points: float32 [N, d].
        num_codes: K.
        bounds: size of every cluster, feasible for N and K.
        num_iterations: Lloyd iterations, at most.
        tolerance: stop when an iteration lowers the inertia by less than this share.
        seed: of the start of the power iterations and of the sample that prices are fitted on.

    Returns:
        float32 [K, d] centroids, float32 [K] prices and int64 [N] codes that keep the bounds (see
        `genrec.sid.quantize.balance.assign_within_bounds`).
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(points), generator=generator).to(points.device)
    # About their mean: for points far from the origin, squared norms would leave no precision for the distances.
    center = points.mean(0)
    shuffled = points[order] - center
    centroids = halved_centroids(shuffled, num_codes, generator)
    norms = squared_norms(shuffled)
    inertia = torch.inf
    for _ in range(num_iterations):
        distances = Distances(shuffled, centroids)
        codes = distances.cheapest(fit_prices(distances, bounds, COARSE))
        if distances.is_table:  # beyond, it takes long, and the sizes are near enough for the means
            codes = settle_greedily(distances, bounds, codes)
        centroids, explained = means(shuffled, codes, centroids)
        if norms - explained >= (1 - tolerance) * inertia:
            break
        inertia = norms - explained
    distances = Distances(shuffled, centroids)
    # A larger sample for the final prices: fewer points have to be moved after them.
    sample = distances if distances.is_table else Distances(shuffled, centroids, tables=4)
    prices = fit_prices(sample, bounds)
    codes, prices = assign_within_bounds(distances, bounds, prices)
    return centroids + center, prices, torch.empty_like(codes).scatter_(0, order, codes)


def squared_norms(points: torch.Tensor) -> float:
    """The sum of all points' squared norms."""
    return sum(float(torch.linalg.vector_norm(block)) ** 2 for block in points.split(_BLOCK_ROWS))


def means(points: torch.Tensor, codes: torch.Tensor, centroids: torch.Tensor) -> tuple[torch.Tensor, float]:
    """The mean of every cluster (its old centroid where it is empty), and how much of the points' squared norms they
    explain: the inertia is `squared_norms` less that.
    """
    num_codes = len(centroids)
    sums = torch.zeros_like(centroids)
    for rows, block in zip(codes.split(_BLOCK_ROWS), points.split(_BLOCK_ROWS), strict=True):
        if points.device.type == "cpu":
            sums.index_add_(0, rows, block)
        else:  # there index_add adds in any order; a product with the one-hot codes gives the same bytes every time
            sums.addmm_(torch.nn.functional.one_hot(rows, num_codes).to(block.dtype).T, block)
    counts = torch.bincount(codes, minlength=num_codes)[:, None]
    centers = torch.where(counts > 0, sums / counts.clamp_min(1), centroids)
    return centers, float((counts * centers.double().square()).sum())


def halved_centroids(points: torch.Tensor, num_codes: int, generator: torch.Generator) -> torch.Tensor:
    """Centroids [K, d] of groups of equal size: halve along the principal axis until every group is one cluster."""
    codes = torch.empty(len(points), dtype=torch.int64, device=points.device)
    reduced = _principal_part(points, generator)
    groups = [(torch.arange(len(points), device=points.device), 0, num_codes)]  # rows, first code, clusters to come
    while groups:
        rows, first, count = groups.pop()
        if count == 1 or len(rows) <= 1:
            codes[rows] = first
            continue
        left = count // 2
        ordered = rows[_along_principal_axis(reduced[rows], generator).argsort(stable=True)]
        cut = round(len(rows) * left / count)
        groups += [(ordered[:cut], first, left), (ordered[cut:], first + left, count - left)]
    # A group is empty where points are fewer than clusters: any point serves as its centroid.
    return means(points, codes, points[:1].expand(num_codes, -1))[0]


def _principal_part(points: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """float32 [N, <= 32]: coordinates in about the subspace the points vary most in (randomised range finder,
    Halko, Martinsson & Tropp, SIAM Review 2011, with one power iteration).
    """
    if points.shape[1] <= _TREE_DIM:
        return points
    probe = torch.randn(points.shape[1], _TREE_DIM, generator=generator).to(points.device)
    some = points[: _TREE_DIM * _AXIS_ROWS]
    basis = torch.linalg.qr(some.T @ (some @ probe)).Q
    return points @ basis


def _along_principal_axis(members: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """float32 [n]: places of points along the axis they vary most on, in any unit (power iteration)."""
    some = members[:: max(1, len(members) // _AXIS_ROWS)]  # every n-th: rows are sorted along an earlier axis
    some = some - some.mean(0)
    axis = torch.randn(members.shape[1], generator=generator).to(members.device)
    for _ in range(_POWER_ITERATIONS):
        axis = some.T @ (some @ axis)
        axis = axis / axis.abs().max().clamp_min(1e-30)
    return members @ axis
