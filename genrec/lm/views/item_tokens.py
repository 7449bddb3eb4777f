"""The history as items: one position an item, the sum of its semantic-id embeddings and its projected text vector.

A third of the length of `sid_tokens` (3 levels); as in SASRec-like recommenders over content (UniSRec, LIGER).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from genrec.lm import layout

if TYPE_CHECKING:
    from genrec.lm.policy import Policy

_BOS = -1  # also what padding holds; the mask tells them apart


@dataclass(frozen=True)
class Config:
    """No settings; what an item's vector is made of is set by `sft.item_vectors`."""


class View:
    """BOS, then one vector an item, oldest first. Ids are item numbers, -1 at BOS and at padding."""

    def __init__(self, options: Config) -> None:
        self.options = options

    def prompt_ids(
        self, policy: "Policy", histories: list[np.ndarray], sids: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        policy.check_catalogue(sids)
        items = np.concatenate(histories) if histories else np.empty(0, np.int64)
        return layout.left_padded(items, np.array([len(h) for h in histories], dtype=np.int64), _BOS, _BOS)

    def embed(self, policy: "Policy", ids: torch.Tensor) -> torch.Tensor:
        bos = policy.body.get_input_embeddings()(ids.new_full((1, 1), policy.vocab.bos_token_id))
        vectors = policy.item_inputs(ids.clamp_min(0)).to(bos.dtype)
        return torch.where((ids < 0).unsqueeze(-1), bos, vectors)

    def sequence_hidden(self, policy: "Policy", codes: torch.Tensor, items: torch.Tensor | None) -> torch.Tensor:
        if items is None:
            raise ValueError("item_tokens needs the item numbers beside their codes")
        history = torch.cat([items.new_full((len(items), 1), _BOS), items[:, :-1]], dim=1)
        tokens = policy.token_ids(codes)[:, :, :-1]  # the last level's token is never an input
        siblings = policy.body.get_input_embeddings()(tokens)
        return layout.branched_hidden(policy.body, self.embed(policy, history), siblings)
