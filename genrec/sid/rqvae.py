"""RQ-VAE: an autoencoder whose latent is residual-quantised, trained end to end.

Source: TIGER (arXiv 2305.05065, section 3.1: MLP encoder and decoder, latent of 32, commitment weight 0.25, k-means
start) on RQ-VAE (arXiv 2203.01941, section 3.1); unused codes are revived as in Jukebox (arXiv 2005.00341, section 3).
Differences from TIGER: AdamW with a cosine instead of Adagrad, a warm-up of the autoencoder without quantisation so
that the k-means start sees useful latents, inputs scaled to unit variance, the best of all checks is kept.
"""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from genrec.errors import ConfigError, TrainingError
from genrec.progress import Progress, silent
from genrec.sid.kmeans import kmeans
from genrec.sid.tokenizer import Tokenizer, as_tensor, default_device, nearest_codes
from genrec.variants import setting


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the RQ-VAE."""

    latent_dim: int = setting(32, "Width of the quantised latent.", ge=1, le=4096)
    hidden_dims: tuple[int, ...] = setting((512, 256), "Widths of the encoder's layers; the decoder mirrors them.")
    epochs: int = setting(200, "Passes over the items, at most.", ge=1, le=1_000_000)
    warmup_epochs: int = setting(20, "Passes without quantisation before the codebooks are started by k-means.", ge=0)
    batch_size: int = setting(1024, "Items behind one update.", ge=1)
    learning_rate: float = setting(3e-3, "Peak learning rate of AdamW; a cosine takes it to zero.", gt=0, le=1)
    weight_decay: float = setting(1e-4, "AdamW weight decay of the MLPs' matrices.", ge=0)
    commitment: float = setting(0.25, "Weight of the commitment loss (beta).", ge=0)
    eval_every: int = setting(20, "Epochs between checks of collisions and reconstruction.", ge=1)
    patience: int = setting(6, "Checks without improvement before stopping.", ge=1)


class RqVaeTokenizer(Tokenizer):
    """Codebooks on the latents of an MLP autoencoder.

    Args:
        codebooks: float32 [num_levels, num_codes, latent_dim].
        encoder, decoder: MLPs d -> latent_dim and back.
        mean, scale: float32 [d] and []: inputs are (vectors - mean) / scale.
    """

    def __init__(
        self,
        codebooks: torch.Tensor,
        encoder: nn.Sequential,
        decoder: nn.Sequential,
        mean: torch.Tensor,
        scale: torch.Tensor,
        device: str | torch.device | None = None,
    ) -> None:
        super().__init__(codebooks, device)
        self.encoder, self.decoder = encoder.to(self.device).eval(), decoder.to(self.device).eval()
        self.mean, self.scale = mean.to(self.device), scale.to(self.device)

    def latents(self, vectors: torch.Tensor) -> torch.Tensor:
        return self.encoder((vectors - self.mean) / self.scale)

    def from_latents(self, latents: torch.Tensor) -> torch.Tensor:
        return self.decoder(latents) * self.scale + self.mean

    def tensors(self) -> dict[str, torch.Tensor]:
        state = {"codebooks": self._codebooks, "mean": self.mean, "scale": self.scale}
        for name, module in (("encoder", self.encoder), ("decoder", self.decoder)):
            state |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
        return state

    @classmethod
    def from_tensors(cls, tensors: dict[str, torch.Tensor], device: str | torch.device | None = None) -> RqVaeTokenizer:
        parts = {}
        for name in ("encoder", "decoder"):
            state = {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}
            weights = [state[k] for k in sorted((k for k in state if k.endswith("weight")), key=_layer_number)]
            with torch.device("meta"):  # no random start for weights that are replaced anyway
                parts[name] = mlp([weights[0].shape[1], *(w.shape[0] for w in weights)])
            parts[name].load_state_dict(state, assign=True)
        return cls(tensors["codebooks"], parts["encoder"], parts["decoder"], tensors["mean"], tensors["scale"], device)


TOKENIZER = RqVaeTokenizer


def _layer_number(key: str) -> int:
    return int(key.split(".")[0])


def mlp(dims: list[int]) -> nn.Sequential:
    """Linear layers of the given widths with ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(dims):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


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
    """Train an RQ-VAE (see `genrec.sid.tokenizer` for the arguments); the whole table stays on the device.

    Every `eval_every` epochs the collision rate and the reconstruction error (unexplained share of the variance) of
    all items are measured; the state with the smallest sum of the two is returned. Either alone misleads: the fewest
    collisions come early, with codes that say little about an item.
    """
    if any(dim < 1 for dim in options.hidden_dims):
        raise ConfigError(f"sid.options.hidden_dims: {list(options.hidden_dims)} holds a width below 1")
    trainer = _Trainer(vectors, num_levels, num_codes, options, seed, default_device(device))
    best, best_tensors, checks_since = math.inf, None, 0
    for epoch in range(options.warmup_epochs + options.epochs):
        if epoch == options.warmup_epochs:
            trainer.start_codebooks(seed)
        loss = trainer.train_epoch(epoch)
        trained = epoch + 1 - options.warmup_epochs
        last = trained == options.epochs
        if trained <= 0 or (trained % options.eval_every and not last):
            continue
        collisions, error = trainer.check()
        progress(trained, options.epochs, "epoch", loss=loss, collision_rate=collisions, reconstruction_error=error)
        if best_tensors is None or collisions + error < best:
            best, checks_since = collisions + error, 0
            best_tensors = {k: v.detach().clone() for k, v in trainer.tokenizer().tensors().items()}
        else:
            checks_since += 1
        if checks_since >= options.patience:
            break
    assert best_tensors is not None
    progress(options.epochs, options.epochs)
    return RqVaeTokenizer.from_tensors(best_tensors, trainer.device)


class _Trainer:
    """The autoencoder, its codebooks and its optimizer, over a table of items that is resident on the device."""

    def __init__(
        self, vectors: np.ndarray, num_levels: int, num_codes: int, options: Config, seed: int, device: torch.device
    ) -> None:
        self.options, self.device = options, device
        table = as_tensor(vectors).to(device)
        self.mean = table.mean(0)
        # Vectors that are all alike have no scale; any will do.
        self.scale = (table - self.mean).square().mean().sqrt().clamp_min(1e-12)
        if not bool(self.scale > 1e-6 * table.abs().max()):
            self.scale = torch.ones_like(self.scale)
        self.table = (table - self.mean) / self.scale
        # Random numbers come from the CPU, so that a seed means the same on every device.
        self.generator = torch.Generator().manual_seed(seed)
        dims = [table.shape[1], *options.hidden_dims, options.latent_dim]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder, self.decoder = mlp(dims).to(device), mlp(dims[::-1]).to(device)
        self.codebooks = nn.Parameter(torch.zeros(num_levels, num_codes, options.latent_dim, device=device))
        matrices = [p for m in (self.encoder, self.decoder) for p in m.parameters() if p.ndim == 2]
        others = [p for m in (self.encoder, self.decoder) for p in m.parameters() if p.ndim != 2]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": options.weight_decay},
                {"params": [*others, self.codebooks], "weight_decay": 0.0},
            ],
            lr=options.learning_rate,
        )
        self.quantizing = False

    @torch.no_grad()
    def start_codebooks(self, seed: int) -> None:
        """Residual k-means on the latents of all items."""
        residual = self.encoder(self.table)
        for level in range(len(self.codebooks)):
            codebook = kmeans(residual.cpu().numpy(), self.codebooks.shape[1], num_iterations=10, seed=seed + level)
            self.codebooks[level] = torch.from_numpy(codebook).to(self.device)
            residual = residual - self.codebooks[level][nearest_codes(residual, self.codebooks[level])]
        self.quantizing = True

    def train_epoch(self, epoch: int) -> float:
        """One pass in random order; the mean loss. Codes no item used are moved at its end."""
        order = torch.randperm(len(self.table), generator=self.generator).to(self.device)
        batches = order.split(self.options.batch_size)
        total_epochs = self.options.warmup_epochs + self.options.epochs
        used = torch.zeros(self.codebooks.shape[:2], dtype=torch.bool, device=self.device)
        losses = torch.zeros(len(batches), device=self.device)
        for number, rows in enumerate(batches):
            share_done = (epoch + number / len(batches)) / total_epochs
            for group in self.optimizer.param_groups:
                group["lr"] = self.options.learning_rate * (1 + math.cos(math.pi * share_done)) / 2
            losses[number] = self._step(self.table[rows], used)
        # One look a pass: asking after every step would make a GPU wait for the host each time.
        loss = float(losses.mean())
        if not math.isfinite(loss):
            batch = int((~losses.isfinite()).nonzero()[0])
            raise TrainingError(
                f"sid (rqvae): the loss is {loss} in epoch {epoch + 1}, batch {batch + 1} of {len(batches)}; "
                f"lower sid.options.learning_rate ({self.options.learning_rate})"
            )
        if self.quantizing:
            self._revive(used)
        return loss

    def _step(self, batch: torch.Tensor, used: torch.Tensor) -> torch.Tensor:
        latents = self.encoder(batch)
        if self.quantizing:
            quantized = quantize(latents, self.codebooks, self.options.commitment)
            used.scatter_(1, quantized.codes.T, True)
            # Straight through: the decoder sees the codes, the encoder gets the decoder's gradient.
            decoded = self.decoder(latents + (quantized.summed - latents).detach())
            loss = functional.mse_loss(decoded, batch) + quantized.loss
        else:
            loss = functional.mse_loss(self.decoder(latents), batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    @torch.no_grad()
    def _revive(self, used: torch.Tensor) -> None:
        """Move each code no item used in this pass to the residual of a random item."""
        if bool(used.all()):
            return
        residual = self.encoder(self.table)
        for level, codebook in enumerate(self.codebooks):
            dead = (~used[level]).nonzero()[:, 0]
            if len(dead) and len(self.table) > len(dead):
                picked = torch.randperm(len(self.table), generator=self.generator)[: len(dead)].to(self.device)
                codebook[dead] = residual[picked]
                state = self.optimizer.state.get(self.codebooks, {})
                for name in ("exp_avg", "exp_avg_sq"):
                    if name in state:
                        state[name][level][dead] = 0
            residual = residual - codebook[nearest_codes(residual, codebook)]

    def tokenizer(self) -> RqVaeTokenizer:
        return RqVaeTokenizer(self.codebooks, self.encoder, self.decoder, self.mean, self.scale, self.device)

    @torch.no_grad()
    def check(self) -> tuple[float, float]:
        """Collision rate of all items, and the share of variance that decoding leaves unexplained."""
        quantized = quantize(self.encoder(self.table), self.codebooks, 0.0)
        _, inverse, counts = quantized.codes.unique(dim=0, return_inverse=True, return_counts=True)
        collisions = float((counts[inverse] > 1).float().mean())
        error = float(functional.mse_loss(self.decoder(quantized.summed), self.table))
        return collisions, error
