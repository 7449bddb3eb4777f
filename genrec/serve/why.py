"""Why an item is recommended: the parts of its score, the history items that speak for it, the path of its semantic id."""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genrec.errors import DataError
from genrec.serve.catalogue import Catalogue
from genrec.serve.engine import Engine
from genrec.serve.item_score import ItemScores, Part, item_scores, parts
from genrec.serve.once import OncePerItems
from genrec.serve.prefix_names import PrefixName, PrefixNames
from genrec.serve.query import Query, Source

_NAMES = OncePerItems(lambda catalogue: PrefixNames(catalogue.sids, catalogue.titles, catalogue.categories))


@dataclass(frozen=True)
class Influence:
    """An item of the history, and what it does for the score of the recommended one."""

    item_id: str
    title: str
    fall: float  # nats by which the score falls where the history lacks the item; below 0: it rises


@dataclass(frozen=True)
class Explanation:
    """Why an item is recommended.

    Args:
        item_id, title, sid: of the item.
        score: as it is served (`genrec.serve.engine`), but for ranked lists.
        even_score: that of an even choice among all items, log(1 / N): what the points of the parts are counted from.
        parts: what adds up to score - even_score (`genrec.serve.item_score`); [] where popularity alone ranks.
        history: the items that the model read, the one without which the score falls most first.
        path: names of the prefixes of the item's semantic id, shortest first.
        source: what scores: the model; or popularity, for a history without a known item.
        model_key: key of the model's artifact.
        ranked: whether a ranking puts lists in order; score and parts are those of the generator then.
    """

    item_id: str
    title: str
    sid: tuple[int, ...]
    score: float
    even_score: float
    parts: list[Part]
    history: list[Influence]
    path: list[PrefixName]
    source: Source
    model_key: str
    ranked: bool = False


def explain(engine: Engine, query: Query, item_id: str) -> Explanation:
    """Why the engine's model gives the item the score it has for the query's history.

    An item's score does not depend on what else may come out: k, filter and exclusions of the query are not looked at.
    Raises DataError for an item that the catalogue does not know.
    """
    catalogue = engine.catalogue
    item = catalogue.index(item_id)
    if item is None:
        raise DataError(f"item_id: no item {item_id!r} in the catalogue")
    sid = tuple(catalogue.sids[item].tolist())
    even = -math.log(len(catalogue))
    popular = Explanation(
        item_id, catalogue.titles[item], sid, float(catalogue.popularity_scores[item]), even, [], [],
        prefix_names(catalogue).path(sid), "popular", engine.model_key,
    )  # fmt: skip
    history = catalogue.numbers(query.history)
    if not len(history):
        return popular
    read = newest_distinct(history[-engine.policy.max_history :])
    # Every history in one forward: the whole one, then each without one of its items, older ones moving up.
    without = [history[history != left_out] for left_out in read]
    scores = item_scores(engine.policy, [history, *without], catalogue.sids, item)
    return dataclasses.replace(
        popular,
        score=float(scores.scores[0]),
        parts=parts(engine.policy, scores, 0, len(catalogue)),
        history=_influences(engine, read, scores),
        source="model",
        ranked=getattr(engine, "ranking", None) is not None,
    )


def prefix_names(catalogue: Catalogue) -> PrefixNames:
    """Names of the catalogue's prefixes; the first call for a catalogue's items reads every title."""
    return _NAMES.of(catalogue)


def newest_distinct(history: NDArray[np.int64]) -> NDArray[np.int64]:
    """The items of a history (oldest first), each once, the newest first."""
    items, first = np.unique(history[::-1], return_index=True)
    return items[np.argsort(first)]


def _influences(engine: Engine, read: NDArray[np.int64], scores: ItemScores) -> list[Influence]:
    falls = scores.scores[0] - scores.scores[1:]
    ids, titles = engine.catalogue.item_ids, engine.catalogue.titles
    return [Influence(ids[read[n]], titles[read[n]], float(falls[n])) for n in np.argsort(-falls, kind="stable")]
