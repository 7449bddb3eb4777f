"""Residual k-means: k-means on the vectors, then on what is left over, level by level.

Source: residual vector quantisation with k-means codebooks, as in OneRec's tokenizer (arXiv 2502.18965,
there with balanced clusters) and in RQ-KMeans baselines of semantic-id work; nothing is trained but the centroids.
"""

import dataclasses

import numpy as np
import torch

from genrec.progress import Progress, silent
from genrec.sid.quantize.kmeans import kmeans
from genrec.sid.quantize.tokenizer import Tokenizer, as_tensor, default_device, nearest_codes
from genrec.variants import setting

TOKENIZER = Tokenizer


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of residual k-means."""

    num_iterations: int = setting(50, "Lloyd iterations a level.", ge=1, le=10_000)


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
    """Fit one codebook a level (see `genrec.sid.tokenizers` for the arguments)."""
    place = default_device(device)
    residual = as_tensor(vectors)
    codebooks = []
    for level in range(num_levels):
        progress(level, num_levels, f"level {level + 1}")
        codebook = torch.from_numpy(
            kmeans(residual.numpy(), num_codes, num_iterations=options.num_iterations, seed=seed + level)
        )
        codes = nearest_codes(residual.to(place), codebook.to(place)).cpu()
        residual = residual - codebook[codes]
        codebooks.append(codebook)
    progress(num_levels, num_levels)
    return Tokenizer(torch.stack(codebooks), place)
