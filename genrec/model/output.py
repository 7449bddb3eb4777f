"""What an output is, and what it is given of the model (variants: `genrec.model.outputs`).

Shapes: T targets, L levels, K codes, D hidden size, B prompts, W beams, C children of a prefix.
"""

from typing import Protocol

import torch

from genrec.model.item_vectors import ItemVectors
from genrec.search.decode import StepScores


class OutputModel(Protocol):
    """What an output needs of the model whose hidden states it reads."""

    items: ItemVectors | None

    def head_rows(self) -> torch.Tensor:
        """Rows of the output head for the semantic-id tokens, [L, K, D], differentiable."""

    def level_logits(self, hidden: torch.Tensor, rows: torch.Tensor | None = None) -> torch.Tensor:
        """float32 logits of states against the rows of one level, [..., D] -> [..., K], or of all, [..., L, D]."""


class Output(Protocol):
    """Stateless: weights are the model's and its item vectors'.

    Both functions choose among the same codes, so that what is trained is what is searched.
    """

    needs_items: bool  # whether the model must hold item vectors
    inner_nodes: bool  # whether they must hold an embedding of every inner node of the trie

    def logits(self, model: OutputModel, hidden: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """float32[T, L, K], differentiable, of the states [T, L, D] that predict the ids `codes` int64[T, L].

        -inf at codes that are not chosen among; a prefix that no item has gives zeros.
        """

    def step_scores(self, model: OutputModel) -> StepScores:
        """The output with its weights as they are now."""
