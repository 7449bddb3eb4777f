"""What a history view is, and what it is given of the model (variants: `genrec.model.views`).

Shapes: B prompts, P positions, M items of a history, L levels, D hidden size, N items.
"""

from typing import Any, Protocol

import numpy as np
import torch

from genrec.model.vocab import SidVocabulary


class ViewedModel(Protocol):
    """What a view needs of the model whose input it makes."""

    vocab: SidVocabulary
    opening: np.ndarray  # int64[O], the tokens every prompt starts with: see `HistoryView`

    @property
    def body(self) -> Any:
        """The transformer without its output head."""

    def token_ids(self, codes: torch.Tensor) -> torch.Tensor:
        """Token ids of codes [..., L]."""

    def item_inputs(self, items: torch.Tensor) -> torch.Tensor:
        """Item vectors float32[..., D] of item numbers int64[...]."""

    def check_catalogue(self, sids: np.ndarray) -> None:
        """Raises DataError when the item vectors are not those of these N items."""


class HistoryView(Protocol):
    """Stateless. Every view has the settings `instruction` and `chat`: the prompt's wording in one place, the same in
    training, search and reinforcement learning. A prompt opens with BOS and those words, or with what the chat template makes of
    them (`ViewedModel.opening`), and ends at a position whose hidden state predicts level 0; candidates follow it as
    semantic-id tokens (`genrec.search.layout`).
    """

    def prompt_ids(
        self, model: ViewedModel, histories: list[np.ndarray], sids: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ids and attention mask of prompts, int64[B, P] each, padded on the left; `sids` int[N, L]."""

    def embed(self, model: ViewedModel, ids: torch.Tensor) -> torch.Tensor:
        """The model's input for these ids, [B, P, D], differentiable."""

    def sequence_hidden(self, model: ViewedModel, codes: torch.Tensor, items: torch.Tensor | None) -> torch.Tensor:
        """Hidden states [B, M, L, D] that predict every code, int64[B, M, L], of every item, int64[B, M], of whole
        histories. What a target's codes see is what `prompt_ids` would show for the items before it.
        """
