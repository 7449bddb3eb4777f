"""How far reading is, told by the bytes of the file."""

import gzip
from pathlib import Path

import polars as pl
import pytest

from genrec.config import DataConfig
from genrec.data import columns, csv_rows, ingest, reading, reviews
from genrec.data.shards import cut_into_shards, shard_bytes
from tests.support.data_samples import review, write_lines

ROWS = 4000


def _write(folder: Path, name: str) -> DataConfig:
    """Rows of nearly the same length, so that a share of the bytes is that share of the rows."""
    events = [review(f"u{n * 7919 % 9973:05d}", f"i{n * 104729 % 997:03d}", n % 900) for n in range(ROWS)]
    if "jsonl" in name:
        path = write_lines(folder / "a.jsonl", events)
        source = "amazon2023"
    else:
        path, source = folder / "interactions.csv", "table"
        frame = pl.DataFrame(
            [{k: e[k] for k in ("user_id", "timestamp")} | {"item_id": e["parent_asin"]} for e in events]
        )
        pl.DataFrame({"item_id": ["i1"]}).write_csv(folder / "items.csv")
        frame.write_csv(path) if "csv" in name else frame.write_parquet(
            path.with_suffix(".parquet"), row_group_size=500
        )
    if name.endswith(".gz"):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        path.unlink()
    return DataConfig(source=source, path=str(folder))


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv", "quoted.csv", "a.csv.gz", "a.parquet"])
def test_the_share_reported_is_the_share_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = _write(tmp_path, name)
    monkeypatch.setattr(reading, "BLOCK_BYTES", 20_000)
    monkeypatch.setattr(reviews, "BATCH_BYTES", 20_000)
    monkeypatch.setattr(reading, "INPUT_BYTES", 2_000)
    monkeypatch.setattr(columns, "BATCH_ROWS", 300)
    if name == "quoted.csv":
        monkeypatch.setattr(csv_rows, "_plain", lambda lines, delimiter: None)
    (shard,) = (s for s in ingest.plan(config, tmp_path / "raw") if s.kind == "interactions")
    reports: list[tuple[float, float]] = []
    read: list[int] = []
    module = ingest.variants.load(ingest.PACKAGE, config.source)
    original = module.read

    def counted(*args):
        for batch in original(*args):
            read.append((read[-1] if read else 0) + batch.rows.height)
            yield batch

    monkeypatch.setattr(module, "read", counted)
    ingest.read_shard(shard, config, tmp_path / "parts", lambda done, total, note="", /: reports.append((done, total)))
    assert {total for _, total in reports} == {shard_bytes(shard)}
    shares = [done / total for done, total in reports]
    assert len(shares) > 5
    assert shares == sorted(shares)
    assert shares[-1] == 1
    for share, rows in zip(shares, read, strict=False):
        assert share == pytest.approx(rows / ROWS, abs=0.06)
        assert share < 1 or rows == ROWS


def test_the_bytes_of_the_shards_are_those_of_the_files(tmp_path: Path) -> None:
    config = _write(tmp_path, "a.jsonl")
    (file,) = ingest.source_files(config)
    shards = cut_into_shards([file], max_bytes=100_000)
    assert len(shards) > 3
    assert sum(map(shard_bytes, shards)) == file.path.stat().st_size
    (tmp_path / "b").mkdir()
    file = next(f for f in ingest.source_files(_write(tmp_path / "b", "a.parquet")) if f.kind == "interactions")
    shards = cut_into_shards([file], max_rows=1000)
    assert len(shards) == 4
    assert sum(map(shard_bytes, shards)) == pytest.approx(file.path.stat().st_size, abs=4)
    empty = write_lines(tmp_path / "empty.jsonl", [])
    assert shard_bytes(cut_into_shards([file.__class__("items", empty, "empty.jsonl")])[0]) == 1
