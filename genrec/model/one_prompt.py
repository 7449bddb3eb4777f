"""A policy for several searches with the same prompts, by other shares of its parts: its dense head is computed once."""

from typing import Any

import torch

from genrec.model.policy import Policy
from genrec.search.layout import PromptBatch
from genrec.search.leaf_logits import LeafLogits
from genrec.search.prefix_blocks import HELD_ENTRIES
from genrec.search.prefixes import PrefixLogProbs

LEAVES_ABOVE = 50_000  # items: below, what is held for the searches is the softmax that each of them would take


class SharedPrompts:
    """In the place of a policy that does not change but for `dense_weight` and `transition_share`.

    What it computes of a dense head is kept until other prompts come. Lists are those of the policy; above 50 thousand
    items on a CPU, up to rounding.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._vectors: torch.Tensor | None = None  # float32[N, D] in the order of the trie
        self._prompts: PromptBatch | None = None
        self._logits: LeafLogits | torch.Tensor | None = None  # or log q of every item, float32[B, N]
        self._found: tuple[float, PrefixLogProbs] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._policy, name)

    def dense_prefixes(self, hidden: torch.Tensor, prompts: PromptBatch) -> PrefixLogProbs:
        """As of the policy, for a search."""
        policy, items, share = self._policy, self._policy.items, self._policy.transition_share
        if items is None or len(hidden) * len(items) > HELD_ENTRIES:
            return policy.dense_prefixes(hidden, prompts)
        if self._prompts is not prompts:
            self._prompts, self._found = prompts, None
            self._logits = None  # before the next are made
            self._logits = self._computed(hidden)
        if self._found is None or self._found[0] != share:
            self._found = None
            held = self._logits
            if isinstance(held, LeafLogits):
                self._found = share, held.prefixes(items.mixture(prompts, share))
            elif held is not None:
                self._found = share, items.prefixes_of(held, prompts, share)
        assert self._found is not None
        return self._found[1]

    def _computed(self, hidden: torch.Tensor) -> LeafLogits | torch.Tensor:
        policy, items = self._policy, self._policy.items
        assert items is not None
        if len(items) <= LEAVES_ABOVE or hidden.device.type != "cpu":
            return policy.item_logits(hidden).log_softmax(-1)
        if self._vectors is None:
            self._vectors = policy.vectors_of(items.trie.leaf_items)
        return LeafLogits(items.trie, self._vectors, hidden.float())
