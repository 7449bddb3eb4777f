"""The network of SASRec."""

import torch
from torch import nn
from torch.nn import functional as F


class SasRec(nn.Module):
    """Causal self-attention over items; an item is its id's embedding plus its projected text vector.

    `text` is float32 [num_items, V] or None. The same item vectors are read at the input and scored at the output.
    """

    text: torch.Tensor

    def __init__(
        self,
        num_items: int,
        text: torch.Tensor | None,
        *,
        hidden_size: int,
        num_layers: int,
        num_heads: int,
        max_history: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.ids = nn.Embedding(num_items, hidden_size)
        nn.init.normal_(self.ids.weight, std=0.02)
        self.positions = nn.Embedding(max_history, hidden_size)
        nn.init.normal_(self.positions.weight, std=0.02)
        self.project = None
        if text is not None:
            self.register_buffer("text", text, persistent=False)
            self.project = nn.Linear(text.shape[1], hidden_size, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.start = nn.LayerNorm(hidden_size)
        block = nn.TransformerEncoderLayer(
            hidden_size,
            num_heads,
            4 * hidden_size,
            dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.blocks = nn.TransformerEncoder(block, num_layers, nn.LayerNorm(hidden_size), enable_nested_tensor=False)

    def item_vectors(self, items: torch.Tensor | None = None) -> torch.Tensor:
        """[num_items, hidden_size], or those of some items, int64 [m] -> [m, hidden_size]."""
        ids = self.ids.weight if items is None else self.ids(items)
        if self.project is None:
            return ids
        return ids + self.project(self.text if items is None else self.text[items])

    def forward(self, items: torch.Tensor, item_vectors: torch.Tensor) -> torch.Tensor:
        """int64 [b, n], right-padded with any item -> hidden states [b, n, hidden_size]; a place sees none after it.

        `items` are rows of `item_vectors`.
        """
        length = items.shape[1]
        embedded = F.embedding(items, item_vectors) + self.positions.weight[:length]
        mask = nn.Transformer.generate_square_subsequent_mask(length, device=items.device)
        return self.blocks(self.dropout(self.start(embedded)), mask=mask, is_causal=True)
