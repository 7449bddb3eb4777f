"""Assignment of points to centroids when every centroid must get between `low` and `high` points.

This is a transport problem: minimise the sum of squared distances under the size bounds. Three steps, from cheap to
exact:

1. Prices of centroids under which sizes nearly keep the bounds (`genrec.sid.quantize.prices`).
2. Every point takes the centroid with the smallest distance + price. This is optimal for the sizes it gives, which
   are nearly right.
3. Shortest augmenting paths correct the rest (`genrec.sid.quantize.paths`). Where the table of distances is too large
   to be held, the surplus moves greedily in blocks instead, the cheapest moves first.
"""

import numpy as np
import torch

from genrec.sid.quantize.distances import Bounds, Distances
from genrec.sid.quantize.paths import ShortestPaths
from genrec.sid.repair import rank_within


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
    codes, settled = ShortestPaths(distances.sample().cpu().numpy(), prices.cpu().numpy(), bounds).run()
    device = prices.device
    return torch.from_numpy(codes).to(device), torch.from_numpy(settled.astype(np.float32)).to(device)


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
