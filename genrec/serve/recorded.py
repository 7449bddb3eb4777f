"""Searches for few queries on a GPU, recorded as CUDA graphs (`genrec.search.graphs`): there, a search for one customer waits
for its thousands of launches several times as long as it computes.

A recording holds for one shape. So prompts are padded to the longest that the model reads and their number to a power of
two: requests of any length and number share a few recordings. What is restricted to some items, what asks for longer
lists, and what is more than the largest of `SIZES`, is searched as it is.
"""

import threading
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from genrec.model.policy import Policy
from genrec.search.decode import Candidates, StepScores, beam_search
from genrec.search.graphs import SearchGraphs
from genrec.search.layout import PromptBatch
from genrec.search.restriction import Allowed
from genrec.search.trie import Trie

SIZES = (1, 2, 4, 8, 16, 32)  # of padded batches; each takes a recording with the memory of a search


class RecordedSearch:
    """Takes the place of `beam_search` for a model whose weights never change, under one trie.

    Args:
        policy, trie, scores: what is searched; `policy.step_scores()`.
        width: beams of the searches that are recorded.
        longest: positions of the longest prompt.
        most_positions: of a search, beams included; a padded batch that would have more is searched as it is.
    """

    def __init__(
        self, policy: Policy, trie: Trie, scores: StepScores, width: int, longest: int, most_positions: int
    ) -> None:
        self._width, self._longest, self._max_history = width, longest, policy.max_history
        most_rows = most_positions // (longest + width * (trie.num_levels - 1))
        self._sizes = [size for size in SIZES if size <= most_rows]
        self._graphs = SearchGraphs(policy, trie, width, lambda: (), scores=scores)
        self._lock = threading.Lock()  # a recording has places of its own for what it reads

    def __call__(
        self,
        model: Policy,
        prompts: PromptBatch,
        trie: Trie,
        width: int,
        banned: Sequence[np.ndarray] | None = None,
        allowed: Sequence[Allowed] | None = None,
        scores: StepScores | None = None,
    ) -> Candidates:
        """As `beam_search`, for the model, the trie and the scores of this search."""
        number = len(prompts.input_ids)
        size = next((size for size in self._sizes if size >= number), None)
        if size is None or width != self._width or banned is None or allowed is not None:
            return beam_search(model, prompts, trie, width, banned, allowed, scores)
        more = [banned[0]] * (size - number)
        with self._lock:
            found = self._graphs(self._padded(prompts, size), [*banned, *more])
        return Candidates(*(part[:number] for part in found))

    def _padded(self, prompts: PromptBatch, size: int) -> PromptBatch:
        """Prompts of the one length, their number filled up with the first one."""
        ids, mask, histories = prompts.input_ids, prompts.attention_mask, prompts.histories
        wider = self._longest - ids.shape[1]
        ids = torch.cat([ids[:, :1].expand(-1, wider), ids], dim=1)  # of what is not seen, anything
        mask = functional.pad(mask, (wider, 0))
        histories = functional.pad(histories, (0, self._max_history - histories.shape[1]), value=-1)
        first, second, third = (_filled(rows, size) for rows in (ids, mask, histories))
        return PromptBatch(first, second, third, None, padded_left=True)


def _filled(rows: torch.Tensor, size: int) -> torch.Tensor:
    return torch.cat([rows, rows[:1].expand(size - len(rows), -1)])
