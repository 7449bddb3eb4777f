"""All groups of features side by side, offline for many queries and in the endpoint for one by the same code."""

import functools
import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genrec import variants
from genrec.rank.candidates import Candidates
from genrec.rank.features.parts.context import Columns, Context

PACKAGE = "genrec.rank.features"


@functools.cache
def groups() -> dict[str, ModuleType]:
    """The modules of the package by name."""
    return {name: importlib.import_module(f"{PACKAGE}.{name}") for name in variants.names(PACKAGE)}


def features(channels: Sequence[str], num_levels: int) -> dict[str, dict[str, str]]:
    """By group, the columns that `compute` gives with their meaning and unit.

    `num_levels` are those of the generator's ids, 0 without a generator.
    """
    return {name: module.names(channels, num_levels) for name, module in groups().items()}


def columns(context: Context, candidates: Candidates) -> Columns:
    """All features by name, float32, a value a candidate, in the order of `features`."""
    made = {name: module.columns(context, candidates) for name, module in groups().items()}
    return {name: made[group][name] for group, name in _in_order(context.channels, context.num_levels)}


@functools.lru_cache(16)
def _in_order(channels: tuple[str, ...], num_levels: int) -> tuple[tuple[str, str], ...]:
    """(group, name) of all columns: a request takes less time than to write what they mean."""
    return tuple((group, name) for group, names in features(channels, num_levels).items() for name in names)


def compute(context: Context, candidates: Candidates) -> pl.DataFrame:
    """The same as a frame, a row a candidate."""
    return pl.DataFrame(columns(context, candidates))


def as_table(
    frame: pl.DataFrame,
    candidates: Candidates,
    users: NDArray[np.integer],
    targets: NDArray[np.integer] | None = None,
    events: NDArray[np.str_] | None = None,
) -> pl.DataFrame:
    """candidates.parquet: user [U], item, query, the labels where targets [U] are known, then the features.

    label: the item came next. click, purchase: the same as tasks, where some of the events [U] is a purchase; an item that
    was bought was clicked too.
    """
    label = None if targets is None else candidates.labels(targets)
    first: dict[str, NDArray[Any]] = {
        "user": np.asarray(users)[candidates.query].astype(np.int32),
        "item": candidates.item.astype(np.int32),
        "query": candidates.query.astype(np.int32),
    }
    if label is not None:
        first["label"] = label
        bought = None if events is None else events == "purchase"
        if bought is not None and bought.any():
            first |= {"click": label, "purchase": (label * bought[candidates.query]).astype(np.float32)}
    return pl.DataFrame(first).hstack(frame)
