"""Reading impressions, and one file for each day that is over.

Joining the files of a day writes the new one before it removes the old ones: a kill in between leaves rows twice, which
readers count once.
"""

import datetime
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from genrec.errors import GenrecError
from genrec.serve.experiment.impressions import IMPRESSIONS, write_impressions

_TRIES = 5  # of reading a day whose files another report joins meanwhile


def join_days(folder: Path, now_ms: int) -> None:
    """Put the files of each day that ended more than a day ago into one, without repeats."""
    until = datetime.datetime.fromtimestamp(now_ms / 1000, datetime.UTC).date() - datetime.timedelta(days=1)
    for day in sorted((folder / "impressions").glob("day=*")):
        files = sorted(day.glob("*.parquet"))
        if len(files) > 1 and day.name.removeprefix("day=") < until.isoformat():
            try:
                table = _once_each(pa.concat_tables([_read(file) for file in files]))
            except FileNotFoundError:  # another report joins this day
                continue
            write_impressions(day / f"day-{uuid.uuid4().hex[:12]}.parquet", table)
            for file in files:
                file.unlink(missing_ok=True)


def read_impressions(folder: Path) -> pa.Table:
    """All impressions of an experiment's folder, each once, by the time they were shown.

    Raises GenrecError where there are none, or a file cannot be read.
    """
    tables = [_read_day(day) for day in sorted((folder / "impressions").glob("day=*"))]
    table = pa.concat_tables([IMPRESSIONS.empty_table(), *tables])
    if table.num_rows == 0:
        raise GenrecError(f"{folder}: no impressions yet; the endpoint writes them while service.experiment is set")
    return _once_each(table)


def _read_day(day: Path, tries: int = _TRIES) -> pa.Table:
    try:
        files = sorted(day.glob("*.parquet"))
        return pa.concat_tables([IMPRESSIONS.empty_table(), *(_read(file) for file in files)])
    except FileNotFoundError:
        if tries == 1:
            raise
    return _read_day(day, tries - 1)


def _read(file: Path) -> pa.Table:
    try:
        return pq.ParquetFile(file).read()  # not read_table: it would take the day for a column
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise GenrecError(f"{file}: not a readable Parquet file ({error}); set it aside") from None


def _once_each(table: pa.Table) -> pa.Table:
    """Rows by the time they were shown, copies left out: the same request, user and time."""
    table = table.sort_by([("shown_at", "ascending"), ("request_id", "ascending"), ("user_id", "ascending")])
    numbered = table.append_column("row", pa.array(range(table.num_rows), pa.int64()))
    first = numbered.group_by(["request_id", "user_id", "shown_at"]).aggregate([("row", "min")])["row_min"]
    return table if len(first) == table.num_rows else table.take(first.combine_chunks().sort())
