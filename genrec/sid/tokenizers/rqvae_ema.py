"""RQ-VAE whose codebooks follow the latents by an exponential moving average, with even use of the last level.

Source: the moving average and its Laplace smoothing are VQ-VAE's (arXiv 1711.00937, appendix A.1), the autoencoder is
that of `rqvae`; spreading the last level by optimal transport (Sinkhorn) is LC-Rec's uniform semantic mapping
(arXiv 2311.09049). LC-Rec transports within batches and within groups that collide; here the last level has prices
from a transport of all items (`genrec.sid.quantize.prices`), which also encode new items, and the items of a
catalogue that share all codes but the last are spread over the last level by a transport of their own, at most one to
a code.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import torch
from torch.nn import functional

from genrec.progress import Progress, silent
from genrec.sid.prefixes import distinct_prefixes
from genrec.sid.quantize.autoencoder import AutoencoderTokenizer
from genrec.sid.quantize.autoencoder_training import AutoencoderConfig, Trainer, train
from genrec.sid.quantize.distances import Bounds, Distances, size_bounds
from genrec.sid.quantize.prices import COARSE, FINEST, fit_prices
from genrec.sid.quantize.tokenizer import Tokenizer, as_tensor, default_device, nearest_codes
from genrec.variants import setting


@dataclasses.dataclass(frozen=True)
class Config(AutoencoderConfig):
    """Settings of the RQ-VAE with moving-average codebooks."""

    decay: float = setting(0.99, "Weight of the past in the moving averages behind a codebook.", ge=0, lt=1)
    smoothing: float = setting(1e-5, "Laplace smoothing: added to every code's average count.", gt=0)
    last_level: Literal["sinkhorn", "nearest"] = setting(
        "sinkhorn", "sinkhorn spreads items evenly over the last level; nearest takes the nearest code there too."
    )


class SpreadTokenizer(AutoencoderTokenizer):
    """An autoencoder tokenizer that spreads the last level of a catalogue where it has prices."""

    @torch.no_grad()
    def encode_catalogue(self, vectors: np.ndarray) -> np.ndarray:
        """int32 [N, num_levels]; items with the same codes but the last get different ones unless they are alike."""
        codes = self.encode(vectors)
        if self._prices is None:
            return codes
        cells, ids = distinct_prefixes(codes[:, :-1]), distinct_prefixes(codes)
        clashing = np.zeros(len(cells.counts), dtype=bool)
        clashing[cells.of_row[ids.counts[ids.of_row] > 1]] = True
        order = np.argsort(cells.of_row, kind="stable")
        residual = as_tensor(self.project(vectors)).to(self.device)
        rows = torch.from_numpy(codes.astype(np.int64)).to(self.device)
        for level, codebook in enumerate(self._codebooks[:-1]):
            residual = residual - codebook[rows[:, level]]
        for end, count in zip(np.cumsum(cells.counts)[clashing], cells.counts[clashing], strict=True):
            members = order[end - count : end]
            distances = Distances(residual[torch.from_numpy(members).to(self.device)], self._codebooks[-1])
            # More items than codes: each code gets the fewest it can.
            room = Bounds(0, -(-int(count) // self.num_codes))
            codes[members, -1] = distances.cheapest(fit_prices(distances, room, FINEST)).cpu().numpy()
        return codes


TOKENIZER = SpreadTokenizer


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
    """Train it (see `genrec.sid.tokenizers` for the arguments); the whole table stays on the device."""
    trainer = _AverageTrainer(vectors, num_levels, num_codes, options, seed, default_device(device))
    return SpreadTokenizer.from_tensors(train(trainer, progress), trainer.device)


class _AverageTrainer(Trainer):
    """Codebooks are the moving averages of the residuals that chose them; only the MLPs learn by gradient."""

    name = "rqvae_ema"
    options: Config
    prices: torch.Tensor | None = None  # [num_codes] of the last level

    @torch.no_grad()
    def start_codebooks(self) -> None:
        super().start_codebooks()
        # As if every code had been chosen equally often up to now.
        per_code = min(self.options.batch_size, len(self.table)) / self.codebooks.shape[1]
        self.counts = torch.full(self.codebooks.shape[:2], per_code, device=self.device)
        self.sums = self.codebooks * per_code
        self._price_last_level()

    def quantized_loss(self, batch: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        residual, loss = latents, latents.new_zeros(())
        chosen_by_level = []
        for level, codebook in enumerate(self.codebooks):
            codes = nearest_codes(residual.detach(), codebook, self.level_prices(level))
            chosen = codebook[codes]
            loss = loss + functional.mse_loss(residual, chosen)
            self._average(level, codes, residual.detach())
            chosen_by_level.append(chosen)
            residual = residual - chosen
        summed = torch.stack(chosen_by_level).sum(0)
        # Straight through: the decoder sees the codes, the encoder gets the decoder's gradient.
        decoded = self.trained(self.decoder, latents + (summed - latents).detach())
        return functional.mse_loss(decoded, batch) + self.options.commitment * loss

    def level_prices(self, level: int) -> torch.Tensor | None:
        return self.prices if level == len(self.codebooks) - 1 else None

    @torch.no_grad()
    def _average(self, level: int, codes: torch.Tensor, residual: torch.Tensor) -> None:
        """Take a batch into the averages and move the codebook of a level (out of place: the loss still reads it)."""
        decay, smoothing = self.options.decay, self.options.smoothing
        one_hot = functional.one_hot(codes, self.codebooks.shape[1]).to(residual.dtype)
        self.counts[level] = decay * self.counts[level] + (1 - decay) * one_hot.sum(0)
        self.sums[level] = decay * self.sums[level] + (1 - decay) * (one_hot.T @ residual)
        total = self.counts[level].sum()
        smoothed = (self.counts[level] + smoothing) / (total + len(self.counts[level]) * smoothing) * total
        codebooks = self.codebooks.clone()
        codebooks[level] = self.sums[level] / smoothed[:, None]
        self.codebooks = codebooks

    @torch.no_grad()
    def revive(self) -> None:
        """Move codes whose average use is nearly zero to residuals of random items; price the last level again."""
        residual = self.sampled_latents()
        per_code = min(self.options.batch_size, len(self.table)) / self.codebooks.shape[1]
        for level, codebook in enumerate(self.codebooks):
            dead = (self.counts[level] < 0.02 * per_code).nonzero()[:, 0]
            if len(dead) and len(residual) > len(dead):
                picked = torch.randperm(len(residual), generator=self.generator)[: len(dead)].to(self.device)
                codebook[dead] = residual[picked]
                self.counts[level, dead] = per_code
                self.sums[level, dead] = residual[picked] * per_code
            residual = residual - codebook[nearest_codes(residual, codebook, self.level_prices(level))]
        self._price_last_level()

    def _price_last_level(self) -> None:
        if self.options.last_level == "nearest":
            return
        residual = self.sampled_latents()
        for codebook in self.codebooks[:-1]:
            residual = residual - codebook[nearest_codes(residual, codebook)]
        bounds = size_bounds(len(residual), self.codebooks.shape[1], 1, 0.0)
        order = torch.randperm(len(residual), generator=self.generator).to(self.device)
        self.prices = fit_prices(Distances(residual[order], self.codebooks[-1]), bounds, COARSE)

    def tokenizer(self) -> SpreadTokenizer:
        prices = None
        if self.prices is not None:
            prices = torch.zeros(self.codebooks.shape[:2], device=self.device)
            prices[-1] = self.prices
        return SpreadTokenizer(self.codebooks, self.encoder, self.decoder, self.inputs, self.device, prices)
