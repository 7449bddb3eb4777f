"""The engine: queries in, ranked items out, by the search that the evaluation measures.

A score is what the search adds up along an item's semantic id (`genrec.model.policy.Policy`): the log-probability of the
id by the language model, mixed with that of the item by the dense head and the transition table with the shares the model
was trained with. It is a property of a history and an item: filters and stock do not change it. Items recommended for their
popularity have the logarithm of their share of the training events instead. The same queries, model and catalogue give
the same answers; which queries are searched together moves scores by rounding alone.

An engine never changes, so any number of threads may ask it; a changed catalogue makes another engine around the same
model.

What a search holds grows with its queries, the length of their histories and the length of the lists. Queries that come
together are searched together as long as their keys and values fit a bound, and in several batches where they do not.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genrec.errors import ConfigError, DataError
from genrec.model.more_items import with_more_items
from genrec.model.policy import Policy
from genrec.search import kv_memory
from genrec.search.decode import Candidates, StepScores, beam_search, rank_users
from genrec.search.restriction import Allowed, Subset
from genrec.search.trie import Trie
from genrec.serve.catalogue import Catalogue
from genrec.serve.query import Answer, Filter, Query, Recommended
from genrec.serve.recorded import SIZES, RecordedSearch

GIB = 1 << 30
MAX_KV_GIB = 2.0  # 700 queries of Qwen2.5-3B with histories of 11 items, more than a search gains from
_CELLS = 1 << 14  # beams searched at once, at most: bounds the memory of the scores of long lists
_POPULAR = 1 << 10  # popular items looked at at a time
_WARM = 8  # queries of the second search of a warm-up
_RECORDED = 3  # searches of a size until the next ones replay a recording: plain, recorded, replayed
_FEW = 1 << 10  # items of a filter that is searched by their numbers; larger ones by a subset of the trie
_CATEGORY_SETS = 16  # subsets kept for the next queries


class Engine:
    """One model over one catalogue.

    Args:
        policy: the model, in evaluation mode, whose weights nobody changes any more.
        catalogue: its items.
        model_key: key of the model's artifact, for answers.
        beam_width: beams of a search; longer lists take wider ones. That of the evaluation gives its lists.
        batch_size: queries searched at once, at most.
        scores: `policy.step_scores()`, where they are known.
        max_kv_gib: GiB of keys and values that a search of several queries holds at most; more are searched in several
            batches. One query is searched whatever it takes: see `check_room`.
        recorded: on a GPU, searches for few queries are recorded (`genrec.serve.recorded`), and hold their memory.
    """

    def __init__(
        self,
        policy: Policy,
        catalogue: Catalogue,
        model_key: str,
        *,
        beam_width: int = 20,
        batch_size: int = 256,
        scores: StepScores | None = None,
        max_kv_gib: float = MAX_KV_GIB,
        recorded: bool = True,
    ) -> None:
        self.policy, self.catalogue, self.model_key = policy, catalogue, model_key
        self.beam_width, self.batch_size, self.max_kv_gib = beam_width, batch_size, max_kv_gib
        self._limits: dict[str, Any] = {
            **{"beam_width": beam_width, "batch_size": batch_size, "max_kv_gib": max_kv_gib, "recorded": recorded}
        }
        self._kv_bytes = kv_memory.bytes_a_position(policy)
        self._most_positions = int(max_kv_gib * GIB) // self._kv_bytes
        self._prompt_positions = _prompt_positions(policy, catalogue)
        self._trie = catalogue.trie.to(policy.device)
        if scores is None:
            with policy.inference():
                scores = policy.step_scores()
        self.scores = scores
        self._search: Callable[..., Candidates] = beam_search
        if recorded and policy.device.type == "cuda" and not policy.dense_weight:  # a dense head is not recorded
            longest = int(self._prompt_positions[-1])
            self._search = RecordedSearch(policy, self._trie, scores, self._width(1), longest, self._most_positions)
        # A cache of a method of this engine would hold the engine, which then would outlive its last user.
        subset = functools.partial(_subset_of_categories, catalogue, self._trie)
        self._in_categories = functools.lru_cache(_CATEGORY_SETS)(subset)

    def with_catalogue(self, catalogue: Catalogue) -> "Engine":
        """The same model over a later snapshot of its catalogue: `Catalogue.with_stock`, or `with_items`, whose new items
        the model then knows by their ids and texts. Takes a moment where items came in; this engine answers meanwhile.

        Raises DataError when items of this engine's catalogue are not there.
        """
        known = len(self.catalogue)
        if not np.array_equal(catalogue.sids[:known], self.catalogue.sids):
            raise DataError(
                "the catalogue is no later snapshot of the engine's: its first items have other semantic ids"
            )
        policy: Policy = self.policy
        scores: StepScores | None = self.scores
        if number := len(catalogue) - known:
            added = None if catalogue.added is None else catalogue.added[-number:]
            policy, scores = with_more_items(policy, catalogue.sids[known:], added), None
        return self._over(policy, catalogue, scores)

    def _over(self, policy: Policy, catalogue: Catalogue, scores: StepScores | None) -> "Engine":
        return Engine(policy, catalogue, self.model_key, scores=scores, **self._limits)

    def check_room(self, k: int) -> None:
        """Raises ConfigError where the keys and values of one query for k items, with the longest history that the model
        reads, are more than the bound: such a query could not be searched within it.
        """
        needed = self._kv_bytes * int(self._positions(np.array([len(self._prompt_positions) - 1]), self._width(k))[0])
        if needed > self.max_kv_gib * GIB:
            raise ConfigError(
                f"api.max_kv_gib is {self.max_kv_gib:g}, but the keys and values of one search for {k} items take "
                f"{needed / GIB:.3g} GiB with the model {self.model_key}; raise api.max_kv_gib, or lower api.max_k"
            )

    def warm_up(self) -> None:
        """Search as the first customers will: one query and a few; on a GPU every size that is recorded and a full batch. All
        with the longest histories that the model reads. What the first searches load, compile and allocate is there afterwards.

        Raises ConfigError where the device has too little memory for a full batch, else what a model raises that cannot
        search.
        """
        ids = self.catalogue.item_ids
        longest = len(self._prompt_positions) - 1
        sizes = [1, _WARM]
        if self.policy.device.type == "cuda":
            sizes = [size for size in SIZES for _ in range(_RECORDED)] + [self.batch_size]
        for size in sizes:
            queries = [
                Query([ids[(n + place) % len(ids)] for place in range(longest)], k=self.beam_width) for n in range(size)
            ]
            try:
                self.answer(queries)
            except torch.OutOfMemoryError as error:
                raise ConfigError(
                    f"{self.policy.device}: too little memory to search {size} requests together ({error}); lower "
                    "api.max_batch or api.max_kv_gib"
                ) from None

    def rank(
        self,
        histories: Sequence[NDArray[np.integer]],
        k: int,
        banned: Sequence[NDArray[np.integer]] | None = None,
        allowed: Sequence[Allowed] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The k best items for each of U histories of item numbers, oldest first: int64[U, k], -1 where there are no more,
        and their scores float32[U, k], -inf there. Items out of stock never come out.

        `banned[u]` are left out, `allowed[u]` (None: all; see `Trie.restrict`) are the only ones that may come. A list does
        not depend on the others: the width of a search follows from k alone. Where k items may come, k do: no prefix
        without an item that may is followed, so a search of k beams ends in k items.
        """
        width = self._width(k)
        items, scores = rank_users(
            self.policy, histories, self.catalogue.sids, self._trie, width, banned=banned, allowed=allowed,
            scores=self.scores, split=lambda lengths: self._split(lengths, width), search=self._search,
        )  # fmt: skip
        return items[:, :k], scores[:, :k]

    def _split(self, lengths: NDArray[np.int64], width: int) -> Iterator[slice]:
        """Batches of searches behind histories of so many items."""
        rows = max(1, min(self.batch_size, _CELLS // width))
        return kv_memory.batches(self._positions(lengths, width), rows, self._most_positions)

    def _positions(self, lengths: NDArray[np.int64], width: int) -> NDArray[np.int64]:
        """int64[U]: positions of searches of `width` beams behind histories of so many items."""
        return self._prompt_positions[lengths] + width * (self._trie.num_levels - 1)

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        """An answer to each query, in their order; queries are searched together.

        Nobody gets an error for being new: unknown ids of a history are skipped and named, a history without a known
        item gets the popular items that may come out, a filter that lets nothing through an empty list.
        """
        asked = [_Asked(self.catalogue, query) for query in queries]
        answers: dict[int, Answer] = {}
        by_width: dict[int, list[int]] = {}
        for place, one in enumerate(asked):
            if one.k and not one.is_closed and len(one.history):
                by_width.setdefault(self._width(one.k), []).append(place)
            else:
                answers[place] = self._popular(one)
        for places in by_width.values():
            answers |= zip(places, self._searched([asked[place] for place in places]), strict=True)
        return [answers[place] for place in range(len(asked))]

    def _width(self, k: int) -> int:
        """Beams for a list of k: few different widths, so that queries share a search. As wide as the catalogue, a search
        finds all there is.
        """
        width = self._least_width
        while width < k:
            width *= 2
        return max(1, min(width, max(len(self.catalogue), self.beam_width)))

    @property
    def _least_width(self) -> int:
        """Beams of a search for a short list."""
        return self.beam_width

    def _searched(self, asked: "list[_Asked]") -> list[Answer]:
        allowed = [self._limit(one) for one in asked]
        items, scores = self.rank(
            [one.history for one in asked],
            max(one.k for one in asked),
            [one.banned for one in asked],
            None if all(let is None for let in allowed) else allowed,
        )
        return [self._answered(one, *row) for one, *row in zip(asked, items, scores, strict=True)]

    def _limit(self, one: "_Asked") -> Allowed:
        """What the search of a query is limited to."""
        if one.allowed is None or len(one.allowed) <= _FEW:
            return one.allowed
        if one.categories is not None:
            return self._in_categories(one.categories)
        return self._trie.subset(one.allowed)

    def _answered(self, one: "_Asked", items: NDArray[np.int64], scores: NDArray[np.float32]) -> Answer:
        found = items[: one.k] >= 0
        listed = self._listed(items[: one.k][found], scores[: one.k][found])
        return Answer(listed, one.unknown, "model" if listed else "none", self.model_key)

    def _popular(self, one: "_Asked") -> Answer:
        """The most popular items that may come out."""
        catalogue = self.catalogue
        order = catalogue.by_popularity
        if one.allowed is not None:
            order = one.allowed[np.argsort(-catalogue.popularity[one.allowed], kind="stable")]
        chosen = np.empty(0, dtype=np.int64)
        for start in range(0, len(order), _POPULAR):
            if len(chosen) >= one.k:
                break
            some = order[start : start + _POPULAR]
            some = some[catalogue.in_stock[some] & ~np.isin(some, one.banned)]
            chosen = np.concatenate([chosen, some[: one.k - len(chosen)]])
        listed = self._listed(chosen, catalogue.popularity_scores[chosen])
        return Answer(listed, one.unknown, "popular" if listed else "none", self.model_key)

    def _listed(self, items: NDArray[np.int64], scores: NDArray[np.float32]) -> list[Recommended]:
        catalogue = self.catalogue
        sids = catalogue.sids[items].tolist()
        return [
            Recommended(catalogue.item_ids[item], catalogue.titles[item], score, tuple(sid))
            for item, score, sid in zip(items.tolist(), scores.tolist(), sids, strict=True)
        ]


def _prompt_positions(policy: Policy, catalogue: Catalogue) -> NDArray[np.int64]:
    """int64[max_history + 1]: positions of the prompt of a history, by its number of items."""
    histories = (np.zeros(length, dtype=np.int64) for length in range(policy.max_history + 1))
    return np.array([policy.view.prompt_ids(policy, [h], catalogue.sids)[0].shape[1] for h in histories])


def _subset_of_categories(catalogue: Catalogue, trie: Trie, categories: frozenset[str]) -> Subset:
    items = catalogue.allowed(Filter(categories=categories))
    assert items is not None
    return trie.subset(items)


class _Asked:
    """A query in item numbers."""

    def __init__(self, catalogue: Catalogue, query: Query) -> None:
        self.k = min(query.k, len(catalogue))
        self.history = catalogue.numbers(query.history)
        self.unknown = []
        if len(self.history) < len(query.history):
            self.unknown = list(dict.fromkeys(i for i in query.history if catalogue.index(i) is None))
        self.allowed = catalogue.allowed(query.allow)
        let = query.allow
        self.categories: frozenset[str] | None = None  # the whole filter, where it is of categories alone
        if let is not None and let.items is None and let.categories is not None:
            self.categories = frozenset(let.categories)
        excluded = catalogue.numbers(list(query.exclude))
        seen = excluded[:0] if query.keep_seen else self.history
        self.banned = np.unique(np.concatenate([seen, excluded]))

    @property
    def is_closed(self) -> bool:
        """Whether the filter lets nothing through."""
        return self.allowed is not None and not len(self.allowed)
