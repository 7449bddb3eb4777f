"""The dense head's distribution by prefix for several searches with the same prompts.

Its logits for every item, their exponentials and the sums of those by prefix are taken once for a batch; each search adds its share
of the transitions where the batch has some. A search of a catalogue of 100 thousand items spends nine tenths of its time
on them otherwise.

Shapes: B users, N items, D hidden size, S states of a level.
"""

import torch

from genrec.search.prefix_blocks import ByLeaf, Mixture
from genrec.search.prefixes import PrefixLogProbs
from genrec.search.trie import Trie


class LeafLogits:
    """Logits of all whole ids for B users, and what every prefix has of their distribution."""

    def __init__(self, trie: Trie, vectors: torch.Tensor, hidden: torch.Tensor) -> None:
        """`vectors` float32[N, D] in the order of `trie.leaf_items`, `hidden` float32[B, D]: a logit is their product.

        A prefix whose items all lie more than 87 nats below a user's best one counts as if it lay 87 below.
        """
        self.trie = trie
        self.logits = vectors @ hidden.T  # [N, B]: sums over the items of a prefix are then sums of rows
        top = self.logits.amax(0)
        sums = (self.logits - top).exp_()
        levels: list[torch.Tensor] = []
        for level in reversed(range(trie.num_levels)):
            parents = trie.parents(level)
            sums = torch.zeros(trie.num_states(level), sums.shape[1]).index_add_(0, parents, sums)
            levels.insert(0, sums)
        total = levels[0]  # [1, B]
        tiny = torch.finfo(total.dtype).tiny
        self.log_total = top + total[0].log()  # [B]
        self.inner = [(level / total).clamp_min(tiny).log().T.contiguous() for level in levels]  # [B, S]

    def prefixes(self, mixture: Mixture | None) -> PrefixLogProbs:
        """Their distribution, of which `mixture` takes a part."""
        return _FromLogits(self, mixture)


class _FromLogits(PrefixLogProbs):
    def __init__(self, held: LeafLogits, mixture: Mixture | None) -> None:
        super().__init__(held.trie)
        self._held, self._levels = held, held.inner
        self._sparse = None if mixture is None else ByLeaf(held.trie, mixture)
        if self._sparse is not None:
            self._levels = [self._sparse.mixed(log_probs, level) for level, log_probs in enumerate(self._levels)]

    def of_states(self, level: int, states: torch.Tensor) -> torch.Tensor:
        if level < len(self._levels):
            return self._levels[level].gather(1, states.clamp_min(0))
        alive = states >= 0
        row, leaf = alive.nonzero()[:, 0], states[alive]
        found = self._held.logits[leaf, row] - self._held.log_total[row]
        if self._sparse is not None:
            found = self._sparse.mixed_pairs(found, row, leaf)
        return torch.zeros(states.shape).masked_scatter_(alive, found)
