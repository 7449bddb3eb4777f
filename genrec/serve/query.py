"""What is asked of a recommender, and what it answers. Item ids are those of the shop's data."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from genrec.errors import DataError

Source = Literal["model", "popular", "none"]


@dataclass(frozen=True)
class Filter:
    """The only items that may come out: those named, those of a category named; where both are given, those in both.

    None does not restrict; an empty collection lets nothing through. Ids and categories that the catalogue lacks are
    left out without an error.
    """

    items: Collection[str] | None = None
    categories: Collection[str] | None = None

    def __post_init__(self) -> None:
        for name in ("items", "categories"):
            _check_texts(getattr(self, name), f"allow: {name}")


@dataclass(frozen=True)
class Query:
    """One customer's question.

    Args:
        history: item ids, oldest first; repeats are read as they are, so leave them out for a model that learned from first
            events (`prepare.dedupe`). The model reads the last `max_history` of them.
        k: items wanted, 0 or more.
        exclude: ids that must not come out.
        allow: the only items that may.
        keep_seen: items of the history may come out too.

    Raises:
        DataError: k is negative or no whole number, or ids are no list of texts.
    """

    history: Sequence[str]
    k: int = 10
    exclude: Collection[str] = ()
    allow: Filter | None = None
    keep_seen: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or self.k < 0:
            raise DataError(f"k: {self.k!r} is no number of items; give a whole number from 0 on")
        _check_texts(self.history, "history")
        _check_texts(self.exclude, "exclude")


@dataclass(frozen=True)
class Recommended:
    """One recommended item.

    Args:
        item_id, title: of the item.
        score: log-probability; the higher, the better. See `genrec.serve.engine`.
        sid: its semantic id, a code a level.
    """

    item_id: str
    title: str
    score: float
    sid: tuple[int, ...]


@dataclass(frozen=True)
class Answer:
    """What is recommended for one query.

    Args:
        items: at most k, best first; fewer where fewer may come out.
        unknown: ids of the history that the catalogue does not know, each once; they were skipped.
        source: what ranked: the model; popularity, for a history without a known item; or nothing, as nothing may come out.
        model_key: key of the model's artifact.
    """

    items: list[Recommended]
    unknown: list[str]
    source: Source
    model_key: str


def _check_texts(value: Collection[str] | None, name: str) -> None:
    """Raises DataError unless the value is a collection of texts. A lone text is one of letters to Python; taken as ids, it
    would find nothing without a word.
    """
    if isinstance(value, str | bytes):
        raise DataError(f"{name}: {value!r} is one text where a list is needed; write [{value!r}]")
    if value is not None and (wrong := next((one for one in value if not isinstance(one, str)), None)) is not None:
        raise DataError(f"{name}: {wrong!r} is no text; ids and categories are texts, as in the shop's data")
