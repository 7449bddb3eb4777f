"""A distribution over items as one over semantic ids: the probability of a prefix is the sum over its items."""

from abc import ABC, abstractmethod

import torch

from genrec.search.trie import Trie


class PrefixLogProbs(ABC):
    """log q of every prefix of the catalogue's ids for B users.

    log q(code | prefix) = log q(prefix, code) - log q(prefix), so the steps of an id add up to log q(item).
    """

    def __init__(self, trie: Trie) -> None:
        self._trie = trie

    @abstractmethod
    def of_states(self, level: int, states: torch.Tensor) -> torch.Tensor:
        """log q of trie states int64[B, n] of `level` codes, float32[B, n]; of dead ones (-1) any finite number."""

    def followers(self, level: int, state: torch.Tensor, reached: torch.Tensor | None = None) -> torch.Tensor:
        """log q(code | prefix) for the codes that lead from `state` int64[B, W] to the states `reached` int64[B, W, C], by
        default for all K: float32[B, W, C]; 0 where no item is (-1).
        """
        if reached is None:
            codes = torch.arange(self._trie.num_codes, device=state.device)
            shape = (*state.shape, self._trie.num_codes)
            reached = self._trie.advance(level, state.unsqueeze(-1).expand(shape), codes.expand(shape))
        joint = self.of_states(level + 1, reached.flatten(1)).view(reached.shape)
        prefix = self.of_states(level, state).unsqueeze(-1)
        return torch.where(reached < 0, 0.0, joint - prefix)

    def path(self, codes: torch.Tensor) -> torch.Tensor:
        """log q(code | prefix) along ids of the catalogue, codes int64[B, G, L] -> float32[B, G, L].

        A step that no item takes, and those after it, count 0.
        """
        state = torch.zeros_like(codes[..., 0])
        before = self.of_states(0, state)
        steps = []
        for level in range(self._trie.num_levels):
            state = self._trie.advance(level, state, codes[..., level])
            after = self.of_states(level + 1, state)
            steps.append(torch.where(state < 0, 0.0, after - before))
            before = after
        return torch.stack(steps, dim=-1)


class HeldLogProbs(PrefixLogProbs):
    """From log q of every item, held for all users."""

    def __init__(self, trie: Trie, item_log_probs: torch.Tensor) -> None:
        """`item_log_probs` float32[B, N], normalised; differentiable."""
        super().__init__(trie)
        by_state = item_log_probs[:, trie.leaf_items]
        self._levels = [by_state]  # by level, log q of its states [B, S]
        for level in reversed(range(trie.num_levels)):
            by_state = sum_by_parent(by_state, trie.parents(level), trie.num_states(level))
            self._levels.insert(0, by_state)

    def of_states(self, level: int, states: torch.Tensor) -> torch.Tensor:
        return self._levels[level].gather(1, states.clamp_min(0))


def sum_by_parent(values: torch.Tensor, parents: torch.Tensor, num_parents: int) -> torch.Tensor:
    """log-sum-exp of float32[B, S] over the children of each parent: [B, num_parents]."""
    index = parents.expand_as(values)
    top = values.new_full((len(values), num_parents), -torch.inf).scatter_reduce(1, index, values.detach(), "amax")
    return top + torch.zeros_like(top).scatter_add(1, index, (values - top.gather(1, index)).exp()).log()
