"""What a k-core counts under either split, and that nothing learned from depends on the future."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec import tables
from genrec.config import PrepareConfig
from genrec.data.split import TRAIN, period_starts
from genrec.errors import DataError
from tests.support.data_samples import T0_MS, rows_with_histories, run_prepare, write_ingested

DAY = 86_400_000


def _period(day: int) -> int:
    return T0_MS + day * DAY


# Of ten events the first eight train: two users with the two items p and q twice over, r and v once.
KNOWN = [
    *(("a", "p", _period(0)), ("b", "p", _period(1)), ("a", "q", _period(2)), ("b", "q", _period(3))),
    *(("c", "p", _period(4)), ("a", "r", _period(5)), ("c", "s", _period(6)), ("d", "s", _period(7))),
    *(("d", "q", _period(8)), ("c", "q", _period(9))),
]


def _names(folder: Path, name: str, column: str) -> list[str]:
    return tables.read_table(folder / f"prepared/{name}.parquet")[column].to_pylist()


def test_a_k_core_on_training_learns_from_the_training_core_and_predicts_for_everybody(tmp_path: Path) -> None:
    """c has a second event with a kept item in the future only: predicted for, not learnt from. s and r are no items."""
    ingested = write_ingested(tmp_path / "ingest", [*KNOWN[:8], ("a", "s", _period(8)), ("c", "q", _period(9))])
    config = PrepareConfig(split="global_time", k_core=2)
    with pytest.raises(DataError, match=r"no training event"):
        run_prepare(
            write_ingested(tmp_path / "same", [(u, i, T0_MS) for u, i, _ in KNOWN]), config, tmp_path / "same-time"
        )
    summary = run_prepare(ingested, config, tmp_path)
    assert _names(tmp_path, "users", "user_id") == ["a", "b", "c"]
    assert _names(tmp_path, "train", "user_id") == ["a", "b"]
    assert _names(tmp_path, "catalogue", "item_id") == ["p", "q"]
    assert _names(tmp_path, "catalogue", "train_count") == [2, 2]
    assert (summary["k_core_on"], summary["train_events"], summary["cold_items"]) == ("training", 4, 0)
    assert summary["dropped"] == {"k_core": 3, "item_not_in_training": 1, "repeat": 0}
    assert (summary["valid_targets"], summary["test_targets"], summary["interactions"]) == (0, 1, 6)
    assert summary["history_events"] == 1
    (row,) = rows_with_histories(tmp_path / "prepared/test.parquet")
    assert (row["user"], row["history"], row["target"]) == (2, [0], 1)  # c: p, then q


def test_a_k_core_on_all_events_lets_later_ones_count(tmp_path: Path) -> None:
    """c and d are users and s an item because of events 8 and 9."""
    ingested = write_ingested(tmp_path / "ingest", KNOWN)
    summary = run_prepare(ingested, PrepareConfig(split="global_time", k_core=2, k_core_on="all"), tmp_path)
    assert _names(tmp_path, "users", "user_id") == ["a", "b", "c", "d"]
    assert _names(tmp_path, "catalogue", "item_id") == ["p", "q", "s"]
    assert summary["dropped"] == {"k_core": 1, "repeat": 0}
    assert (summary["k_core_on"], summary["train_events"]) == ("all", 7)  # 80% of the 9 kept events
    assert (summary["valid_targets"], summary["test_targets"]) == (1, 1)


def test_leave_one_out_counts_all_events_unless_told_otherwise(tmp_path: Path) -> None:
    events = [(user, item, T0_MS + n) for user in "ab" for n, item in enumerate("pqrs")]
    ingested = write_ingested(tmp_path / "ingest", [*events, ("c", "p", T0_MS), ("c", "r", T0_MS + 1)])
    auto = run_prepare(ingested, PrepareConfig(k_core=2), tmp_path / "auto")
    assert (auto["k_core_on"], auto["users"], auto["items"], auto["test_targets"]) == ("all", 3, 4, 2)
    strict = run_prepare(ingested, PrepareConfig(k_core=2, k_core_on="training"), tmp_path / "training")
    assert _names(tmp_path / "training", "catalogue", "item_id") == ["p", "q"]
    assert strict["dropped"] == {"k_core": 2, "item_not_in_training": 4, "repeat": 0}
    assert (strict["train_users"], strict["train_events"], strict["test_targets"]) == (2, 4, 0)


def test_users_outside_of_the_training_core_without_a_later_event_are_no_users(tmp_path: Path) -> None:
    """Both have p in the training period; c has q in the future, d has a left out item there."""
    others = [("c", "p", _period(4)), ("d", "p", _period(5)), ("a", "p", _period(6)), ("b", "q", _period(7))]
    future = [("d", "s", _period(8)), ("c", "q", _period(9))]
    ingested = write_ingested(tmp_path / "ingest", [*KNOWN[:4], *others, *future])
    summary = run_prepare(ingested, PrepareConfig(split="global_time", k_core=2, dedupe="none"), tmp_path)
    assert _names(tmp_path, "users", "user_id") == ["a", "b", "c"]
    assert summary["dropped"] == {"k_core": 1, "item_not_in_training": 1}
    assert (summary["users"], summary["interactions"], summary["history_events"]) == (3, 8, 1)
    assert (summary["test_targets"], summary["targets_without_history"]) == (1, 0)


def _learnt_from(folder: Path) -> tuple:
    index = pl.read_parquet(folder / "index/events.parquet").filter(pl.col("part") == TRAIN)
    return (
        (folder / "prepared/train.parquet").read_bytes(),
        (folder / "prepared/catalogue.parquet").read_bytes(),
        index.rows(),
    )


@st.composite
def _events_and_another_future(draw: st.DrawFn) -> tuple[list[tuple[str, str, int]], list[tuple[str, str, int]]]:
    """Events, and the same ones with other users, items and times behind the training period."""
    number = draw(st.integers(20, 60))
    pick = st.tuples(st.integers(0, 5).map("u{}".format), st.integers(0, 5).map("i{}".format))
    days = sorted(draw(st.lists(st.integers(0, 40), min_size=number, max_size=number)))
    events = [(*draw(pick), T0_MS + day * DAY) for day in days]
    start = period_starts(lambda: [np.array([time for _, _, time in events])])[0]
    anyone = st.tuples(st.integers(0, 9).map("u{}".format), st.integers(0, 9).map("i{}".format))
    other = []
    for event in events:
        if event[2] < start:
            other.append(event)
        else:  # the events at the start itself stay there: they say when it is
            later = draw(st.integers(0, 50)) * DAY if event[2] > start else 0
            other.append((*draw(anyone), start + later))
    return events, other


@settings(max_examples=25, deadline=None)
@given(_events_and_another_future(), st.integers(1, 3), st.sampled_from(["user_item", "none"]))
def test_nothing_learnt_from_depends_on_events_after_the_training_period(
    tmp_path_factory: pytest.TempPathFactory, drawn: tuple[list, list], k: int, dedupe: str
) -> None:
    folder = tmp_path_factory.mktemp("future")
    config = PrepareConfig(split="global_time", k_core=k, dedupe=dedupe)
    outcomes = []
    for name, events in zip(("one", "other"), drawn, strict=True):
        ingested = write_ingested(folder / name / "ingest", events)
        try:
            run_prepare(ingested, config, folder / name)
            outcomes.append(_learnt_from(folder / name))
        except DataError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


def test_a_k_core_on_all_events_does_depend_on_them(tmp_path: Path) -> None:
    """The property above can fail: with the old order, one event in the future decides about a training user."""
    config = PrepareConfig(split="global_time", k_core=2, k_core_on="all")
    for name, events in (("one", KNOWN), ("other", [*KNOWN[:9], ("e", "t", _period(9))])):
        run_prepare(write_ingested(tmp_path / name / "ingest", events), config, tmp_path / name)
    assert _learnt_from(tmp_path / "one")[-1] != _learnt_from(tmp_path / "other")[-1]
