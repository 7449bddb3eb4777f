"""Tokenizers in general: vectors to one code a level and back. The variants are in `genrec.sid.tokenizers`.

Residual quantisation (arXiv 2203.01941, section 3.1; TIGER, arXiv 2305.05065, section 3.1): level l encodes what the
levels before it left over, so codes go from coarse to fine.
"""

from __future__ import annotations

import numpy as np
import torch

MEASURED_ITEMS = 1 << 18  # whose error is measured, at most: decoding a million takes half a minute a level
_BLOCK_ELEMENTS = 1 << 25  # entries of a distance matrix held at once (128 MiB of float32)


def default_device(device: str | None) -> torch.device:
    """The given device, else the GPU where there is one."""
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def as_tensor(array: np.ndarray) -> torch.Tensor:
    """float32 tensor on the CPU; shares memory where it can (read-only arrays, as Parquet gives, are copied)."""
    array = np.ascontiguousarray(array, dtype=np.float32)
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def nearest_codes(vectors: torch.Tensor, codebook: torch.Tensor, prices: torch.Tensor | None = None) -> torch.Tensor:
    """int64 [N]: the row of `codebook` [K, d] nearest to each of `vectors` [N, d].

    Nearest is what has the smallest squared Euclidean distance, plus the code's price [K] where prices are given.
    """
    half_norms = codebook.square().sum(1) / 2
    if prices is not None:
        half_norms = half_norms + prices / 2
    block = max(1, _BLOCK_ELEMENTS // len(codebook))
    return torch.cat([(half_norms - part @ codebook.T).argmin(1) for part in vectors.split(block)])


class Tokenizer:
    """Residual quantisation with codebooks [L, K, d]; subclasses put a learned map before and after it.

    Args:
        codebooks: float32 [num_levels, num_codes, latent_dim].
        device: where it computes.
        prices: float32 [num_levels, num_codes], added to squared distances when a code is chosen; None for none.
    """

    def __init__(
        self,
        codebooks: torch.Tensor,
        device: str | torch.device | None = None,
        prices: torch.Tensor | None = None,
    ) -> None:
        self.device = device if isinstance(device, torch.device) else default_device(device)
        self._codebooks = codebooks.detach().float().to(self.device)
        self._prices = None if prices is None else prices.detach().float().to(self.device)

    # ---- what a subclass with a learned map overrides -------------------------------------------------------------
    def latents(self, vectors: torch.Tensor) -> torch.Tensor:
        """What is quantised: float32 [N, latent_dim] for vectors [N, d]. Here the vectors themselves."""
        return vectors

    def from_latents(self, latents: torch.Tensor) -> torch.Tensor:
        """Vectors [N, d] for latents [N, latent_dim]."""
        return latents

    def tensors(self) -> dict[str, torch.Tensor]:
        """All state, by name; `from_tensors` builds the same tokenizer again."""
        state = {"codebooks": self._codebooks}
        return state if self._prices is None else {**state, "prices": self._prices}

    @classmethod
    def from_tensors(cls, tensors: dict[str, torch.Tensor], device: str | torch.device | None = None) -> Tokenizer:
        return cls(tensors["codebooks"], device, tensors.get("prices"))

    def encode_catalogue(self, vectors: np.ndarray) -> np.ndarray:
        """int32 [N, num_levels]: raw codes of the catalogue the tokenizer was fitted on.

        As `encode`, unless the tokenizer promises something of all items together, such as cluster sizes.
        """
        return self.encode(vectors)

    # ---- what all share -------------------------------------------------------------------------------------------
    @property
    def codebooks(self) -> np.ndarray:
        """float32 [num_levels, num_codes, latent_dim]."""
        return self._codebooks.cpu().numpy()

    @property
    def num_levels(self) -> int:
        return self._codebooks.shape[0]

    @property
    def num_codes(self) -> int:
        return self._codebooks.shape[1]

    @torch.no_grad()
    def project(self, vectors: np.ndarray) -> np.ndarray:
        """float32 [N, latent_dim]: `latents` of vectors [N, d], in blocks."""
        return torch.cat([self.latents(part).cpu() for part in self._blocks(vectors)]).numpy()

    @torch.no_grad()
    def encode(self, vectors: np.ndarray) -> np.ndarray:
        """int32 [N, num_levels]: the raw codes of vectors [N, d]; items may share them."""
        rows = []
        for part in self._blocks(vectors):
            residual = self.latents(part)
            codes = []
            for level, codebook in enumerate(self._codebooks):
                prices = None if self._prices is None else self._prices[level]
                codes.append(nearest_codes(residual, codebook, prices))
                residual = residual - codebook[codes[-1]]
            rows.append(torch.stack(codes, 1).cpu())
        return torch.cat(rows).numpy().astype(np.int32)

    @torch.no_grad()
    def decode(self, codes: np.ndarray) -> np.ndarray:
        """float32 [N, d]: the vectors that codes [N, <= num_levels] decode to; fewer levels give coarser ones."""
        parts = []
        for part in torch.from_numpy(codes.astype(np.int64)).split(65536):
            summed = torch.zeros(len(part), self._codebooks.shape[2], device=self.device)
            for level, codebook in enumerate(self._codebooks[: codes.shape[1]]):
                summed += codebook[part[:, level].to(self.device)]
            parts.append(self.from_latents(summed).cpu())
        return torch.cat(parts).numpy()

    def residual_errors(self, vectors: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """float64 [num_levels]: the share of the vectors' variance not explained by the first 1..L codes.

        0 is perfect, 1 as good as the mean vector; above 1 is worse than the mean. All zero where vectors do not vary.
        Of very many vectors, a fixed random sample is measured.
        """
        if len(vectors) > MEASURED_ITEMS:
            rows = np.sort(np.random.default_rng(0).choice(len(vectors), MEASURED_ITEMS, replace=False))
            vectors, codes = vectors[rows], codes[rows]
        # About the mean, and in float64: squares of small differences of large numbers lose too much in float32.
        variance = float(np.square(vectors - vectors.mean(axis=0, dtype=np.float64)).sum())
        if variance <= 1e-12 * max(1.0, float(np.square(vectors, dtype=np.float64).sum())):
            return np.zeros(self.num_levels)
        errors = [
            float(np.square(vectors - self.decode(codes[:, : level + 1]), dtype=np.float64).sum())
            for level in range(self.num_levels)
        ]
        return np.array(errors) / variance

    def _blocks(self, vectors: np.ndarray) -> list[torch.Tensor]:
        """Vectors on the device, in blocks that do not depend on anything but their number."""
        return [part.to(self.device) for part in as_tensor(vectors).split(65536)]
