"""The tokenizer that residual-quantised autoencoders become (training: `genrec.sid.quantize.autoencoder_training`)."""

from __future__ import annotations

import itertools

import torch
from torch import nn

from genrec.sid.quantize.inputs import Inputs
from genrec.sid.quantize.tokenizer import Tokenizer


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
            if not weights:
                raise KeyError(f"{name}.0.weight")
            with torch.device("meta"):  # no random values for weights that are replaced below
                parts[name] = mlp([weights[0].shape[1], *(w.shape[0] for w in weights)])
            parts[name].load_state_dict(state, assign=True)
        inputs = Inputs(
            tensors["inputs.mean"],
            tensors["inputs.scale"],
            tensors.get("inputs.whiten"),
            tensors.get("inputs.unwhiten"),
        )
        return cls(tensors["codebooks"], parts["encoder"], parts["decoder"], inputs, device, tensors.get("prices"))


def _layer_number(key: str) -> int:
    return int(key.split(".")[0])


def mlp(dims: list[int]) -> nn.Sequential:
    """Linear layers of the given widths with ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(dims):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
