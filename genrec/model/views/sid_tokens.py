"""The history as text: one position a semantic-id token, L an item; for pretrained models and small ones alike."""

from dataclasses import dataclass

import numpy as np
import torch

from genrec.model.history_view import ViewedModel
from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    """Settings of the view."""

    instruction: str = setting(
        "", "Words before the history, for instruction-tuned bases; empty: none. Special tokens are read as such."
    )
    chat: bool = setting(
        False,
        "The instruction is a user's message in the base's chat template, and the history the beginning of the answer. For "
        "Instruct bases.",
        later=True,
    )


class View:
    """The opening, then the semantic ids of the items, oldest first. Ids are token ids."""

    def __init__(self, options: Config) -> None:
        self.options = options

    def prompt_ids(
        self, model: ViewedModel, histories: list[np.ndarray], sids: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        from genrec.search.layout import (
            left_padded,
        )  # here: it imports transformers, which a config check can do without

        items = np.concatenate(histories) if histories else np.empty(0, np.int64)
        tokens = model.vocab.token_ids(sids[items]).reshape(-1)
        lengths = np.array([len(h) for h in histories], dtype=np.int64) * model.vocab.num_levels
        return left_padded(tokens, lengths, model.opening, model.vocab.pad_token_id)

    def embed(self, model: ViewedModel, ids: torch.Tensor) -> torch.Tensor:
        return model.body.get_input_embeddings()(ids)

    def sequence_hidden(self, model: ViewedModel, codes: torch.Tensor, items: torch.Tensor | None) -> torch.Tensor:
        from genrec.search.layout import sequence_hidden

        opening = torch.from_numpy(model.opening).to(codes.device)
        return sequence_hidden(model.body, model.token_ids(codes), opening)

    def packed_hidden(self, model: ViewedModel, codes: torch.Tensor, lengths: np.ndarray) -> torch.Tensor:
        from genrec.search.packed import packed_hidden

        opening = torch.from_numpy(model.opening).to(codes.device)
        return packed_hidden(model.body, model.token_ids(codes), lengths, opening)
