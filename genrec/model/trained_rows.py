"""An embedding or output head of which an adapter trains some rows, read where they are.

PEFT's own layer copies the whole matrix in every forward to put the trained rows in, and its backward pass makes a gradient
of that size: 600 MB in a model of Qwen2.5's vocabulary. Values and gradients are the same here. Apart from
`genrec.model.adapter`, because it imports PEFT at its top.
"""

from typing import Any

import torch
from peft.tuners.trainable_tokens.layer import TrainableTokensLayer
from torch import nn
from torch.nn import functional


class TrainedRows(TrainableTokensLayer):
    """PEFT's layer for rows that are neighbours: token_indices are first, first + 1, ..."""

    def forward_adapters(self, x: torch.Tensor, active_adapters: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Embeddings [..., D] of token ids int64[...], or logits [..., V] of states [..., D]."""
        wrapped = self.get_base_layer()
        kind = type(wrapped)
        if self.disable_adapters or self.merged or len(active_adapters) != 1 or kind not in (nn.Embedding, nn.Linear):
            return super().forward_adapters(x, active_adapters, *args, **kwargs)
        rows, first = self.trainable_tokens_delta[active_adapters[0]], self.token_indices[active_adapters[0]][0]
        known = wrapped(x)
        if kind is nn.Linear:
            new = functional.linear(x, rows.to(x.dtype)).to(known.dtype)
            return torch.cat([known[..., :first], new, known[..., first + len(rows) :]], dim=-1)
        place = x - first
        trained = (place >= 0) & (place < len(rows))
        new = functional.embedding(place.clamp(0, len(rows) - 1), rows).to(known.dtype)
        return torch.where(trained.unsqueeze(-1), new, known)


def read_in_place(model: Any) -> Any:
    """The same PEFT model with every such layer a `TrainedRows`."""
    for module in model.modules():
        if type(module) is TrainableTokensLayer and all(map(_are_neighbours, module.token_indices.values())):
            module.__class__ = TrainedRows
    return model


def _are_neighbours(ids: list[int]) -> bool:
    return list(ids) == list(range(ids[0], ids[0] + len(ids)))
