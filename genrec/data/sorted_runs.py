"""Sorting more rows than memory holds: sorted runs on disk, read back range by range (external merge sort).

A `RunWriter` sorts what fits into memory and writes it as one run of small batches, with the first and last key of each
batch beside it. `SortedRuns` reads a range of keys from the batches that hold some of them and sorts it again. Rows with
equal keys stay in the order in which they were added. Knuth, The Art of Computer Programming, vol. 3, 5.4.

Memory: a run of `RUN_BYTES`, and two ranges of about `RANGE_BYTES` with `one_ahead`, whatever the number of rows. Rows with one and the same
key are always in one range.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import polars as pl
import pyarrow as pa

from genrec.data.order import in_order

RUN_BYTES = 128 << 20  # of rows as Polars holds them; sorting takes two to three times that
RANGE_BYTES = 64 << 20  # two are held
BATCH_BYTES = 512 << 10
Key = tuple[Any, ...]
Read = TypeVar("Read")


class RunWriter:
    """Write frames of one schema, in any order, as sorted runs in the file `path`; use it in a `with`.

    by: the columns of the key, without nulls. index: where the keys of the batches are written, in the end: `index_of(path)`
    or a file that becomes that one.
    """

    def __init__(self, path: Path, by: Sequence[str], schema: Mapping[str, Any], index: Path | None = None) -> None:
        self.path, self.by, self.schema = path, list(by), dict(schema)
        self.index = index or index_of(path)
        self._held: list[pl.DataFrame] = []
        self._bytes = 0
        self._index: list[pl.DataFrame] = []
        self._num_runs = 0
        self._arrow = pl.DataFrame(schema=schema).to_arrow().schema
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._file, self._arrow, options=pa.ipc.IpcWriteOptions(compression="lz4"))

    def __enter__(self) -> "RunWriter":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        try:
            if kind is None:
                self._sort_held()
            self._writer.close()
        finally:
            self._file.close()
        if kind is None:
            _write_index(self._index, self.by, self.schema, self.index)

    def add(self, frame: pl.DataFrame) -> None:
        """Rows of the schema; a run is written when enough are held."""
        self._held.append(frame)
        self._bytes += int(frame.estimated_size())
        if self._bytes >= RUN_BYTES:
            self._sort_held()

    def _sort_held(self) -> None:
        rows = pl.concat(self._held) if self._held else pl.DataFrame(schema=self.schema)
        self._held, size, self._bytes = [], self._bytes, 0
        if not rows.height:
            return
        rows = in_order(rows, self.by)
        row_bytes = max(1, size // rows.height)
        for batch in rows.iter_slices(max(1, BATCH_BYTES // row_bytes)):
            self._writer.write_table(batch.to_arrow().cast(self._arrow))
            self._index.append(
                _ends(batch.select(self.by)).with_columns(run=self._num_runs, bytes=batch.height * row_bytes)
            )
        self._num_runs += 1


def _ends(keys: pl.DataFrame) -> pl.DataFrame:
    """The first and the last key of a batch, in one row."""
    return keys.select(pl.all().first().name.prefix("first_"), pl.all().last().name.prefix("last_"))


def _write_index(index: list[pl.DataFrame], by: list[str], schema: dict[str, Any], path: Path) -> None:
    types = {f"{end}_{name}": schema[name] for end in ("first", "last") for name in by}
    empty = pl.DataFrame(schema={**types, "run": pl.Int64, "bytes": pl.Int64})
    pl.concat([empty, *(batch.match_to_schema(empty.schema, integer_cast="upcast") for batch in index)]).write_parquet(
        path
    )


def index_of(path: Path) -> Path:
    """The file with the keys of the batches of `path`."""
    return path.with_name(f"{path.name}.index")


class _Run(NamedTuple):
    """The batches of one run: numbers of a file's batches from `offset` on, and their keys in order."""

    path: Path
    file: int  # its number among the files
    offset: int
    firsts: list[Key]
    lasts: list[Key]
    sizes: list[int]


class SortedRuns:
    """The rows of several files of sorted runs, as one sorted table that is read in ranges of its key.

    completed: of rows of a file, by its number, the rows with all columns of the schema, which files may lack.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        by: Sequence[str],
        schema: Mapping[str, Any],
        completed: Callable[[int, pl.DataFrame], pl.DataFrame] = lambda number, rows: rows,
    ) -> None:
        self.by, self.schema, self._completed = list(by), dict(schema), completed
        self._runs = [run for number, path in enumerate(paths) for run in _runs_of(path, number, self.by)]

    def sizes(self) -> list[tuple[Key, int]]:
        """The first key of every batch and about how many bytes the batch takes."""
        return [pair for run in self._runs for pair in zip(run.firsts, run.sizes, strict=True)]

    def read(self, low: Key | None, high: Key | None) -> pl.DataFrame:
        """The rows with low <= key < high, sorted; None is no bound."""
        frames = [pl.DataFrame(schema=self.schema)]
        for run in self._runs:
            start = 0 if low is None else bisect_left(run.lasts, low)
            stop = len(run.firsts) if high is None else bisect_left(run.firsts, high)
            if start < stop:
                frames.extend(self._batches(run, start, stop, low, high))
        return in_order(pl.concat(frames), self.by)

    def _batches(self, run: _Run, start: int, stop: int, low: Key | None, high: Key | None) -> Iterator[pl.DataFrame]:
        with pa.OSFile(str(run.path)) as file:
            reader = pa.ipc.open_file(file)
            for place in range(start, stop):
                frame = pl.DataFrame(pl.from_arrow(reader.get_batch(run.offset + place)))
                if low is not None and run.firsts[place] < low:
                    frame = frame.filter(~_is_below(self.by, low))
                if high is not None and run.lasts[place] >= high:
                    frame = frame.filter(_is_below(self.by, high))
                yield self._completed(run.file, frame)


def _runs_of(path: Path, number: int, by: list[str]) -> list[_Run]:
    index = pl.read_parquet(index_of(path), glob=False)
    runs, offset = [], 0
    for rows in index.partition_by("run", maintain_order=True):
        firsts, lasts = (rows.select(f"{end}_{name}" for name in by).rows() for end in ("first", "last"))
        runs.append(_Run(path, number, offset, firsts, lasts, rows["bytes"].to_list()))
        offset += rows.height
    return runs


def _is_below(by: list[str], key: Key) -> pl.Expr:
    """key columns < key, in lexicographic order."""
    name, value = by[0], key[0]
    below = pl.col(name) < pl.lit(value)
    return below if len(by) == 1 else below | ((pl.col(name) == pl.lit(value)) & _is_below(by[1:], key[1:]))


def ranges(*tables: SortedRuns) -> list[tuple[Key | None, Key | None]]:
    """(low, high) of consecutive ranges of the key that tables with the same key share, each about RANGE_BYTES large.

    The first has no lower bound and the last no upper one, so that together they hold every row.
    """
    bounds: list[Key | None] = [None]
    filled = 0
    newest: Key | None = None
    for key, size in sorted((pair for table in tables for pair in table.sizes()), key=lambda pair: pair[0]):
        if filled + size > RANGE_BYTES and filled and key != newest:
            bounds.append(key)
            filled = 0
        filled += size
        newest = key
    return list(zip(bounds, [*bounds[1:], None], strict=True))


def one_ahead(read: Callable[..., Read], calls: Iterable[tuple[Any, ...]]) -> Iterator[Read]:
    """What `read` gives for each of the calls, in order, the next one read in a thread while one is worked on."""
    with ThreadPoolExecutor(1) as pool:
        coming = deque[Future[Read]]()
        for call in calls:
            coming.append(pool.submit(read, *call))
            if len(coming) > 1:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
