"""What the residual-quantised autoencoders share: the tokenizer they become, and the training loop around a step."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from genrec.errors import ConfigError, TrainingError
from genrec.progress import Progress
from genrec.sid.quantize.kmeans import kmeans
from genrec.sid.quantize.tokenizer import Tokenizer, as_tensor, nearest_codes


class AutoencoderTokenizer(Tokenizer):
    """Codebooks on the latents of an MLP autoencoder.

    Args:
        codebooks: float32 [num_levels, num_codes, latent_dim].
        encoder, decoder: MLPs d -> latent_dim and back.
        inputs: how vectors become what the encoder reads.
        device: where it computes.
        prices: float32 [num_levels, num_codes] or None, see `Tokenizer`.
    """

    def __init__(
        self,
        codebooks: torch.Tensor,
        encoder: nn.Sequential,
        decoder: nn.Sequential,
        inputs: Inputs,
        device: str | torch.device | None = None,
        prices: torch.Tensor | None = None,
    ) -> None:
        super().__init__(codebooks, device, prices)
        self.encoder, self.decoder = encoder.to(self.device).eval(), decoder.to(self.device).eval()
        self.inputs = inputs.to(self.device)

    def latents(self, vectors: torch.Tensor) -> torch.Tensor:
        return self.encoder(self.inputs.forward(vectors))

    def from_latents(self, latents: torch.Tensor) -> torch.Tensor:
        return self.inputs.backward(self.decoder(latents))

    def tensors(self) -> dict[str, torch.Tensor]:
        state = super().tensors() | {f"inputs.{name}": tensor for name, tensor in self.inputs.tensors().items()}
        for name, module in (("encoder", self.encoder), ("decoder", self.decoder)):
            state |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
        return state

    @classmethod
    def from_tensors(
        cls, tensors: dict[str, torch.Tensor], device: str | torch.device | None = None
    ) -> AutoencoderTokenizer:
        def part(name: str) -> dict[str, torch.Tensor]:
            return {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}

        parts = {}
        for name in ("encoder", "decoder"):
            state = part(name)
            weights = [state[k] for k in sorted((k for k in state if k.endswith("weight")), key=_layer_number)]
            with torch.device("meta"):  # no random start for weights that are replaced anyway
                parts[name] = mlp([weights[0].shape[1], *(w.shape[0] for w in weights)])
            parts[name].load_state_dict(state, assign=True)
        inputs = Inputs(**part("inputs"))
        return cls(tensors["codebooks"], parts["encoder"], parts["decoder"], inputs, device, tensors.get("prices"))


def _layer_number(key: str) -> int:
    return int(key.split(".")[0])


def mlp(dims: list[int]) -> nn.Sequential:
    """Linear layers of the given widths with ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(dims):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Inputs:
    """An invertible map of vectors to the encoder's inputs: (vectors - mean) / scale, and a whitening where asked for.

    Args:
        mean: float32 [d].
        scale: float32 [].
        whiten, unwhiten: float32 [d, d] and its inverse (on the span of the data), or None.
    """

    def __init__(
        self,
        mean: torch.Tensor,
        scale: torch.Tensor,
        whiten: torch.Tensor | None = None,
        unwhiten: torch.Tensor | None = None,
    ) -> None:
        self.mean, self.scale, self.whiten, self.unwhiten = mean, scale, whiten, unwhiten

    @classmethod
    def of(cls, table: torch.Tensor, whitening: float) -> Inputs:
        """Unit variance over all entries of `table` [N, d]; whitening evens out the variances of its principal axes.

        Args:
            whitening: 0 leaves the axes as they are, 1 gives them all the same variance (variance ** (1 - whitening)).
        """
        mean = table.mean(0)
        # Vectors that are all alike have no scale; any will do.
        scale = (table - mean).square().mean().sqrt().clamp_min(1e-12)
        if not bool(scale > 1e-6 * table.abs().max()):
            return cls(mean, torch.ones_like(scale))
        if not whitening:
            return cls(mean, scale)
        scaled = ((table - mean) / scale).double().cpu()
        variances, axes = torch.linalg.eigh(scaled.T @ scaled / len(scaled))
        kept = variances > 1e-6 * variances.max()  # directions without variance stay out: noise must not be blown up
        factors = torch.where(kept, variances.clamp_min(1e-30) ** (-whitening / 2), 0)
        # The overall variance stays one.
        factors = factors / ((variances * factors.square()).mean().sqrt())
        inverse = torch.where(kept, 1 / factors.clamp_min(1e-30), 0)
        whiten, unwhiten = (axes * factors) @ axes.T, (axes * inverse) @ axes.T
        return cls(mean, scale, whiten.float().to(table.device), unwhiten.float().to(table.device))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        scaled = (vectors - self.mean) / self.scale
        return scaled if self.whiten is None else scaled @ self.whiten

    def backward(self, inputs: torch.Tensor) -> torch.Tensor:
        scaled = inputs if self.unwhiten is None else inputs @ self.unwhiten
        return scaled * self.scale + self.mean

    def tensors(self) -> dict[str, torch.Tensor]:
        found = {"mean": self.mean, "scale": self.scale, "whiten": self.whiten, "unwhiten": self.unwhiten}
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    def to(self, device: torch.device) -> Inputs:
        return Inputs(**{name: tensor.to(device) for name, tensor in self.tensors().items()})


class Options(Protocol):
    """The settings every autoencoder has; see the configs of the modules."""

    @property
    def latent_dim(self) -> int: ...
    @property
    def hidden_dims(self) -> tuple[int, ...]: ...
    @property
    def epochs(self) -> int: ...
    @property
    def warmup_epochs(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def whitening(self) -> float: ...
    @property
    def eval_every(self) -> int: ...
    @property
    def patience(self) -> int: ...


class Trainer(ABC):
    """An autoencoder, its codebooks and its optimizer, over a table of items that stays on the device.

    A subclass says what a quantised batch costs (`quantized_loss`), how codes nobody uses are revived (`revive`), and
    which parameters beside the MLPs' learn (`codebook_parameters`).
    """

    name: str  # in messages

    def __init__(
        self, vectors: np.ndarray, num_levels: int, num_codes: int, options: Options, seed: int, device: torch.device
    ) -> None:
        if any(dim < 1 for dim in options.hidden_dims):
            raise ConfigError(f"sid.options.hidden_dims: {list(options.hidden_dims)} holds a width below 1")
        self.options, self.seed, self.device = options, seed, device
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

    def codebook_parameters(self) -> list[nn.Parameter]:
        """Parameters the optimizer moves beside the MLPs'."""
        return []

    @abstractmethod
    def quantized_loss(self, batch: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """The loss of a batch [B, d] with latents [B, latent_dim], with all its quantisation terms."""

    @abstractmethod
    def revive(self) -> None:
        """At the end of a pass: move the codes that nobody uses."""

    def encode_table(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Codes int64 [N, num_levels] and their sums float32 [N, latent_dim] of all items."""
        residual = self.encoder(self.table)
        summed, codes = torch.zeros_like(residual), []
        for codebook in self.codebooks:
            codes.append(nearest_codes(residual, codebook))
            summed += codebook[codes[-1]]
            residual = residual - codebook[codes[-1]]
        return torch.stack(codes, 1), summed

    def tokenizer(self) -> AutoencoderTokenizer:
        return AutoencoderTokenizer(self.codebooks, self.encoder, self.decoder, self.inputs, self.device)

    @torch.no_grad()
    def start_codebooks(self) -> None:
        """Residual k-means on the latents of all items."""
        residual = self.encoder(self.table)
        for level, codebook in enumerate(self.codebooks):
            started = kmeans(residual.cpu().numpy(), len(codebook), num_iterations=10, seed=self.seed + level)
            codebook.copy_(torch.from_numpy(started))
            residual = residual - codebook[nearest_codes(residual, codebook)]
        self.quantizing = True

    def train_epoch(self, epoch: int) -> float:
        """One pass in random order; the mean loss."""
        order = torch.randperm(len(self.table), generator=self.generator).to(self.device)
        batches = order.split(self.options.batch_size)
        total_epochs = self.options.warmup_epochs + self.options.epochs
        losses = torch.zeros(len(batches), device=self.device)
        for number, rows in enumerate(batches):
            share_done = (epoch + number / len(batches)) / total_epochs
            for group in self.optimizer.param_groups:
                group["lr"] = self.options.learning_rate * (1 + math.cos(math.pi * share_done)) / 2
            losses[number] = self._step(self.table[rows])
        # One look a pass: asking after every step would make a GPU wait for the host each time.
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

    def _step(self, batch: torch.Tensor) -> torch.Tensor:
        latents = self.encoder(batch)
        if self.quantizing:
            loss = self.quantized_loss(batch, latents)
        else:
            loss = functional.mse_loss(self.decoder(latents), batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    @torch.no_grad()
    def check(self) -> tuple[float, float]:
        """Collision rate of all items, and the share of variance that decoding leaves unexplained."""
        codes, summed = self.encode_table()
        _, inverse, counts = codes.unique(dim=0, return_inverse=True, return_counts=True)
        collisions = float((counts[inverse] > 1).float().mean())
        return collisions, float(functional.mse_loss(self.decoder(summed), self.table))


def train(trainer: Trainer, progress: Progress) -> dict[str, torch.Tensor]:
    """Train to the end or until nothing improves, and return the tensors of the best tokenizer.

    Every `eval_every` epochs the collision rate and the reconstruction error (unexplained share of the variance) of
    all items are measured; the state with the smallest sum of the two wins. Either alone misleads: the fewest
    collisions come early, with codes that say little about an item.
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
