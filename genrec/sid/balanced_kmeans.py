"""k-means whose clusters all have nearly the same size: a balanced start, then Lloyd iterations under size bounds.

The assignment step under size bounds is that of Bradley, Bennett & Demiriz, Constrained K-Means Clustering (Microsoft
Research, 2000). Their k-means can start anywhere; here a tree of equal halvings gives the start, so that dense
regions have centroids enough from the beginning and few iterations are left to do.
"""

import torch

from genrec.sid.balance import COARSE, Bounds, Distances, assign_within_bounds, fit_prices, settle_greedily

_POWER_ITERATIONS = 3  # towards the principal axis a group is halved along; the axis need not be exact
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
        seed: of the axes' start and of the sample prices are found on.

    Returns:
        float32 [K, d] centroids, float32 [K] prices and int64 [N] codes that keep the bounds (see
        `genrec.sid.balance.assign_within_bounds`).
    """
    generator = torch.Generator().manual_seed(seed)
    shuffled = points[torch.randperm(len(points), generator=generator).to(points.device)]
    centroids = halved_centroids(shuffled, num_codes, generator)
    inertia = torch.inf
    for _ in range(num_iterations):
        distances = Distances(shuffled, centroids)
        codes = distances.cheapest(fit_prices(distances, bounds, COARSE))
        if distances.is_table:  # else it takes long, and the sizes are near enough for a mean
            codes = settle_greedily(distances, bounds, codes)
        centroids, new_inertia = means(shuffled, codes, centroids)
        if new_inertia >= (1 - tolerance) * inertia:
            break
        inertia = new_inertia
    # A larger sample for the prices that stay: the fewer items have to be moved after them.
    prices = fit_prices(Distances(shuffled, centroids, tables=4), bounds)
    codes, prices = assign_within_bounds(Distances(points, centroids), bounds, prices)
    return centroids, prices, codes


def means(points: torch.Tensor, codes: torch.Tensor, centroids: torch.Tensor) -> tuple[torch.Tensor, float]:
    """The mean of every cluster (its old centroid where it is empty), and the sum of squared distances to the means."""
    num_codes = len(centroids)
    sums = torch.zeros_like(centroids)
    for rows, block in zip(codes.split(_BLOCK_ROWS), points.split(_BLOCK_ROWS), strict=True):
        # A product with the one-hot codes: unlike index_add, it gives the same bytes every time on a GPU too.
        one_hot = torch.zeros(len(block), num_codes, device=points.device).scatter_(1, rows[:, None], 1)
        sums.addmm_(one_hot.T, block)
    counts = torch.bincount(codes, minlength=num_codes)[:, None]
    found = torch.where(counts > 0, sums / counts.clamp_min(1), centroids)
    # sum |x - m|^2 = sum |x|^2 - sum n |m|^2
    explained = float((counts * found.double().square()).sum())
    return found, max(0.0, float(sum(b.double().square().sum() for b in points.split(_BLOCK_ROWS))) - explained)


def halved_centroids(points: torch.Tensor, num_codes: int, generator: torch.Generator) -> torch.Tensor:
    """Centroids [K, d] of groups of equal size: halve along the principal axis until every group is one cluster."""
    centroids = torch.empty(num_codes, points.shape[1], device=points.device)
    groups = [(torch.arange(len(points), device=points.device), 0, num_codes)]
    while groups:
        rows, first, count = groups.pop()
        members = points[rows] if len(rows) else points[:1]
        if count == 1 or len(rows) <= 1:
            centroids[first : first + count] = members.mean(0)
            continue
        left = count // 2
        order = _along_principal_axis(members, generator).argsort(stable=True)
        cut = round(len(rows) * left / count)
        groups += [(rows[order[:cut]], first, left), (rows[order[cut:]], first + left, count - left)]
    return centroids


def _along_principal_axis(members: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """float32 [n]: places of points along the axis they vary most on (power iteration on their covariance)."""
    axis = torch.randn(members.shape[1], generator=generator).to(members.device)
    for _ in range(_POWER_ITERATIONS):
        along = members @ axis
        axis = members.T @ (along - along.mean())
        axis = axis / axis.norm().clamp_min(1e-30)
    return members @ axis
