"""The history as items: one position an item, the sum of its semantic-id embeddings and its projected text vector.

A third of the length of `sid_tokens` (3 levels); as in SASRec-like recommenders over content (UniSRec, LIGER).
"""

from dataclasses import dataclass

import numpy as np
import torch

from genrec.model.history_view import ViewedModel
from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    """Settings of the view; what an item's vector is made of is set by `sft.item_vectors`."""

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
    """The opening, then one vector an item, oldest first. Ids are item numbers; -1 - t is the token t."""

    def __init__(self, options: Config) -> None:
        self.options = options

    def prompt_ids(
        self, model: ViewedModel, histories: list[np.ndarray], sids: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        from genrec.search.layout import (
            left_padded,
        )  # here: it imports transformers, which a config check can do without

        model.check_catalogue(sids)
        items = np.concatenate(histories) if histories else np.empty(0, np.int64)
        lengths = np.array([len(h) for h in histories], dtype=np.int64)
        return left_padded(items, lengths, -1 - model.opening, -1 - model.vocab.pad_token_id)

    def embed(self, model: ViewedModel, ids: torch.Tensor) -> torch.Tensor:
        words = model.body.get_input_embeddings()((-1 - ids).clamp_min(0))
        vectors = model.item_inputs(ids.clamp_min(0)).to(words.dtype)
        return torch.where((ids < 0).unsqueeze(-1), words, vectors)

    def sequence_hidden(self, model: ViewedModel, codes: torch.Tensor, items: torch.Tensor | None) -> torch.Tensor:
        from genrec.search.layout import branched_hidden

        if items is None:
            raise ValueError("item_tokens needs the item numbers beside their codes")
        opening = torch.from_numpy(-1 - model.opening).to(items.device)
        history = torch.cat([opening.expand(len(items), -1), items[:, :-1]], dim=1)
        tokens = model.token_ids(codes)[:, :, :-1]  # the last level's token is never an input
        siblings = model.body.get_input_embeddings()(tokens)
        return branched_hidden(model.body, self.embed(model, history), siblings)
