"""RQ-VAE: an autoencoder whose latent is residual-quantised, trained end to end.

Source: TIGER (arXiv 2305.05065, section 3.1: MLP encoder and decoder, latent of 32, commitment weight 0.25, k-means
start) on RQ-VAE (arXiv 2203.01941, section 3.1); unused codes are revived as in Jukebox (arXiv 2005.00341, section 3).
Differences from TIGER: AdamW with a cosine instead of Adagrad, a warm-up of the autoencoder without quantisation so
that the k-means start sees useful latents, inputs scaled to unit variance, the best of all checks is kept.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from genrec.progress import Progress, silent
from genrec.sid.quantize.autoencoder import AutoencoderTokenizer
from genrec.sid.quantize.autoencoder_training import AutoencoderConfig, Trainer, train
from genrec.sid.quantize.tokenizer import Tokenizer, default_device, nearest_codes
from genrec.variants import setting

TOKENIZER = AutoencoderTokenizer


@dataclasses.dataclass(frozen=True)
class Config(AutoencoderConfig):
    """Settings of the RQ-VAE."""

    learning_rate: float = setting(3e-3, "Peak learning rate of AdamW; a cosine takes it to zero.", gt=0, le=1)


@dataclasses.dataclass
class Quantized:
    """What residual quantisation of latents [B, latent_dim] gives."""

    summed: torch.Tensor  # [B, latent_dim], sum of the chosen code vectors
    codes: torch.Tensor  # int64 [B, num_levels]
    loss: torch.Tensor  # codebook loss + commitment x commitment loss, summed over levels


def quantize(latents: torch.Tensor, codebooks: torch.Tensor, commitment: float) -> Quantized:
    """Quantise level by level with the two losses of VQ-VAE at each (arXiv 2203.01941, equations 3 to 7)."""
    residual, summed, codes = latents, torch.zeros_like(latents), []
    loss = latents.new_zeros(())
    for codebook in codebooks:
        code = nearest_codes(residual.detach(), codebook.detach())
        chosen = codebook[code]
        loss = loss + functional.mse_loss(chosen, residual.detach())
        loss = loss + commitment * functional.mse_loss(residual, chosen.detach())
        summed = summed + chosen
        residual = residual - chosen.detach()
        codes.append(code)
    return Quantized(summed, torch.stack(codes, 1), loss)


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
    """Train an RQ-VAE (see `genrec.sid.tokenizers` for the arguments); the whole table stays on the device."""
    trainer = _GradientTrainer(vectors, num_levels, num_codes, options, seed, default_device(device))
    return AutoencoderTokenizer.from_tensors(train(trainer, progress), trainer.device)


class _GradientTrainer(Trainer):
    """Codebooks learn by gradient, as parameters of the codebook loss."""

    name = "rqvae"
    options: Config

    def codebook_parameters(self) -> list[nn.Parameter]:
        parameter = nn.Parameter(self.codebooks)
        self.codebooks = parameter
        self.used = torch.zeros(parameter.shape[:2], dtype=torch.bool, device=self.device)
        return [parameter]

    def quantized_loss(self, batch: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        quantized = quantize(latents, self.codebooks, self.options.commitment)
        self.used.scatter_(1, quantized.codes.T, True)
        # Straight through: the decoder sees the codes, the encoder gets the decoder's gradient.
        decoded = self.trained(self.decoder, latents + (quantized.summed - latents).detach())
        return functional.mse_loss(decoded, batch) + quantized.loss

    @torch.no_grad()
    def revive(self) -> None:
        """Move each code no item used in this pass to the residual of a random item."""
        used, self.used = self.used, torch.zeros_like(self.used)
        if bool(used.all()):
            return
        residual = self.sampled_latents()
        for level, codebook in enumerate(self.codebooks):
            dead = (~used[level]).nonzero()[:, 0]
            if len(dead) and len(residual) > len(dead):
                picked = torch.randperm(len(residual), generator=self.generator)[: len(dead)].to(self.device)
                codebook[dead] = residual[picked]
                state = self.optimizer.state.get(self.codebooks, {})
                for name in ("exp_avg", "exp_avg_sq"):
                    if name in state:
                        state[name][level][dead] = 0
            residual = residual - codebook[nearest_codes(residual, codebook)]
