"""Residual k-means with clusters of nearly the same size at every level.

Source: the balanced k-means tokenizer of OneRec (arXiv 2502.18965). Even use of the codes means few items with the
same id, and no code that a recommender learns only because it is frequent. The clustering is
`genrec.sid.quantize.balanced_kmeans`: sizes are exact, assignments optimal for their centroids (nearly so for
catalogues of tens of thousands of items and more).

Each code keeps a price, which is added to its squared distance: a new item takes the cheapest code, as the items of
the catalogue did, but new items are not counted against the sizes.
"""

import dataclasses

import numpy as np
import torch

from genrec.progress import Progress, silent
from genrec.sid.quantize.balance import assign_within_bounds
from genrec.sid.quantize.balanced_kmeans import balanced_kmeans
from genrec.sid.quantize.distances import Bounds, Distances, size_bounds
from genrec.sid.quantize.tokenizer import Tokenizer, as_tensor, default_device
from genrec.variants import setting


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of balanced residual k-means."""

    size_slack: int = setting(
        1, "Items a cluster may have more or less than floor(items / codes); never fewer than 0.", ge=1
    )
    size_tolerance: float = setting(
        0.0, "The same as a share of items / codes; the larger of the two counts. 1 and more binds hardly at all.", ge=0
    )
    num_iterations: int = setting(20, "Lloyd iterations a level, at most.", ge=1, le=10_000)
    tolerance: float = setting(3e-3, "Stop when an iteration lowers the inertia by less than this share.", ge=0, lt=1)


class BalancedTokenizer(Tokenizer):
    """Residual quantisation that keeps size bounds over the catalogue it was fitted on.

    Args:
        codebooks: float32 [num_levels, num_codes, d].
        prices: float32 [num_levels, num_codes].
        balance: float32 [2]: size_slack and size_tolerance.
    """

    def __init__(
        self,
        codebooks: torch.Tensor,
        prices: torch.Tensor,
        balance: torch.Tensor,
        device: str | torch.device | None = None,
    ) -> None:
        super().__init__(codebooks, device, prices)
        self.balance = balance

    def tensors(self) -> dict[str, torch.Tensor]:
        return {**super().tensors(), "balance": self.balance}

    @classmethod
    def from_tensors(
        cls, tensors: dict[str, torch.Tensor], device: str | torch.device | None = None
    ) -> "BalancedTokenizer":
        return cls(tensors["codebooks"], tensors["prices"], tensors["balance"], device)

    @torch.no_grad()
    def encode_catalogue(self, vectors: np.ndarray) -> np.ndarray:
        """int32 [N, num_levels]: codes whose sizes keep the bounds at every level."""
        assert self._prices is not None
        residual = as_tensor(vectors).to(self.device)
        slack, tolerance = self.balance.tolist()
        bounds = size_bounds(len(vectors), self.num_codes, int(slack), tolerance)
        codes = []
        for codebook, prices in zip(self._codebooks, self._prices, strict=True):
            chosen, _ = assign_within_bounds(Distances(residual, codebook), bounds, prices)
            codes.append(chosen)
            residual = residual - codebook[chosen]
        return torch.stack(codes, 1).cpu().numpy().astype(np.int32)


TOKENIZER = BalancedTokenizer


def promised_sizes(num_items: int, num_codes: int, options: Config) -> tuple[int, int]:
    """The fewest and the most items a code of any level gets in the catalogue the tokenizer is fitted on."""
    bounds = size_bounds(num_items, num_codes, options.size_slack, options.size_tolerance)
    return bounds.low, bounds.high


@torch.no_grad()
def fit(
    vectors: np.ndarray,
    *,
    num_levels: int,
    num_codes: int,
    options: Config,
    seed: int,
    device: str | None = None,
    progress: Progress = silent,
) -> Tokenizer:
    """Fit one codebook a level (see `genrec.sid.tokenizers` for the arguments).

    `encode_catalogue` keeps what `promised_sizes` says at every level.
    """
    place = default_device(device)
    residual = as_tensor(vectors).to(place)
    bounds = Bounds(*promised_sizes(len(vectors), num_codes, options))
    codebooks, all_prices = [], []
    for level in range(num_levels):
        progress(level, num_levels, f"level {level + 1}")
        centroids, prices, codes = balanced_kmeans(
            residual,
            num_codes,
            bounds,
            num_iterations=options.num_iterations,
            tolerance=options.tolerance,
            seed=seed + level,
        )
        residual = residual - centroids[codes]
        codebooks.append(centroids)
        all_prices.append(prices)
    progress(num_levels, num_levels)
    balance = torch.tensor([options.size_slack, options.size_tolerance], dtype=torch.float32)
    return BalancedTokenizer(torch.stack(codebooks), torch.stack(all_prices), balance, place)
