"""Samples of ranking: the candidates of many lists with their features, labels and weights.

A list is the candidates of one prediction to make (a row of valid.parquet or test.parquet). A user has one of them, or
several where the split is by time; what is kept apart for learning and scoring is users (genrec/rank/folds.py).
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genrec.errors import DataError

CLICK, PURCHASE = "click", "purchase"
TASKS = (CLICK, PURCHASE)
NOT_FEATURES = ("user", "item", "query", "label", *TASKS)  # columns of candidates.parquet


@dataclass(frozen=True)
class Samples:
    """R candidates of L lists; the rows of a list are neighbours.

    names: of the F features.
    features: float32 [R, F], nan where missing.
    user, item: int64 [R].
    label: float32 [R], 1 for the item that came next, 0 for the others.
    tasks: by name float32 [R], such as click (the item came next) and purchase (it was bought); empty where events have
        no kinds.
    weight: float32 [R], how much a row counts in training.
    query: int64 [R], the number of the list; left out, it is the user.

    Raises ValueError for arrays that do not fit each other, or lists whose rows are apart.
    """

    names: tuple[str, ...]
    features: NDArray[np.float32]
    user: NDArray[np.int64]
    item: NDArray[np.int64]
    label: NDArray[np.float32]
    tasks: Mapping[str, NDArray[np.float32]]
    weight: NDArray[np.float32]
    query: NDArray[np.int64] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.query is None:
            object.__setattr__(self, "query", self.user)
        count = len(self.user)
        if self.features.shape != (count, len(self.names)):
            raise ValueError(f"features: {self.features.shape}; {count} rows and {len(self.names)} names are given")
        for name, values in self.columns().items():
            if values.shape != (count,):
                raise ValueError(f"{name}: {values.shape}; {count} rows are given")
        if len(np.unique(self.queries)) != len(self.starts) - 1:
            raise ValueError("the rows of a list must be neighbours: sort them by list")

    def __len__(self) -> int:
        return len(self.user)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Bounds of the lists, int64 [L + 1]: list i has rows starts[i] to starts[i + 1]."""
        return starts_of(self.query)

    @property
    def list_of_row(self) -> NDArray[np.int64]:
        """The number of each row's list, counted from 0 in row order: int64 [R]."""
        bounds = self.starts
        return np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))

    @cached_property
    def queries(self) -> NDArray[np.int64]:
        """The number of each list, int64 [L], in row order; a query without a candidate is none of them."""
        return self.query[self.starts[:-1]]

    def columns(self) -> dict[str, NDArray]:
        """Every array of one value a row, by name."""
        plain = {name: getattr(self, name) for name in ("user", "item", "query", "label", "weight")}
        return {**plain, **{f"task {name}": values for name, values in self.tasks.items()}}

    def take(self, rows: NDArray) -> "Samples":
        """Some rows: bool [R], or their numbers, ascending."""
        return dataclasses.replace(
            self,
            features=self.features[rows],
            user=self.user[rows],
            item=self.item[rows],
            query=self.query[rows],
            label=self.label[rows],
            weight=self.weight[rows],
            tasks={name: values[rows] for name, values in self.tasks.items()},
        )

    def without(self, names: tuple[str, ...]) -> "Samples":
        """All but some features."""
        kept = [place for place, name in enumerate(self.names) if name not in names]
        return dataclasses.replace(
            self, names=tuple(self.names[place] for place in kept), features=self.features[:, kept]
        )

    def with_weight(self, weight: NDArray[np.float32]) -> "Samples":
        """The same rows, weighted otherwise."""
        return dataclasses.replace(self, weight=weight)


def starts_of(query: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bounds of runs of equal values, int64 [L + 1]."""
    changes = np.flatnonzero(np.diff(query)) + 1
    return np.concatenate([[0], changes, [len(query)]]) if len(query) else np.zeros(1, dtype=np.int64)


def from_frame(frame: pl.DataFrame) -> Samples:
    """Samples of candidates.parquet: user, item, label, then perhaps query, click and purchase; all else is features.

    Every row weighs 1. Raises DataError where a column is missing, or one of those named is null somewhere.
    """
    missing = [name for name in ("user", "item", "label") if name not in frame.columns]
    if missing:
        raise DataError(f"candidates: no column {', '.join(missing)} among {frame.columns}; compute them again")
    known = [name for name in NOT_FEATURES if name in frame.columns]
    nulls = [name for name in known if frame[name].null_count()]
    if nulls:
        raise DataError(f"candidates: nulls in the column {', '.join(nulls)}; compute them again")
    names = tuple(name for name in frame.columns if name not in NOT_FEATURES)
    features = np.full((frame.height, len(names)), np.nan, dtype=np.float32)
    for place, name in enumerate(names):
        features[:, place] = frame[name].cast(pl.Float32).fill_null(np.nan).to_numpy()

    def column(name: str, kind: type) -> NDArray:
        return frame[name].to_numpy().astype(kind)

    return Samples(
        names=names,
        features=features,
        user=column("user", np.int64),
        item=column("item", np.int64),
        label=column("label", np.float32),
        tasks={name: column(name, np.float32) for name in TASKS if name in frame.columns},
        weight=np.ones(frame.height, dtype=np.float32),
        query=column("query", np.int64) if "query" in frame.columns else None,  # type: ignore[arg-type]
    )


def tasks_of(label: NDArray[np.float32], event: NDArray[np.str_]) -> dict[str, NDArray[np.float32]]:
    """The labels of both tasks: click, the item came next; purchase, it did so in an event `purchase`.

    label float32 [R]; event [R], the kind of the event behind each row's list. A purchase is a click as well: who buys has
    looked at the item, which ESMM relies on.
    """
    return {CLICK: label, PURCHASE: (label * (event == PURCHASE)).astype(np.float32)}
