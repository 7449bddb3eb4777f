"""Which events are learnt from and which are predicted."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genrec.data.quarantine import POSITION_LIMIT
from genrec.errors import DataError

TRAIN, VALID, TEST = 0, 1, 2
HISTORY = 3  # read before later targets, never learnt from
PARTS = {"train": TRAIN, "valid": VALID, "test": TEST, "history": HISTORY}  # as a source with its own split names them

_DIGIT = 16  # bits of a time that a pass tells


def leave_one_out(place: NDArray[np.integer], counts: NDArray[np.integer]) -> NDArray[np.int8]:
    """TEST for the last event of a user, VALID for the one before, TRAIN for the others and for users with fewer
    than 3 events. place: of each event among those of its user, from 0; counts: events of its user. Returns int8 [n]."""
    from_end = counts - place
    long = counts >= 3
    part = np.where(long & (from_end == 1), TEST, np.where(long & (from_end == 2), VALID, TRAIN))
    return part.astype(np.int8)


def period_starts(times: Callable[[], Iterable[NDArray[np.int64]]]) -> tuple[int, int]:
    """When validation and test begin: the times of the events behind the first 80% and 90%. times: all, in pieces.

    Raises DataError when the timestamps are no times.
    """
    found = order_statistics(times, lambda number: (number * 8 // 10, number * 9 // 10, number - 1))
    if found[2] < POSITION_LIMIT:
        raise DataError(
            "prepare.split: global_time needs times, but the timestamps of this data are positions in a user's "
            "sequence; set prepare.split to leave_one_out"
        )
    return found[0], found[1]


def order_statistics(
    values: Callable[[], Iterable[NDArray[np.int64]]], places: Callable[[int], Sequence[int]]
) -> list[int]:
    """The values at some places of the sorted values, which are int64 and come in pieces, the same at every call.

    places: from the number of values, at least 1, to places from 0. A radix selection: passes over the values, each of which
    divides the interval that holds a place into 2^16. Raises DataError where there is none.
    """
    ends = [(int(piece.min()), int(piece.max()), len(piece)) for piece in values() if len(piece)]
    if not ends:
        raise DataError(
            "prepare.split: global_time has no event to split; loosen prepare.events and prepare.min_rating"
        )
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    # Of each place: where its interval begins, and how many values of the interval are before it.
    found = [(low, place) for place in places(sum(end[2] for end in ends))]
    shift = max(0, (high - low).bit_length() - _DIGIT)
    width = high - low + 1
    while True:
        counts = {start: np.zeros(2**_DIGIT, dtype=np.int64) for start, _ in found}
        for piece in values():
            for start, count in counts.items():
                inside = piece[(piece >= start) & (piece - start < width)]
                count += np.bincount((inside - start) >> shift, minlength=2**_DIGIT)
        below = {start: np.cumsum(count) for start, count in counts.items()}
        digits = [int(np.searchsorted(below[start], left, side="right")) for start, left in found]
        found = [
            (start + (digit << shift), left - int(below[start][digit - 1] if digit else 0))
            for (start, left), digit in zip(found, digits, strict=True)
        ]
        if shift == 0:
            return [start for start, _ in found]
        width, shift = 1 << shift, max(0, shift - _DIGIT)


def global_time(timestamps: NDArray[np.int64], starts: tuple[int, int]) -> NDArray[np.int8]:
    """TRAIN for events before the first of `starts`, TEST from the second one on, VALID between; events of one time
    stay together, in the later part. timestamps: int64 [n]. Returns int8 [n]."""
    valid_from, test_from = starts
    assert (TRAIN, VALID, TEST) == (0, 1, 2)  # how many of the two starts an event is not before
    return (timestamps >= valid_from).astype(np.int8) + (timestamps >= test_from).astype(np.int8)


def no_training_event(starts: tuple[int, int]) -> DataError:
    """The error of a global_time split that starts validation before any event."""
    return DataError(
        f"prepare.split: global_time leaves no training event, none is before {starts[0]} (milliseconds since "
        "1970): most events have one and the same time, or the filters drop the early ones; set prepare.split to "
        "leave_one_out, or loosen prepare.events and prepare.min_rating"
    )


def given_parts(events: pl.Series) -> pl.Series:
    """The parts that event types name, int8 [n]. events: text [n], each of PARTS. Raises DataError for other types."""
    if unknown := sorted(set(events.unique()) - set(PARTS)):
        raise DataError(
            f"prepare.split: given reads the part of an event ({', '.join(PARTS)}) as its type, and the data has events of "
            f"type {unknown[0]!r}; set prepare.split to leave_one_out or global_time"
        )
    return events.replace_strict(PARTS, return_dtype=pl.Int8).alias("part")
