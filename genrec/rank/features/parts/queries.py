"""Queries: whose next item is asked for, what they had before, and when."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from genrec.data.targets import read_targets
from genrec.tables import HISTORIES_FILE, TEST_FILE, VALID_FILE

_PURCHASE = "purchase"


@dataclass(frozen=True)
class Queries:
    """U histories, oldest event first; what is not known is None."""

    histories: Sequence[NDArray[np.integer]]  # items
    times: Sequence[NDArray[np.int64]] | None = None  # of these events, milliseconds since 1970
    bought: Sequence[NDArray[np.bool_]] | None = None  # whether the event was a purchase
    now: NDArray[np.int64] | None = None  # [U], the moments of the recommendations, milliseconds since 1970

    def __len__(self) -> int:
        return len(self.histories)


def as_served(histories: Sequence[NDArray[np.integer]], moment: int | None) -> Queries:
    """Histories as requests hold them: items alone, and the one moment of all (`Tables.served_moment`)."""
    return Queries(histories, now=None if moment is None else np.full(len(histories), moment, dtype=np.int64))


@dataclass(frozen=True)
class Asked:
    """The rows of a split as queries, and what came next."""

    queries: Queries
    users: NDArray[np.int32]  # [U]
    targets: NDArray[np.int32]  # [U]
    events: NDArray[np.str_]  # [U], kind of the target's event


def read_queries(
    prepared: Path, split: Literal["valid", "test"], places: slice | NDArray[np.integer] = slice(None)
) -> Asked:
    """The rows of a split of prepared data, all or those at `places`; the moment of a row is that of its target.

    Raises DataError as `read_targets`.
    """
    file = VALID_FILE if split == "valid" else TEST_FILE
    rows = read_targets(file.path(prepared), places)
    table = file.read(prepared, ["target_event", "timestamp"])
    stored = HISTORIES_FILE.read(prepared, ["user", "events", "timestamps"])
    starts = np.concatenate([[0], np.cumsum(stored["events"].combine_chunks().value_lengths().to_numpy())])
    times = stored["timestamps"].combine_chunks().flatten().to_numpy()
    bought = stored["events"].combine_chunks().flatten().to_numpy(zero_copy_only=False) == _PURCHASE
    begin = starts[np.searchsorted(stored["user"].to_numpy(), rows.users)].tolist()
    ends = [first + len(history) for first, history in zip(begin, rows.histories, strict=True)]
    bounds = list(zip(begin, ends, strict=True))
    queries = Queries(
        rows.histories,
        [times[first:end] for first, end in bounds],
        [bought[first:end] for first, end in bounds],
        table["timestamp"].to_numpy()[places],
    )
    events = table["target_event"].to_numpy(zero_copy_only=False)[places].astype(str)
    return Asked(queries, rows.users, rows.targets, events)
