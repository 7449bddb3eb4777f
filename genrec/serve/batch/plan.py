"""What a batch is cut into, decided once and kept, so that an attempt after a kill goes on with the same shards."""

import dataclasses
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from genrec.config import RecommendConfig
from genrec.errors import DataError
from genrec.serve.batch.filters import check_days, open_items
from genrec.serve.batch.ids_file import read_ids
from genrec.tables import INTERACTIONS_FILE

USERS_FILE = "users.parquet"  # of a batch for chosen users: row group i holds those of shard i, sorted
_PLAN = "plan.json"
_BATCH_ROWS = 1 << 17


@dataclasses.dataclass(frozen=True)
class Plan:
    """Shards of one batch.

    Args:
        shards: of each its rows of interactions.parquet, [start, stop), or, for chosen users, of users.parquet.
        chosen: whether the users come from a file; they are in users.parquet of the working folder.
        made_at_ms: when the batch began, in milliseconds since 1970.
        newest_ms: the newest event of the data, in its own time.
        repeated_users: rows of the users' file that name a user again.
    """

    shards: list[tuple[int, int]]
    chosen: bool
    made_at_ms: int
    newest_ms: int
    repeated_users: int = 0


def make_plan(ingest: Path, prepared: Path, events: Mapping[str, int], config: RecommendConfig, work: Path) -> Plan:
    """The plan in `work`, made where there is none yet.

    ingest: folder with interactions.parquet, sorted by user and time. prepared: folder with the model's catalogue.
    events: rows by event type. Raises DataError for a filter that means nothing in this data, and for a users' file that
    cannot be used.
    """
    path = work / _PLAN
    if path.is_file():
        stored = json.loads(path.read_text())
        return Plan(**{**stored, "shards": [tuple(rows) for rows in stored["shards"]]})
    interactions = pq.ParquetFile(INTERACTIONS_FILE.path(ingest))
    newest = _newest(interactions)
    check_days(config, events, newest)
    open_items(prepared, config)
    if config.users is None:
        plan = Plan(list(_cut(interactions, config.shard_size)), False, _now_ms(), newest)
    else:
        users, repeated = read_ids(Path(config.users), "user_id", "recommend.users")
        pq.write_table(pa.table({"user_id": users}), work / USERS_FILE, row_group_size=config.shard_size)
        starts = range(0, len(users), config.shard_size)
        shards = [(start, min(start + config.shard_size, len(users))) for start in starts]
        plan = Plan(shards, True, _now_ms(), newest, repeated)
    write_whole(path, json.dumps(dataclasses.asdict(plan)).encode())
    return plan


def _cut(interactions: pq.ParquetFile, shard_size: int) -> Iterator[tuple[int, int]]:
    """Rows of shard_size users at a time. Raises DataError where the file is not sorted by user."""
    start = row = num_users = 0
    last: pa.Scalar | None = None
    for batch in interactions.iter_batches(_BATCH_ROWS, columns=["user_id"]):
        users = batch.column(0)
        before = pa.concat_arrays([pa.array([None if last is None else last.as_py()], users.type), users[:-1]])
        if pc.any(pc.less(users, before)).as_py():
            raise DataError(
                "interactions.parquet is not sorted by user; another version wrote it: compute ingest again"
            )
        firsts = pc.fill_null(pc.not_equal(users, before), True).to_numpy(zero_copy_only=False).nonzero()[0]
        for first in firsts[(-num_users) % shard_size :: shard_size].tolist():
            if row + first > start:
                yield start, row + first
                start = row + first
        num_users += len(firsts)
        row, last = row + len(users), users[-1]
    if row > start:
        yield start, row


def _newest(interactions: pq.ParquetFile) -> int:
    """The latest timestamp of the file."""
    batches = interactions.iter_batches(_BATCH_ROWS, columns=["timestamp"])
    return max((pc.max(batch.column(0)).as_py() for batch in batches if batch.num_rows), default=0)


def _now_ms() -> int:
    return int(time.time() * 1000)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, also after a power loss."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(partial, path)
