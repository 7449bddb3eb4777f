"""The ranked list of each query: candidates of the generator and the channels in the ranker's order, then what else the
generator found.

A score is the logarithm of how likely the item comes next, by the ranker's curve (`genrec.rank.calibration`), as on the
validation candidates. What follows the candidates has the generator's log-probability, at most the score of the item before
it; behind a re-ranker, scores are those of the places. So scores never rise from one place to the next.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genrec.embed.vectors import read_item_vectors
from genrec.errors import DataError
from genrec.measure.reranked import Reranking
from genrec.rank import ranking as rankings
from genrec.rank.candidates import Lists
from genrec.rank.features.parts.queries import as_served
from genrec.rank.retrieval import GENERATOR, Retrieval, Retrieved
from genrec.rank.samples import Samples
from genrec.rank.scored import Scored
from genrec.recall.parts.generator import Generated, Generator
from genrec.search.restriction import Allowed, Subset
from genrec.serve.catalogue import Catalogue
from genrec.serve.once import OncePerItems
from genrec.serve.ranked.channels import worth_asking
from genrec.serve.ranked.features import ServedFeatures
from genrec.serve.ranked.files import RANKING, RETRIEVAL, typical_values
from genrec.serve.ranked.folds import MeanOfFolds
from genrec.serve.ranked.rerank import reranking
from genrec.tables import VECTORS_FILE

_logger = logging.getLogger(__name__)
FAILED = "list without ranking: it failed"
_NO_CANDIDATE = "list without a candidate"
_LONGER = "list longer than its candidates"
_LEAST_PROBABILITY = np.finfo(np.float32).tiny


class ListRanking:
    """A rank artifact, loaded. `counted` are lists, and rows of features, by what was unusual about them.

    Requests hold no times, so that the moment of all of them is that of the newest training event: the same history gets
    the same list until another model is in service.
    """

    def __init__(
        self,
        retrieval: Retrieval,
        ranking: MeanOfFolds,
        features: ServedFeatures,
        steps: OncePerItems[Reranking | None],
    ) -> None:
        self._retrieval, self._ranking, self._features, self._steps = retrieval, ranking, features, steps
        self.num_beams = retrieval.counts.get(GENERATOR, 0)
        self._events: Counter[str] = Counter()

    @classmethod
    def load(cls, folder: Path, embed: Path) -> "ListRanking":
        """From a rank artifact, or what `files.copy` left of one, and the folder of the embed artifact.

        Raises DataError for what cannot be read; see `files.check_libraries` for what is needed.
        """
        ranking = rankings.load(folder / RANKING)
        retrieval = worth_asking(Retrieval.load(folder / RETRIEVAL), ranking.importance())
        loaded = MeanOfFolds.of(ranking)
        path = VECTORS_FILE.path(embed)
        vectors = read_item_vectors(path) if path.is_file() else None
        features = ServedFeatures(loaded.names, typical_values(folder))
        return cls(retrieval, loaded, features, OncePerItems(lambda c: reranking(folder, c, vectors)))

    @property
    def num_items(self) -> int:
        """Items that the channels know."""
        return self._retrieval.tables.num_items

    @property
    def channels(self) -> dict[str, Callable[..., Lists]]:
        """What gives the list of each channel, by name (`genrec.recall.parts.channel.Channel.top`)."""
        return {name: channel.top for name, channel in self._retrieval.channels.items()}

    @property
    def counted(self) -> Counter[str]:
        """What was unusual since it was loaded; any thread may ask while another one ranks."""
        events, missing = self._events.copy(), self._features.counted.copy()
        return events + Counter({f"candidate without the feature {name}": rows for name, rows in missing.items()})

    def lists(
        self,
        generator: Generator,
        found: Generated,
        histories: Sequence[NDArray[np.integer]],
        k: int,
        catalogue: Catalogue,
        banned: Sequence[NDArray[np.integer]] | None,
        allowed: Sequence[Allowed] | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The k best items for U histories, int64 [U, k], -1 where there are no more, and their scores float32 [U, k].

        found: what the generator found for them, with what it read; `banned` and `allowed` are those of the search. Where
        ranking fails, the lists are the generator's, which is counted.
        """
        try:
            return self._ranked(generator, found, histories, k, catalogue, banned, allowed)
        except Exception:  # a customer gets a list, whatever is wrong with a channel or a feature
            if not self._events[FAILED]:
                _logger.exception("ranking failed; the generator's list is served (logged once)")
            self._events[FAILED] += len(histories)
            return found.items[:, :k].astype(np.int64), found.scores[:, :k]

    def _ranked(
        self,
        generator: Generator,
        found: Generated,
        histories: Sequence[NDArray[np.integer]],
        k: int,
        catalogue: Catalogue,
        banned: Sequence[NDArray[np.integer]] | None,
        allowed: Sequence[Allowed] | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        queries = as_served(histories, self._retrieval.tables.served_moment)
        retrieved = self._retrieval(
            queries, generator, banned, found=found.first(self.num_beams), restrict=_open(catalogue, allowed)
        )
        self._note(retrieved, found, k)
        samples = self._features.samples(retrieved)
        scored = Scored(self._ranking, samples)
        log_p = np.log(np.maximum(scored.probabilities, _LEAST_PROBABILITY))
        steps = self._steps.of(catalogue)
        first = None
        if steps is not None:
            first, _, warnings = steps.lists(scored, len(queries), k)
            self._events.update({f"re-ranking, {what}": number for what, number in warnings.items()})
        return _joined(samples, scored.scores, log_p, found, k, first)

    def _note(self, retrieved: Retrieved, found: Generated, k: int) -> None:
        number = np.diff(retrieved.candidates.starts)
        self._events[_NO_CANDIDATE] += int((number == 0).sum())
        self._events[_LONGER] += int((number < np.minimum((found.items >= 0).sum(axis=1), k)).sum())


def check_fits(ranking: ListRanking, num_items: int, where: object) -> None:
    """Raises DataError where the channels were fitted on another catalogue than the model's of `num_items`."""
    if ranking.num_items != num_items:
        raise DataError(
            f"{where}: ranks {ranking.num_items} items, the model has {num_items}; they are of different runs"
        )


def _open(catalogue: Catalogue, allowed: Sequence[Allowed] | None) -> Callable[[Lists], Lists]:
    """Takes out of lists [U, n] what is out of stock, or not allowed to a query."""
    stock = catalogue.in_stock
    masks = [None if let is None else _mask(let, len(stock)) for let in allowed or ()]

    def restrict(lists: Lists) -> Lists:
        items, scores = lists
        listed = np.maximum(items, 0)
        may = stock[listed]
        for row, mask in enumerate(masks):
            if mask is not None:
                may[row] &= mask[listed[row]]
        return (items, scores) if may.all() else (np.where(may, items, -1), np.where(may, scores, -np.inf))

    return restrict


def _mask(let: NDArray[np.integer] | Subset, num_items: int) -> NDArray[np.bool_]:
    if isinstance(let, Subset):
        return let.is_in
    mask = np.zeros(num_items, dtype=bool)
    mask[let] = True
    return mask


def _joined(
    samples: Samples,
    scores: NDArray[np.float32],
    log_p: NDArray[np.float32],
    found: Generated,
    k: int,
    first: NDArray[np.int32] | None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Items and scores [U, k]: those that come `first` [U, k], the candidates, what else the generator found."""
    number = len(found.items)
    items, values = np.full((number, k), -1, dtype=np.int64), np.full((number, k), -np.inf, dtype=np.float32)
    order = np.lexsort((np.arange(len(scores)), -scores, samples.query))
    bounds = np.searchsorted(samples.query, np.arange(number + 1))
    for row in range(number):
        best = order[bounds[row] : bounds[row + 1]]
        sources = [samples.item[best], found.items[row]]
        if first is not None:
            sources.insert(0, first[row])
        chosen = _without_repeats(sources)[:k]
        of_place = log_p[best][: len(chosen)]
        rest = chosen[len(of_place) :]
        of_rest = found.scores[row][_places(found.items[row], rest)]
        items[row, : len(chosen)] = chosen
        values[row, : len(chosen)] = np.minimum.accumulate(np.concatenate([of_place, of_rest]))
    return items, values


def _without_repeats(sources: Sequence[NDArray[np.integer]]) -> NDArray[np.int64]:
    """The items in turn, each where it comes first; -1 is none."""
    items = np.concatenate(sources).astype(np.int64)
    items = items[items >= 0]
    _, at = np.unique(items, return_index=True)
    return items[np.sort(at)]


def _places(items: NDArray[np.integer], wanted: NDArray[np.integer]) -> NDArray[np.int64]:
    order = np.argsort(items)
    return order[np.searchsorted(items, wanted, sorter=order)]
