"""A folder, a pattern and a URL give the same data, and say what is wrong where there is none."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import fsspec
import polars as pl
import pytest

from genrec.config import DataConfig
from genrec.data import ingest, part_files, places
from genrec.data.shards import cut_into_shards
from genrec.errors import DataError
from tests.support.data_samples import review, run_ingest, write_lines

ARTIFACTS = ("interactions.parquet", "items.parquet", "quarantine.parquet")


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    """A file system of this process, as an object store looks to a reader."""
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]
    yield fs
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]


def _amazon(folder: Path) -> Path:
    for n in range(3):
        write_lines(folder / f"{n}.jsonl", [review(f"u{n}", f"i{i}", i) for i in range(40)])
    packed = gzip.compress(write_lines(folder / "3.jsonl", [review("u3", "i1"), b"{broken"]).read_bytes(), mtime=0)
    (folder / "3.jsonl").unlink()
    (folder / "3.jsonl.gz").write_bytes(packed)
    write_lines(folder / "meta_a.jsonl", [{"parent_asin": f"i{i}", "title": f"T{i}"} for i in range(40)])
    return folder


def _table(folder: Path) -> Path:
    for n in range(3):
        part = folder / f"interactions/day={n}"
        part.mkdir(parents=True)
        frame = pl.DataFrame({"user_id": [f"u{i % 5}" for i in range(40)], "item_id": [f"i{i % 7}" for i in range(40)]})
        frame.with_columns(pl.int_range(1 + n * 40, 41 + n * 40).alias("timestamp")).write_parquet(
            part / "0.parquet", row_group_size=10
        )
    pl.DataFrame({"item_id": [f"i{i}" for i in range(7)], "title": "T"}).write_csv(folder / "items.csv")
    return folder


MAKERS = {"amazon2023": _amazon, "table": _table}


def _run(source: str, path: str, folder: Path) -> list[bytes]:
    config = DataConfig(source=source, path=path, max_quarantine_share=0.1)
    shards = cut_into_shards(ingest.source_files(config), max_bytes=1500, max_rows=20)
    run_ingest(config, folder, shards)
    return [(folder / "ingest" / name).read_bytes() for name in ARTIFACTS]


@pytest.mark.parametrize("source", MAKERS)
def test_a_url_gives_what_its_local_copy_gives(source: str, tmp_path: Path, memory: fsspec.AbstractFileSystem) -> None:
    folder = MAKERS[source](tmp_path / "in")
    memory.put(str(folder), "/bucket/shop", recursive=True)
    whole = _run(source, str(folder), tmp_path / "a")
    assert _run(source, "memory://bucket/shop", tmp_path / "b") == whole
    assert _run(source, f"file://{folder}", tmp_path / "c") == whole
    local, remote = (
        ingest.fingerprint(DataConfig(source=source, path=path)) for path in (str(folder), "memory://bucket/shop")
    )
    assert local == remote
    config = DataConfig(source=source, path="memory://bucket/shop")
    assert len(cut_into_shards(ingest.source_files(config), max_bytes=1500, max_rows=20)) > 6
    assert ingest.left_out(config) == {}


@pytest.mark.parametrize("root", ["local", "memory://bucket"])
@pytest.mark.parametrize("source", MAKERS)
def test_a_pattern_takes_the_files_that_match(
    source: str, root: str, tmp_path: Path, memory: fsspec.AbstractFileSystem
) -> None:
    for month in ("2024-01", "2024-02", "2023-12"):
        MAKERS[source](tmp_path / "in" / month)
    memory.put(str(tmp_path / "in"), "/bucket/in", recursive=True)
    path = f"{tmp_path if root == 'local' else root}/in/2024-*/**/*"
    names = [file.name for file in ingest.source_files(DataConfig(source=source, path=path))]
    assert names
    assert {name.split("/")[0] for name in names} == {"2024-01", "2024-02"}
    one = f"{tmp_path if root == 'local' else root}/in/2024-01/**/*"
    assert len(ingest.source_files(DataConfig(source=source, path=one))) * 2 == len(names)
    kinds = {file.kind for file in ingest.source_files(DataConfig(source=source, path=one))}
    assert kinds == {"interactions", "items"}


def test_a_folder_whose_name_looks_like_a_pattern_is_that_folder(tmp_path: Path) -> None:
    _amazon(tmp_path / "shop[1]")
    config = DataConfig(source="amazon2023", path=str(tmp_path / "shop[1]"))
    assert len(ingest.source_files(config)) == 5


def test_a_pattern_without_a_match_says_what_is_there(tmp_path: Path) -> None:
    _amazon(tmp_path / "in")
    with pytest.raises(DataError, match=r"no file matches .*\.parquet; .*in holds 0\.jsonl, 1\.jsonl"):
        ingest.source_files(DataConfig(source="amazon2023", path=f"{tmp_path}/in/*.parquet"))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nothing://bucket/x", "fsspec knows s3://"),
        ("s3://key:secret@bucket/x", "give them in the environment"),
        ("memory://bucket/none", "no folder or file"),
    ],
)
def test_a_url_that_cannot_be_read_is_refused_with_the_fix(url: str, told: str) -> None:
    with pytest.raises(DataError, match=told) as error:
        ingest.source_files(DataConfig(source="amazon2023", path=url))
    assert "secret" not in str(error.value)


def test_an_error_of_the_network_names_the_url(
    memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unreachable(Exception):
        pass

    def fail(*_: object, **__: object) -> None:
        raise Unreachable("connection refused")

    monkeypatch.setattr(type(memory), "info", fail)
    with pytest.raises(DataError, match=r"memory://bucket/x cannot be reached \(Unreachable: connection refused\)"):
        ingest.source_files(DataConfig(source="amazon2023", path="memory://bucket/x"))


def test_the_digest_of_an_object_is_what_its_store_tells(
    memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe("/bucket/a.jsonl", b"x")
    path = places.located("memory://bucket/a.jsonl")
    of_content = places.digest(path)
    info = memory.info("/bucket/a.jsonl")
    found = {}
    for told in ({"ETag": '"1"'}, {"ETag": '"2"'}, {"ETag": '"2"', "size": 2}, {"lfs": {"sha256": of_content}}):
        monkeypatch.setattr(type(memory), "info", lambda *_, told=told, **__: {**info, **told})
        found[str(told)] = places.digest(path)
    assert len(set(found.values())) == 4
    assert list(found.values())[-1] == of_content
    assert all(len(digest) == 64 for digest in found.values())


@pytest.mark.parametrize("error", [TimeoutError("read timed out"), OSError(5, "Input/output error")])
def test_a_parquet_file_that_the_network_does_not_give_is_not_damaged_and_is_read_later(
    error: OSError, tmp_path: Path, memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.put(str(_table(tmp_path / "in")), "/shop", recursive=True)
    config = DataConfig(source="table", path="memory://shop")
    shard = ingest.plan(config, tmp_path)[0]

    def fail(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as away:
        away.setattr(type(memory), "_open", fail)
        with pytest.raises(DataError, match=r"memory://shop/.*parquet cannot be reached"):
            ingest.read_shard(shard, config, tmp_path / "parts")
        with pytest.raises(DataError, match=r"memory://shop cannot be reached"):
            ingest.source_files(config)
    assert not part_files.is_read(shard, tmp_path / "parts")
    ingest.read_shard(shard, config, tmp_path / "parts")
    assert part_files.is_read(shard, tmp_path / "parts")


def test_a_wildcard_in_the_name_of_a_bucket_is_an_error() -> None:
    class Bucket(type(Path())):  # type: ignore[misc]
        """As the root of an object store: it is its own parent."""

        @property
        def parent(self) -> "Bucket":
            return self

    with pytest.raises(DataError, match="wildcard in the name of the bucket"):
        places.matching(Bucket("logs-*"))


def test_files_are_listed_anew_for_each_reading(memory, monkeypatch) -> None:
    forgotten: list[bool] = []
    monkeypatch.setattr(type(memory), "invalidate_cache", lambda self, path=None: forgotten.append(True))
    memory.pipe("/shop/a.jsonl", b'{"user_id": "u", "parent_asin": "i", "rating": 5, "timestamp": 1600000000000}\n')
    config = DataConfig(source="amazon2023", path="memory://shop")
    ingest.source_files(config)
    seen = len(forgotten)
    assert seen
    ingest.source_files(config)
    assert len(forgotten) > seen
