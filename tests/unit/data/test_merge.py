"""The merge on disk gives the tables of the merge in memory, whatever fits into a run, a range or a row group."""

from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.config import DataConfig
from genrec.data import frames, part_files, sorted_runs
from genrec.data.merge import merge
from genrec.data.shards import ROW_TYPES, BadRow, Batch, Shard
from tests.support import in_memory_merge
from tests.support.data_samples import review, run_ingest, write_lines

_EVENT = st.tuples(
    st.sampled_from(["a", "b", "bb", "ü", ""]).map("u{}".format),
    st.sampled_from("xyz"),
    st.integers(1, 3).map(lambda n: n * 10**12),
    st.sampled_from(["review", "purchase"]),
    st.sampled_from([None, 1.0, 5.0]),
)
_ITEM = st.tuples(st.sampled_from("wxyz"), st.sampled_from(["", "T"]), st.just(""), st.just(""), st.just([]))
_CUT = st.lists(st.tuples(st.lists(_EVENT, max_size=12), st.integers(0, 2)), min_size=1, max_size=4)


def _write_part(folder: Path, number: int, kind: str, rows: list[tuple], num_bad: int, from_log: bool) -> None:
    """Rows on the lines behind the bad ones."""
    lines = [(line, *row) for line, row in enumerate(rows, num_bad + 1)]
    frame = pl.DataFrame(lines, schema=ROW_TYPES[kind], orient="row")
    bad = [BadRow(line, "bad_json", f"detail {line}", "{") for line in range(1, num_bad + 1)]
    name = f"{kind}-{number // 2}"
    folder.mkdir(exist_ok=True)
    (folder / name).touch()
    shard = Shard(number, kind, folder / name, name, from_log=from_log)
    batches = [Batch(frame[start : start + 3], [], num_bad, 0.5) for start in range(0, len(rows), 3)]
    part_files.write(shard, iter([*batches, Batch(frame[:0], bad, num_bad + len(rows), 1.0)]), folder)


@pytest.fixture
def _tiny_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorted_runs, "RUN_BYTES", 400)
    monkeypatch.setattr(sorted_runs, "RANGE_BYTES", 300)
    monkeypatch.setattr(sorted_runs, "BATCH_BYTES", 120)
    monkeypatch.setattr(frames, "GROUP_ROWS", 5)


@pytest.mark.usefixtures("_tiny_memory")
@settings(max_examples=300, deadline=None)
@given(files=_CUT, log=st.lists(_EVENT, max_size=6), items=st.lists(_ITEM, max_size=9))
def test_the_merge_equals_the_one_in_memory(
    tmp_path_factory: pytest.TempPathFactory, files: list, log: list[tuple], items: list[tuple]
) -> None:
    folder = tmp_path_factory.mktemp("merge")
    parts = folder / "parts"
    for number, (rows, num_bad) in enumerate(files):
        _write_part(parts, number, "interactions", rows, num_bad, False)
    _write_part(parts, 6, "items", items[:4], 1, False)
    _write_part(parts, 7, "items", items[4:], 0, False)
    _write_part(parts, 8, "interactions", log, 1, True)
    config = DataConfig(source="amazon2023", max_quarantine_share=1, max_share_without_metadata=1)
    summary = merge(parts, config, folder / "out")
    expected = in_memory_merge.merge(parts)
    for name in ("interactions", "items", "quarantine"):
        written = pl.read_parquet(folder / f"out/{name}.parquet")
        assert written.equals(getattr(expected, name).cast(dict(written.schema)), null_equal=True), name
    assert {name: summary[name] for name in expected.summary} == expected.summary
    assert not list(parts.glob("spill*"))


@pytest.mark.usefixtures("_tiny_memory")
def test_the_files_written_depend_on_the_rows_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [review(f"u{n * 7 % 11}", f"i{n % 5}", n) for n in range(40)] + [review("u1", "i1", 3)] * 2
    config = DataConfig(source="amazon2023", path=str(tmp_path / "in"), max_quarantine_share=1)
    write_lines(tmp_path / "in/a.jsonl", [*rows, b"{"])
    run_ingest(config, tmp_path / "tiny")
    monkeypatch.setattr(sorted_runs, "RUN_BYTES", 1 << 20)
    monkeypatch.setattr(sorted_runs, "RANGE_BYTES", 1 << 20)
    run_ingest(config, tmp_path / "whole")
    for name in ("interactions", "items", "quarantine"):
        tiny, whole = ((tmp_path / side / f"ingest/{name}.parquet").read_bytes() for side in ("tiny", "whole"))
        assert tiny == whole, name


def test_a_user_with_many_events_is_read_in_several_ranges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorted_runs, "RANGE_BYTES", 1000)
    monkeypatch.setattr(sorted_runs, "BATCH_BYTES", 100)
    rows = pl.DataFrame({"user": ["a"] * 500 + ["b"], "time": [*range(500), 0]})
    with sorted_runs.RunWriter(tmp_path / "runs", ["user", "time"], dict(rows.schema)) as writer:
        writer.add(rows.sample(fraction=1, shuffle=True, seed=0))
    runs = sorted_runs.SortedRuns([tmp_path / "runs"], ["user", "time"], dict(rows.schema))
    read = [runs.read(low, high) for low, high in sorted_runs.ranges(runs)]
    assert max(frame.height for frame in read) < 150
    assert pl.concat(read).equals(rows)


def test_a_full_disk_stops_the_merge_and_what_was_read_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = tmp_path / "parts"
    _write_part(parts, 0, "interactions", [("u", "x", 10**12, "review", None)] * 3, 0, False)
    before = {path.name: path.read_bytes() for path in parts.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pa.ipc.RecordBatchFileWriter, "write_table", full)
    with pytest.raises(OSError, match="No space left"):
        merge(parts, DataConfig(source="amazon2023"), tmp_path / "out")
    assert {path.name: path.read_bytes() for path in parts.iterdir()} == before


def test_what_fails_while_it_is_read_ahead_fails_where_it_is_worked_on() -> None:
    read = sorted_runs.one_ahead(lambda number: 6 // number, [(3,), (2,), (0,), (1,)])
    assert [next(read), next(read)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(read)
