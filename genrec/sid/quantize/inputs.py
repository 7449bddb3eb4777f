"""The map from item vectors to an autoencoder's inputs."""

from __future__ import annotations

import torch


class Inputs:
    """An invertible map of vectors to the encoder's inputs: (vectors - mean) / scale, and optionally a whitening.

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
        # Vectors that are all equal have no scale: any serves.
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
        """Inputs [N, d] of vectors [N, d]."""
        scaled = (vectors - self.mean) / self.scale
        return scaled if self.whiten is None else scaled @ self.whiten

    def backward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Vectors [N, d] of inputs [N, d]."""
        scaled = inputs if self.unwhiten is None else inputs @ self.unwhiten
        return scaled * self.scale + self.mean

    def tensors(self) -> dict[str, torch.Tensor]:
        """The tensors that are set, by the names of the arguments."""
        tensors = {"mean": self.mean, "scale": self.scale, "whiten": self.whiten, "unwhiten": self.unwhiten}
        return {name: tensor for name, tensor in tensors.items() if tensor is not None}

    def to(self, device: torch.device) -> Inputs:
        """The same map on a device."""
        return Inputs(**{name: tensor.to(device) for name, tensor in self.tensors().items()})
