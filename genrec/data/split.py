"""Which events are learnt from and which are predicted."""

import numpy as np
import polars as pl

from genrec.data.quarantine import POSITION_LIMIT
from genrec.errors import DataError

TRAIN, VALID, TEST = 0, 1, 2
HISTORY = 3  # read before later targets, never learnt from
PARTS = {"train": TRAIN, "valid": VALID, "test": TEST, "history": HISTORY}  # as a source with its own split names them


def leave_one_out(users: np.ndarray) -> np.ndarray:
    """TEST for the last event of a user, VALID for the one before, TRAIN for the others and for users with fewer
    than 3 events. users: int [n], sorted. Returns int8 [n]."""
    counts = np.bincount(users)
    ends = np.cumsum(counts)[counts >= 3]
    part = np.full(len(users), TRAIN, dtype=np.int8)
    part[ends - 1] = TEST
    part[ends - 2] = VALID
    return part


def period_starts(timestamps: np.ndarray) -> tuple[int, int]:
    """When validation and test begin: the times of the events behind the first 80% and 90%. timestamps: int64 [n].

    Raises DataError when the timestamps are no times.
    """
    if timestamps.max() < POSITION_LIMIT:
        raise DataError(
            "prepare.split: global_time needs times, but the timestamps of this data are positions in a user's "
            "sequence; set prepare.split to leave_one_out"
        )
    ordered = np.sort(timestamps)
    return int(ordered[len(ordered) * 8 // 10]), int(ordered[len(ordered) * 9 // 10])


def global_time(timestamps: np.ndarray, starts: tuple[int, int]) -> np.ndarray:
    """TRAIN for events before the first of `starts`, TEST from the second one on, VALID between; events of one time
    stay together, in the later part. timestamps: int64 [n]. Returns int8 [n]. Raises DataError without TRAIN events."""
    valid_from, test_from = starts
    part = np.where(timestamps >= test_from, TEST, np.where(timestamps >= valid_from, VALID, TRAIN)).astype(np.int8)
    if not (part == TRAIN).any():
        raise DataError(
            f"prepare.split: global_time leaves no training event, none is before {valid_from} (milliseconds since "
            "1970): most events have one and the same time, or the filters drop the early ones; set prepare.split to "
            "leave_one_out, or loosen prepare.events and prepare.min_rating"
        )
    return part


def given_parts(events: pl.Series) -> pl.Series:
    """The parts that event types name, int8 [n]. events: text [n], each of PARTS. Raises DataError for other types."""
    if unknown := sorted(set(events.unique()) - set(PARTS)):
        raise DataError(
            f"prepare.split: given reads the part of an event ({', '.join(PARTS)}) as its type, and the data has events of "
            f"type {unknown[0]!r}; set prepare.split to leave_one_out or global_time"
        )
    return events.replace_strict(PARTS, return_dtype=pl.Int8).alias("part")
