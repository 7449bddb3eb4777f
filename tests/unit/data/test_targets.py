"""Histories point into the users' sequences, and read as if each row had its own."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec import tables
from genrec.config import PrepareConfig
from genrec.data.split import TEST, VALID
from genrec.data.targets import Numbering, read_targets
from genrec.errors import DataError
from tests.support.data_samples import T0_MS, run_prepare, write_ingested
from tests.support.targets import write_targets

DAY = 86_400_000


def _row_by_row(index: Path, part: int) -> list[tuple]:
    """(user, history, its event types, its times, target, its event type, its time) of every target: what a row held
    when it held its whole history."""
    rows = []
    for _, events in pl.read_parquet(index / "events.parquet").group_by("user", maintain_order=True):
        for place, (user, item, event, time, of) in enumerate(events.iter_rows()):
            if of == part and place:
                before = [events[name].to_list()[:place] for name in ("item", "event", "timestamp")]
                rows.append((user, *before, item, event, time))
    return rows


def _as_read(prepared: Path, name: str) -> list[tuple]:
    path = prepared / f"{name}.parquet"
    table = tables.read_table(path, tables.TARGETS)
    sequences = {
        row["user"]: row for row in tables.read_table(prepared / "histories.parquet", tables.HISTORIES).to_pylist()
    }
    read = read_targets(path)
    assert read.users.tolist() == table["user"].to_pylist()
    assert read.targets.tolist() == table["target"].to_pylist()
    return [
        (
            row["user"],
            history.tolist(),
            *(sequences[row["user"]][column][: row["history_length"]] for column in ("events", "timestamps")),
            *(row[column] for column in ("target", "target_event", "timestamp")),
        )
        for history, row in zip(read.histories, table.to_pylist(), strict=True)
    ]


@settings(max_examples=25, deadline=None)
@given(
    events=st.lists(
        st.tuples(st.integers(0, 5).map("u{}".format), st.integers(0, 5).map("i{}".format), st.integers(0, 12)),
        min_size=10,
        max_size=60,
    ),
    split=st.sampled_from(["leave_one_out", "global_time"]),
    on=st.sampled_from(["auto", "all"]),
    num_shards=st.integers(1, 4),
)
def test_the_rows_are_those_of_histories_written_out_row_by_row(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, str, int]], split: str, on: str, num_shards: int
) -> None:
    """With repeats and with many events at one time."""
    folder = tmp_path_factory.mktemp("targets")
    ingested = write_ingested(folder / "ingest", [(u, i, T0_MS + day * DAY) for u, i, day in events])
    config = PrepareConfig(split=split, k_core=1, k_core_on=on, dedupe="none")
    try:
        summary = run_prepare(ingested, config, folder, num_shards)
    except DataError:  # nothing to learn from: tests/unit/data/test_prepare.py
        return
    for name, part in (("valid", VALID), ("test", TEST)):
        expected = _row_by_row(folder / "index", part)
        assert _as_read(folder / "prepared", name) == expected
        assert summary[f"{name}_targets"] == len(expected)
    owners = tables.read_table(folder / "prepared/histories.parquet")["user"].to_pylist()
    assert owners == sorted(set(owners))


def test_a_heavy_users_histories_are_stored_once_and_read_as_views(tmp_path: Path) -> None:
    number = 2000
    events = [("heavy", f"i{n:04d}", T0_MS + n * DAY) for n in range(number)]
    ingested = write_ingested(tmp_path / "ingest", events)
    config = PrepareConfig(split="global_time", k_core=1, k_core_on="all")
    run_prepare(ingested, config, tmp_path)
    stored = tables.read_table(tmp_path / "prepared/histories.parquet")["items"].to_pylist()
    assert [len(sequence) for sequence in stored] == [number - 1]  # not the last target itself
    for name in ("valid", "test"):
        rows = read_targets(tmp_path / f"prepared/{name}.parquet")
        assert len(rows) == number // 10
        assert sum(map(len, rows.histories)) > 100 * number
        assert all(np.shares_memory(history, rows.histories[-1]) for history in rows.histories)
        assert not rows.histories[0].flags.writeable


def test_the_events_of_the_last_target_are_in_no_history(tmp_path: Path) -> None:
    """leave_one_out: other test targets leave train, histories and valid as they are."""
    events = [(f"u{u}", f"i{n}", T0_MS + n) for u in range(4) for n in range(5)]
    other = [(user, "i9" if item == "i4" else item, time) for user, item, time in events]
    for name, rows in (("one", events), ("other", other)):
        run_prepare(write_ingested(tmp_path / name / "ingest", rows), PrepareConfig(k_core=1), tmp_path / name)
    for name in ("train", "histories", "valid"):
        one, two = ((tmp_path / run / f"prepared/{name}.parquet").read_bytes() for run in ("one", "other"))
        assert one == two, name


def test_rows_can_be_a_range_or_numbered(tmp_path: Path) -> None:
    rows = [(0, [1], 2), (0, [1, 2], 3), (2, [], 1), (5, [4, 4], 0)]
    write_targets(tmp_path, test=rows, valid=[])
    path = tmp_path / "test.parquet"
    every = [history.tolist() for history in read_targets(path).histories]
    assert every == [history for _, history, _ in rows]
    assert [h.tolist() for h in read_targets(path, slice(1, 3)).histories] == every[1:3]
    picked = read_targets(path, np.array([3, 0]))
    assert (picked.users.tolist(), picked.targets.tolist()) == ([5, 0], [0, 2])
    assert [h.tolist() for h in picked.histories] == [every[3], every[0]]
    assert len(read_targets(tmp_path / "valid.parquet")) == 0


@pytest.mark.parametrize("other", [[(0, [1], 2)], [(0, [1, 2], 3), (1, [], 0)], []])
def test_histories_of_another_run_are_a_clear_error(tmp_path: Path, other: list) -> None:
    for folder, rows in (("a", [(0, [1, 2], 3), (7, [1], 0)]), ("b", other)):
        (tmp_path / folder).mkdir()
        write_targets(tmp_path / folder, test=rows)
    (tmp_path / "b/histories.parquet").replace(tmp_path / "a/histories.parquet")
    with pytest.raises(DataError, match=r"test\.parquet: points to events .* compute prepare again"):
        read_targets(tmp_path / "a/test.parquet")


def test_rows_of_an_older_version_are_a_clear_error(tmp_path: Path) -> None:
    old = pl.DataFrame({"user": [0], "history": [[1, 2]], "history_events": [["click"] * 2], "target": [3]})
    old.write_parquet(tmp_path / "test.parquet")
    with pytest.raises(DataError, match=r"history_length.* were expected; .* compute its stage again"):
        read_targets(tmp_path / "test.parquet")


def test_other_item_numbers_shorten_histories_and_keep_the_rows(tmp_path: Path) -> None:
    rows = [(0, [1, 0, 2], 3), (0, [1, 0, 2, 3], 1), (4, [1], 2)]
    write_targets(tmp_path, test=rows)
    numbering = Numbering(np.array([5, -1, 6, -1], dtype=np.int32), unknown=9)
    read = read_targets(tmp_path / "test.parquet", numbering=numbering)
    assert [h.tolist() for h in read.histories] == [[5, 6], [5, 6], []]
    assert (read.users.tolist(), read.targets.tolist()) == ([0, 0, 4], [9, 9, 6])
