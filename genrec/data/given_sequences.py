"""Samples that a data set has split itself, each with its history, as one sequence of events a user.

A sample is (user, history, target), and its history is what stood last before the target, cut at some length. The samples
of a user are its events one after the other where each continues the last one: then all of them share one sequence, and
what stands before a target, cut at that length, is its sample's history. A sample that does not continue its user's
events gets a sequence of its own, so that in every case each sample comes out as it is written.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Sample(NamedTuple):
    """A row of a split; `line` is its line in the file."""

    part: str  # train, valid or test
    line: int
    user: str
    history: list[str]  # oldest first
    target: str


class Event(NamedTuple):
    """An event of a sequence, at a position from 0; `part` as in genrec.data.split.PARTS."""

    line: int
    user: str
    item: str
    position: int
    part: str


def events_of(samples: Sequence[Sample], part: str) -> list[Event]:
    """The events that the samples of one part add, in their order; samples: of all parts, train before valid before test.

    The history of a user's first sample is learnt from where that is a training sample, else only read. A sample with a
    sequence of its own is of the user `<user>/<n>`, n counted from 2 and past those that are users of the samples themselves.
    """
    longest = max((len(sample.history) for sample in samples), default=0)
    sequences: dict[str, list[str]] = {}
    users = {sample.user for sample in samples}
    num_own: dict[str, int] = {}
    events: list[Event] = []
    for sample in samples:
        user, history = sample.user, sample.history
        sequence = sequences.get(user)
        if sequence is not None and history != sequence[max(0, len(sequence) - longest) :]:
            num_own[user] = num_own.get(user, 1) + 1
            while f"{user}/{num_own[user]}" in users:
                num_own[user] += 1
            user, sequence = f"{user}/{num_own[user]}", None
        start = len(sequence or [])
        added = [sample.target] if sequence is not None else [*history, sample.target]
        if user == sample.user:
            sequences.setdefault(user, []).extend(added)
        if sample.part == part:
            before = "train" if part == "train" else "history"
            for place, item in enumerate(added, start):
                is_target = place == start + len(added) - 1
                events.append(Event(sample.line, user, item, place, part if is_target else before))
    return events
