"""Beam searches recorded as CUDA graphs: a search of a shape seen before is one launch instead of some ten thousand.

On a GPU a search for few prompts, or one through LoRA layers, waits for its launches longer than it computes. A recording holds
for the shapes of its inputs and the places of the weights: weights that change in place, as those of an optimizer, are
read anew by every replay; where others take their place (an average, a reference) there is another recording.
"""

import logging
import threading
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Protocol

import numpy as np
import torch

from genrec.search.decode import Candidates, SearchModel, StepScores, beam_search, restricted_beam
from genrec.search.layout import PromptBatch
from genrec.search.restriction import Restriction
from genrec.search.trie import Trie

_MOST = 8  # recordings, each with the memory of a search of its shape; the one that was not used for longest goes
_STEP = 32  # banned states are padded to a multiple
_LOG = logging.getLogger(__name__)
_ONE_CAPTURE = threading.Lock()  # CUDA records one graph of a process at a time, whatever thread it is in

Inputs = tuple[torch.Tensor, ...]
Search = Callable[[Inputs], Candidates]


class Recording(Protocol):
    """One search, ready to be done again."""

    def __call__(self, inputs: Inputs) -> Candidates:
        """The same search with other inputs of the same shapes; the results are the caller's own."""


class SearchGraphs:
    """Beam searches of a model under a trie, `width` items each; also where nothing can be recorded (CPU, dense head)."""

    def __init__(
        self,
        model: SearchModel,
        trie: Trie,
        width: int,
        weights: Callable[[], Iterable[torch.Tensor]],
        record: Callable[[Search, Inputs], Recording] | None = None,
        scores: StepScores | None = None,
    ) -> None:
        """`weights` lists every tensor that a search reads and that may be exchanged for another; `scores` is
        `model.step_scores()` where no weight ever changes."""
        self._model, self._trie, self._width, self._weights, self._scores = model, trie, width, weights, scores
        self._record = record or _Graph
        self.enabled = record is not None or trie.device.type == "cuda"
        self._seen: set[Hashable] = set()
        self._recorded: dict[Hashable, Recording] = {}

    @property
    def num_recorded(self) -> int:
        """Recordings that are kept."""
        return len(self._recorded)

    def __call__(self, prompts: PromptBatch, banned: Sequence[np.ndarray] | None) -> Candidates:
        """`beam_search`: plainly for a shape that is new, recorded for one that comes again."""
        if not self.enabled or self._model.dense_weight or prompts.following is not None:
            return beam_search(self._model, prompts, self._trie, self._width, banned, scores=self._scores)
        restriction = self._trie.restrict(banned)
        bans = () if restriction is None else tuple(_padded(states) for states in restriction.banned)
        inputs: Inputs = (prompts.input_ids, prompts.attention_mask, prompts.histories, *bans)
        key = (tuple(t.shape for t in inputs), tuple(t.data_ptr() for t in self._weights()))
        if key in self._recorded:
            self._recorded[key] = recording = self._recorded.pop(key)  # the last used goes last
            return recording(inputs)
        found = self._search(inputs)  # also what makes libraries and compiled layers ready for a recording
        if key not in self._seen:
            self._seen.add(key)
        elif len(inputs[0]):
            self._keep(key, inputs)
        return found

    def _search(self, inputs: Inputs) -> Candidates:
        ids, mask, histories, *bans = inputs
        prompts = PromptBatch(ids, mask, histories, None, padded_left=True)
        restriction = Restriction(list(bans), [], None, [], None) if bans else None
        return restricted_beam(self._model, prompts, self._trie, self._width, restriction, self._scores)

    def _keep(self, key: Hashable, inputs: Inputs) -> None:
        try:
            with _ONE_CAPTURE:
                recording = self._record(self._search, inputs)
        except RuntimeError as error:
            self.enabled = False
            _LOG.warning("searches are not recorded as CUDA graphs: %s", str(error).splitlines()[0])
            return
        while len(self._recorded) >= _MOST:
            oldest = next(iter(self._recorded))
            del self._recorded[oldest]
            self._seen.discard(oldest)  # to record again takes longer than a search: it has to come twice
        self._recorded[key] = recording


class _Graph:
    """A search as a CUDA graph, with inputs and results in places of its own."""

    def __init__(self, search: Search, inputs: Inputs) -> None:
        self._inputs = tuple(t.clone() for t in inputs)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._found = search(self._inputs)

    def __call__(self, inputs: Inputs) -> Candidates:
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given, non_blocking=True)
        self._graph.replay()
        return Candidates(*(t.clone() for t in self._found))


def _padded(states: torch.Tensor) -> torch.Tensor:
    """int64[B, M] with M the next multiple of `_STEP`, at least one, so that few shapes differ; -1 is no state."""
    short = -states.shape[1] % _STEP if states.shape[1] else _STEP
    return torch.nn.functional.pad(states, (0, short), value=-1)
