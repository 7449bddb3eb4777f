"""Every Parquet artifact of the pipeline: its file name and its columns. Open this file to know what any stage writes.

Readers and writers go through a `TableFile` (or `read_table` and `write_table`, where the name varies), so a file that
does not match its declaration fails where it is written, not three stages later.
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from genrec.errors import DataError


def _milliseconds(year: int) -> int:
    return int(datetime.datetime(year, 1, 1, tzinfo=datetime.UTC).timestamp() * 1000)


FIRST_TIME_MS, END_TIME_MS = _milliseconds(1990), _milliseconds(2100)  # an event's time is in between


@dataclass(frozen=True)
class TableFile:
    """A table of a stage's artifact: what its file is called there, and its columns."""

    name: str
    schema: pa.Schema | None = None  # None: the columns depend on a size, and a writer gives them

    def path(self, folder: Path) -> Path:
        return folder / self.name

    def part(self, folder: Path, index: int) -> Path:
        """Where a task that writes a piece of the table puts it; `parts` lists them in order."""
        return folder / f"{Path(self.name).stem}-{index:05d}.parquet"

    def parts(self, folder: Path) -> list[Path]:
        numbered = {path.stem.rpartition("-")[2]: path for path in folder.glob(f"{Path(self.name).stem}-*.parquet")}
        return [numbered[number] for number in sorted(filter(str.isdecimal, numbered), key=int)]

    def read(self, folder: Path, columns: list[str] | None = None) -> pa.Table:
        """The table, or the named columns of it, checked as `read_table` does."""
        return read_table(self.path(folder), self.schema, columns)

    def write(self, table: pa.Table, folder: Path, schema: pa.Schema | None = None) -> Path:
        """Write the table, checked as `write_table` does, and return the file's path."""
        columns = schema or self.schema
        if columns is None:
            raise ValueError(f"{self.name}: the columns depend on a size; give their schema")
        write_table(table, self.path(folder), columns)
        return self.path(folder)


def checked_table(table: pa.Table, name: str, schema: pa.Schema) -> pa.Table:
    """The table with exactly the declared columns, cast where lossless; `name` is the file's, for messages.

    Raises DataError when a column is missing, unknown, null against its declaration or not castable.
    """
    missing = [n for n in schema.names if n not in table.column_names]
    unknown = [n for n in table.column_names if n not in schema.names]
    if missing or unknown:
        raise DataError(f"{name}: columns do not match the schema (missing {missing}, unknown {unknown})")
    try:
        table = table.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise DataError(f"{name}: {error}") from error
    for field in schema:
        if not field.nullable and table[field.name].null_count:
            raise DataError(f"{name}: column {field.name} holds {table[field.name].null_count} nulls")
    return table


def write_table(table: pa.Table, path: Path, schema: pa.Schema) -> None:
    """Write a table that must have exactly the declared columns: see `checked_table`, which raises DataError."""
    pq.write_table(checked_table(table, path.name, schema), path, compression="zstd")


def check_there(path: Path) -> None:
    """Raises DataError where there is no such file; it names those of the folder."""
    if not path.is_file():
        present = sorted(p.name for p in path.parent.glob("*")) if path.parent.is_dir() else []
        raise DataError(f"{path}: no such file; the folder holds {present}")


def read_table(path: Path, schema: pa.Schema | None = None, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet artifact, or the named columns of it; with a schema, its columns are checked by name.

    Raises DataError when the file or a column is missing, or the file has columns that the schema does not know.
    """
    check_there(path)
    names = pq.read_schema(path).names
    expected = names if schema is None else schema.names
    missing = [name for name in columns or expected if name not in names]
    if missing or (columns is None and names != expected):
        raise DataError(
            f"{path}: columns {names} where {columns or expected} were expected; if another version of genrec wrote the "
            "file, compute its stage again"
        )
    return pq.read_table(path, columns=columns)


# ---- ingest -----------------------------------------------------------------------------------------------------------
INTERACTIONS = pa.schema(
    [
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("timestamp", pa.int64(), nullable=False),  # milliseconds since 1970, or a position in the sequence
        pa.field("event", pa.string(), nullable=False),  # click | purchase | review | a type of the source's own
        pa.field("rating", pa.float32()),  # null where the source has none
    ]
)
ITEMS = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),  # "" where the source has none
        pa.field("description", pa.string(), nullable=False),
        pa.field("brand", pa.string(), nullable=False),
        pa.field("categories", pa.list_(pa.string()), nullable=False),  # general to specific
    ]
)
QUARANTINE = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),  # relative to the source folder
        pa.field("line", pa.int64(), nullable=False),  # 1-based line (JSONL, CSV) or row (Parquet)
        pa.field("reason", pa.string(), nullable=False),  # short code, see genrec/data/quarantine.py
        pa.field("detail", pa.string(), nullable=False),  # the offending value
        pa.field("record", pa.string(), nullable=False),  # the row as read, cut at 500 characters
    ]
)
INTERACTIONS_FILE = TableFile("interactions.parquet", INTERACTIONS)
ITEMS_FILE = TableFile("items.parquet", ITEMS)
QUARANTINE_FILE = TableFile("quarantine.parquet", QUARANTINE)

# ---- prepare ----------------------------------------------------------------------------------------------------------
CATALOGUE = pa.schema(
    [
        pa.field("item", pa.int32(), nullable=False),  # 0..num_items-1, row number
        *ITEMS,
        pa.field("train_count", pa.int32(), nullable=False),  # training events with the item; 0 = cold
    ]
)
USERS = pa.schema(  # row i is user i, under global_time also those without training events
    [
        pa.field("user", pa.int32(), nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
    ]
)
_EVENTS = [
    pa.field("items", pa.list_(pa.int32()), nullable=False),  # oldest first, NOT cut to max_history
    pa.field("events", pa.list_(pa.string()), nullable=False),
    pa.field("timestamps", pa.list_(pa.int64()), nullable=False),
]
SEQUENCES = pa.schema(  # what a model may learn from, one row a user
    [
        pa.field("user", pa.int32(), nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
        *_EVENTS,
    ]
)
HISTORIES = pa.schema(  # one row a user with targets, by user: the events before the last target
    [
        pa.field("user", pa.int32(), nullable=False),
        *_EVENTS,
    ]
)
TARGETS = pa.schema(  # one row a prediction to make; genrec.data.targets reads them
    [
        pa.field("user", pa.int32(), nullable=False),
        pa.field("history_length", pa.int32(), nullable=False),  # first events of the user's row of HISTORIES
        pa.field("target", pa.int32(), nullable=False),
        pa.field("target_event", pa.string(), nullable=False),
        pa.field("timestamp", pa.int64(), nullable=False),
    ]
)
CATALOGUE_FILE = TableFile("catalogue.parquet", CATALOGUE)
USERS_FILE = TableFile("users.parquet", USERS)
TRAIN_FILE = TableFile("train.parquet", SEQUENCES)
HISTORIES_FILE = TableFile("histories.parquet", HISTORIES)
VALID_FILE = TableFile("valid.parquet", TARGETS)
TEST_FILE = TableFile("test.parquet", TARGETS)

# ---- sid --------------------------------------------------------------------------------------------------------------


def vectors_schema(dim: int, number: pa.DataType | None = None) -> pa.Schema:
    """Of the embed stage: row i is item i; `number` is the type of a value, float32 where it is not given."""
    return pa.schema(
        [
            pa.field("item", pa.int32(), nullable=False),
            pa.field("vector", pa.list_(number or pa.float32(), dim), nullable=False),
        ]
    )


def sids_schema(num_levels: int) -> pa.Schema:
    """Of the sid stage: row i is item i; `raw` is before collisions were repaired."""
    return pa.schema(
        [
            pa.field("item", pa.int32(), nullable=False),
            pa.field("sid", pa.list_(pa.int32(), num_levels), nullable=False),
            pa.field("raw", pa.list_(pa.int32(), num_levels), nullable=False),
        ]
    )


def known_ids_schema(num_levels: int, num_tokens: int) -> pa.Schema:
    """Of a sid stage that kept ids: every item that got one from these codebooks, gone ones too."""
    return pa.schema(
        [
            pa.field("item_id", pa.string(), nullable=False),
            pa.field("sid", pa.list_(pa.int32(), num_tokens), nullable=False),
            pa.field("raw", pa.list_(pa.int32(), num_levels), nullable=False),
            pa.field("squared_error", pa.float64()),  # null for items that the codebooks were fitted on
        ]
    )


VECTORS_FILE = TableFile("vectors.parquet")
SIDS_FILE = TableFile("sids.parquet")
KNOWN_IDS_FILE = TableFile("known.parquet")

# ---- sft, rl ----------------------------------------------------------------------------------------------------------
TRAINING_LOG = pa.schema(  # long format: one row a figure
    [
        pa.field("step", pa.int64(), nullable=False),  # optimizer steps done
        pa.field("epoch", pa.float64(), nullable=False),  # passes over the training users done
        pa.field("name", pa.string(), nullable=False),  # loss, learning_rate, valid_ndcg@10, reward, kl, ...
        pa.field("value", pa.float64(), nullable=False),
    ]
)
TRAINING_LOG_FILE = TableFile("training_log.parquet", TRAINING_LOG)

# ---- rank -----------------------------------------------------------------------------------------------------------


def candidates_schema(features: Sequence[str], tasks: Sequence[str] = ()) -> pa.Schema:
    """Of the rank stage: a row a candidate of a row of the split, rows of a query together; features as docs/ranking.md."""
    return pa.schema(
        [
            pa.field("user", pa.int32(), nullable=False),
            pa.field("item", pa.int32(), nullable=False),
            pa.field("query", pa.int32(), nullable=False),  # row of valid.parquet or test.parquet
            pa.field("label", pa.float32(), nullable=False),  # 1: the next item
            *(pa.field(name, pa.float32(), nullable=False) for name in tasks),  # click, purchase
            *(pa.field(name, pa.float32(), nullable=False) for name in features),  # NaN = missing
        ]
    )


CANDIDATES_FILE = TableFile("candidates.parquet")

# ---- evaluate ---------------------------------------------------------------------------------------------------------
PREDICTIONS = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("seen_items", pa.string(), nullable=False),  # drop | keep
        pa.field("user", pa.int32(), nullable=False),
        pa.field("target", pa.int32(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),  # 0-based place of the target in `items`, -1 when absent
        pa.field("items", pa.list_(pa.int32()), nullable=False),  # best first, at most beam_width
        pa.field("scores", pa.list_(pa.float32()), nullable=False),
    ]
)
PREDICTIONS_FILE = TableFile("predictions.parquet", PREDICTIONS)

# ---- recommend --------------------------------------------------------------------------------------------------------
RECOMMENDATIONS = pa.schema(  # one row a user, in parts of whole shards; best item first
    [
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("items", pa.list_(pa.string()), nullable=False),  # item ids, at most k
        pa.field("scores", pa.list_(pa.float32()), nullable=False),  # of each item; of popular ones, see `source`
        pa.field(
            "source", pa.string(), nullable=False
        ),  # model | popular: log of an item's share of the training events
        pa.field("model_key", pa.string(), nullable=False),
        pa.field("made_at", pa.timestamp("ms", tz="UTC"), nullable=False),  # one time for all rows of an artifact
    ]
)
RECOMMENDATIONS_FILE = TableFile("recommendations.parquet", RECOMMENDATIONS)


def ragged(column: pa.ChunkedArray) -> list[NDArray[np.int32]]:
    """A list<int32> column as numpy arrays, one a row."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # a column without chunks
        return []
    return np.split(array.flatten().to_numpy(), np.cumsum(array.value_lengths().to_numpy())[:-1]) if len(array) else []


def numbered(labels: pa.Array) -> tuple[NDArray[np.int64], list[str]]:
    """A number for each label, int64 [n], counted from 0 by first appearance, and the labels by their number."""
    encoded = labels.dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), encoded.dictionary.to_pylist()


def read_sids(path: Path) -> NDArray[np.int32]:
    """Final semantic ids int32 [N, L] of a sid artifact (its folder, or sids.parquet itself); row i is item i.

    Raises DataError when the file is missing or its rows are out of order.
    """
    path = SIDS_FILE.path(path) if path.is_dir() else path
    table = read_table(path, columns=["item", "sid"])
    if not np.array_equal(table["item"].to_numpy(), np.arange(table.num_rows)):
        raise DataError(f"{path}: row i must be item i; recompute the sid stage")
    column = table["sid"].combine_chunks()
    return column.flatten().to_numpy().reshape(table.num_rows, -1)
