"""Samples of a split as sequences: each sample comes out with the history that it is written with."""

from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.data.given_sequences import Event, Sample, events_of

PARTS = ("train", "valid", "test")


def _found(samples: list[Sample]) -> dict[tuple[str, int], tuple[list[str], str]]:
    """(part, line) -> what stands last before the target, as long as the longest history, and the target."""
    longest = max((len(sample.history) for sample in samples), default=0)
    events = [event for part in PARTS for event in events_of(samples, part)]
    sequences: dict[str, list[Event]] = {}
    for event in sorted(events, key=lambda event: (event.user, event.position)):
        sequences.setdefault(event.user, []).append(event)
    found = {}
    for sequence in sequences.values():
        assert [event.position for event in sequence] == list(range(len(sequence)))
        for place, event in enumerate(sequence):
            target_of_row = place + 1 == len(sequence) or sequence[place + 1].line != event.line
            is_other_part = place + 1 < len(sequence) and sequence[place + 1].part != event.part
            if event.part != "history" and (target_of_row or is_other_part):
                before = [e.item for e in sequence[max(0, place - longest) : place]]
                found[event.part, event.line] = (before, event.item)
    return found


def _as_written(samples: list[Sample]) -> dict[tuple[str, int], tuple[list[str], str]]:
    return {(sample.part, sample.line): (sample.history, sample.target) for sample in samples}


@st.composite
def _splits(draw: st.DrawFn) -> list[Sample]:
    """Events of some users in one order of time, each but a user's first a sample, cut into three parts."""
    events = draw(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("1234567")), max_size=40))
    longest = draw(st.integers(1, 5))
    sequences: dict[str, list[str]] = {}
    rows = []
    for user, item in events:
        sequence = sequences.setdefault(user, [])
        if sequence:
            rows.append((user, sequence[-longest:], item))
        sequence.append(item)
    first, second = sorted(draw(st.tuples(st.integers(0, len(rows)), st.integers(0, len(rows)))))
    return [
        Sample(PARTS[(n >= first) + (n >= second)], n + 2, user, history, item)
        for n, (user, history, item) in enumerate(rows)
    ]


@settings(max_examples=150, deadline=None)
@given(_splits())
def test_the_samples_of_a_user_are_one_sequence_and_come_out_as_written(samples: list[Sample]) -> None:
    assert _found(samples) == _as_written(samples)
    users = {event.user for part in PARTS for event in events_of(samples, part)}
    assert users == {sample.user for sample in samples}


ITEMS = st.lists(st.sampled_from("123"), max_size=3)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), ITEMS, st.sampled_from("123"), st.integers(0, 2)), max_size=12))
def test_samples_that_do_not_continue_each_other_come_out_as_written_too(rows: list) -> None:
    rows.sort(key=lambda row: row[3])
    samples = [Sample(PARTS[part], n + 2, *row) for n, (*row, part) in enumerate(rows)]
    assert _found(samples) == _as_written(samples)


def test_the_parts_of_known_samples() -> None:
    samples = [
        Sample("train", 2, "u", ["a"], "b"),
        Sample("valid", 2, "u", ["a", "b"], "c"),
        Sample("test", 2, "v", ["x", "y"], "z"),
        Sample("test", 3, "u", ["q"], "r"),  # not what u did
    ]
    assert [tuple(event) for part in PARTS for event in events_of(samples, part)] == [
        (2, "u", "a", 0, "train"),
        (2, "u", "b", 1, "train"),
        (2, "u", "c", 2, "valid"),
        (2, "v", "x", 0, "history"),
        (2, "v", "y", 1, "history"),
        (2, "v", "z", 2, "test"),
        (3, "u/2", "q", 0, "history"),
        (3, "u/2", "r", 1, "test"),
    ]


def test_a_sequence_of_its_own_never_takes_the_name_of_a_user() -> None:
    rows = [("A", ["x"], "y"), ("A", ["q"], "z"), ("A/2", ["m"], "n")]
    samples = [Sample("train", line, *row) for line, row in enumerate(rows, 2)]
    assert _found(samples) == _as_written(samples)
    assert [event.user for event in events_of(samples, "train")] == ["A", "A", "A/3", "A/3", "A/2", "A/2"]
