"""Training of a residual-quantised autoencoder: its settings, the loop around a quantised step, and the best state."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from genrec.bf16 import computes_bf16
from genrec.errors import ConfigError, TrainingError
from genrec.progress import Progress
from genrec.sid.prefixes import distinct_prefixes
from genrec.sid.quantize.autoencoder import AutoencoderTokenizer, mlp
from genrec.sid.quantize.inputs import Inputs
from genrec.sid.quantize.kmeans import kmeans
from genrec.sid.quantize.tokenizer import MEASURED_ITEMS, as_tensor, nearest_codes
from genrec.variants import setting

# vector-quantize-pytorch (1.32) has quantising layers too. Forward and backward of a batch of 1,024 latents of width 32
# through 3 levels of 256 codes take 8.2 ms there with moving averages and 6.8 ms with learned codebooks, 4.3 and 2.0 ms
# here; its k-means start takes 10 times as long as faiss; its codes have no prices, and it draws from torch's global
# random state.

_BLOCK_ROWS = 65536


@dataclasses.dataclass(frozen=True)
class AutoencoderConfig:
    """The settings every autoencoder has."""

    latent_dim: int = setting(32, "Width of the quantised latent.", ge=1, le=4096)
    hidden_dims: tuple[int, ...] = setting((512, 256), "Widths of the encoder's layers; the decoder mirrors them.")
    epochs: int = setting(200, "Passes over the items, at most.", ge=1, le=1_000_000)
    warmup_epochs: int = setting(20, "Passes without quantisation before the codebooks are started by k-means.", ge=0)
    batch_size: int = setting(1024, "Items behind one update.", ge=1)
    learning_rate: float = setting(1e-3, "Peak learning rate of AdamW; a cosine takes it to zero.", gt=0, le=1)
    weight_decay: float = setting(1e-4, "AdamW weight decay of the MLPs' matrices.", ge=0)
    commitment: float = setting(0.25, "Weight of the commitment loss (beta).", ge=0)
    whitening: float = setting(
        0.0, "How far the variances of the inputs' principal axes are evened out: 0 not at all, 1 wholly.", ge=0, le=1
    )
    eval_every: int = setting(20, "Epochs between checks of collisions and reconstruction.", ge=1)
    patience: int = setting(6, "Checks without improvement before stopping.", ge=1)
    pass_items: int = setting(
        32_768,
        "Items of a pass at most: a larger catalogue takes several passes to be read once, in random order.",
        ge=1,
        later=True,
    )
    precision: Literal["fp32", "bf16"] = setting(
        "fp32",
        "bf16 trains the MLPs by products in bfloat16, on CPUs that have them in hardware and on GPUs: half of the time. "
        "Codes are chosen and the catalogue is encoded in fp32.",
        later=True,
    )


class Trainer(ABC):
    """An autoencoder, its codebooks and its optimizer, over a table of items that stays on the device.

    A subclass says what a quantised batch costs (`quantized_loss`), how codes nobody uses are revived (`revive`), and
    which parameters the optimizer updates beside the MLPs' (`codebook_parameters`).
    """

    name: str  # of the method, for messages

    def __init__(
        self,
        vectors: np.ndarray,
        num_levels: int,
        num_codes: int,
        options: AutoencoderConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        if any(dim < 1 for dim in options.hidden_dims):
            raise ConfigError(f"sid.options.hidden_dims: {list(options.hidden_dims)} holds a width below 1")
        self.options, self.seed, self.device = options, seed, device
        self.in_bf16 = options.precision == "bf16"
        if self.in_bf16 and not computes_bf16(device):
            raise ConfigError(
                f"sid.options.precision is bf16, but this machine would only emulate it ({device}); set it to fp32"
            )
        table = as_tensor(vectors).to(device)
        self.inputs = Inputs.of(table, options.whitening)
        self.table = self.inputs.forward(table)
        # Random numbers come from the CPU, so that a seed means the same on every device.
        self.generator = torch.Generator().manual_seed(seed)
        dims = [table.shape[1], *options.hidden_dims, options.latent_dim]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder, self.decoder = mlp(dims).to(device), mlp(dims[::-1]).to(device)
        self.codebooks = torch.zeros(num_levels, num_codes, options.latent_dim, device=device)
        learned = [p for m in (self.encoder, self.decoder) for p in m.parameters()]
        matrices = [p for p in learned if p.ndim == 2]
        others = [p for p in learned if p.ndim != 2] + self.codebook_parameters()
        self.optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": options.weight_decay}, {"params": others, "weight_decay": 0.0}],
            lr=options.learning_rate,
        )
        self.quantizing = False
        self._checked = self.table  # what is measured between passes
        if len(self.table) > MEASURED_ITEMS:
            rows = torch.randperm(len(self.table), generator=torch.Generator().manual_seed(seed))[:MEASURED_ITEMS]
            self._checked = self.table[rows.to(device)]
        self._waiting = torch.empty(0, dtype=torch.int64)  # rows that the passes so far have left unread

    def codebook_parameters(self) -> list[nn.Parameter]:
        """Parameters the optimizer updates beside the MLPs'."""
        return []

    def level_prices(self, level: int) -> torch.Tensor | None:
        """Prices [num_codes] of the codes of a level (see `Tokenizer`), or None for none."""
        return None

    @abstractmethod
    def quantized_loss(self, batch: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """The loss of a batch [B, d] with latents [B, latent_dim], with all its quantisation terms."""

    @abstractmethod
    def revive(self) -> None:
        """At the end of a pass: move the codes that nobody uses."""

    def rows_of_pass(self) -> torch.Tensor:
        """int64 [min(N, pass_items)]: all items in random order, or those whose turn it is."""
        size = min(len(self.table), self.options.pass_items)
        if len(self._waiting) < size:
            again = torch.randperm(len(self.table), generator=self.generator)
            self._waiting = torch.cat([self._waiting, again])
        rows, self._waiting = self._waiting[:size], self._waiting[size:]
        return rows.to(self.device)

    def sampled_latents(self) -> torch.Tensor:
        """Latents of all items, or of `pass_items` of a larger catalogue, drawn anew: float32 [n, latent_dim]."""
        if len(self.table) <= self.options.pass_items:
            return self.all_latents(self.table)
        rows = torch.randint(len(self.table), (self.options.pass_items,), generator=self.generator)
        return self.encoder(self.table[rows.to(self.device)])

    def all_latents(self, table: torch.Tensor) -> torch.Tensor:
        """float32 [n, latent_dim] of inputs [n, d], in blocks: the layers between are many times as wide."""
        return torch.cat([self.encoder(block) for block in table.split(_BLOCK_ROWS)])

    def encode_table(self, table: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Codes int64 [n, num_levels] and their sums float32 [n, latent_dim] of inputs [n, d]."""
        residual = self.all_latents(table)
        summed, codes = torch.zeros_like(residual), []
        for level, codebook in enumerate(self.codebooks):
            codes.append(nearest_codes(residual, codebook, self.level_prices(level)))
            summed += codebook[codes[-1]]
            residual = residual - codebook[codes[-1]]
        return torch.stack(codes, 1), summed

    def tokenizer(self) -> AutoencoderTokenizer:
        """The tokenizer of the present state; it shares the tensors."""
        return AutoencoderTokenizer(self.codebooks, self.encoder, self.decoder, self.inputs, self.device)

    @torch.no_grad()
    def start_codebooks(self) -> None:
        """Residual k-means on the latents of all items."""
        residual = self.all_latents(self.table)
        for level, codebook in enumerate(self.codebooks):
            started = kmeans(residual.cpu().numpy(), len(codebook), num_iterations=10, seed=self.seed + level)
            codebook.copy_(torch.from_numpy(started))
            residual = residual - codebook[nearest_codes(residual, codebook)]
        self.quantizing = True

    def train_epoch(self, epoch: int) -> float:
        """One pass in random order; the mean loss."""
        batches = self.rows_of_pass().split(self.options.batch_size)
        total_epochs = self.options.warmup_epochs + self.options.epochs
        losses = torch.zeros(len(batches), device=self.device)
        for number, rows in enumerate(batches):
            share_done = (epoch + number / len(batches)) / total_epochs
            for group in self.optimizer.param_groups:
                group["lr"] = self.options.learning_rate * (1 + math.cos(math.pi * share_done)) / 2
            losses[number] = self._step(self.table[rows])
        # Read once a pass: reading the loss of every step would make the GPU wait for the host each time.
        loss = float(losses.mean())
        if not math.isfinite(loss):
            batch = int((~losses.isfinite()).nonzero()[0])
            raise TrainingError(
                f"sid ({self.name}): the loss is {loss} in epoch {epoch + 1}, batch {batch + 1} of {len(batches)}; "
                f"lower sid.options.learning_rate ({self.options.learning_rate})"
            )
        if self.quantizing:
            self.revive()
        return loss

    def trained(self, network: nn.Sequential, batch: torch.Tensor) -> torch.Tensor:
        """float32 outputs of the encoder or decoder, by products in the precision of training."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.in_bf16):
            return network(batch).float()

    def _step(self, batch: torch.Tensor) -> torch.Tensor:
        latents = self.trained(self.encoder, batch)
        if self.quantizing:
            loss = self.quantized_loss(batch, latents)
        else:
            loss = functional.mse_loss(self.trained(self.decoder, latents), batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    @torch.no_grad()
    def check(self) -> tuple[float, float]:
        """Collision rate of the checked items, and the share of variance that decoding leaves unexplained."""
        codes, summed = self.encode_table(self._checked)
        ids = distinct_prefixes(codes.cpu().numpy())
        collisions = float(torch.from_numpy(ids.counts[ids.of_row] > 1).float().mean())
        error = 0.0
        for code, item in zip(summed.split(_BLOCK_ROWS), self._checked.split(_BLOCK_ROWS), strict=True):
            error += float(functional.mse_loss(self.decoder(code), item)) * (len(item) / len(self._checked))
        return collisions, error


def train(trainer: Trainer, progress: Progress) -> dict[str, torch.Tensor]:
    """Train to the end or until nothing improves, and return the tensors of the best tokenizer.

    Every `eval_every` epochs the collision rate and the reconstruction error (unexplained share of the variance) of
    all items (of many, a sample) are measured; the state with the smallest sum of the two is kept. Either alone misleads: collisions are
    fewest early, while the codes still explain little of the vectors.
    """
    options = trainer.options
    best, best_tensors, checks_since = math.inf, None, 0
    for epoch in range(options.warmup_epochs + options.epochs):
        if epoch == options.warmup_epochs:
            trainer.start_codebooks()
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
    return best_tensors
