"""CSV files as columns of text, with the line of every row, in bounded memory."""

import csv
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from genrec.data import reading
from genrec.data.quarantine import clip
from genrec.data.shards import BadRow, Shard
from genrec.errors import DataError

BATCH_ROWS = 65_536
MAX_FIELD_CHARS = 1 << 20

# Bytes that are not UTF-8 pass through the CSV parser as lone surrogates and are found again in the row.
_SMUGGLED = "surrogateescape"


class _Lines:
    """The decoded lines of a file, one by one, and what the parser consumed for its current row."""

    def __init__(self, reader: reading.LineReader) -> None:
        self.reader = reader
        self.consumed: list[str] = []
        self.line = 0

    def __iter__(self) -> Iterator[str]:
        for _, lines in self.reader:
            for line in lines:
                self.line += 1
                text = line.decode("utf-8", _SMUGGLED) + "\n"
                self.consumed.append(text)
                yield text


def header(path: Path, name: str, delimiter: str) -> list[str]:
    """The column names of a CSV file."""
    _check_delimiter(delimiter)
    names = next(csv.reader(_Lines(reading.LineReader(path, name)), delimiter=delimiter), None)
    if not names:
        raise DataError(f"{name}: empty; the first line must name the columns")
    if len(set(names)) != len(names):
        raise DataError(f"{name}: a column name occurs twice in the header ({', '.join(names)})")
    return names


def _check_delimiter(delimiter: str) -> None:
    if len(delimiter) != 1:
        raise DataError(f"data.options.delimiter: one character is expected, not {delimiter!r}")


def batches(
    shard: Shard, delimiter: str, batch_rows: int = BATCH_ROWS
) -> Iterator[tuple[pl.Series, list[pl.Series], list[BadRow], int]]:
    """(line of each row, columns of text, rows set aside, lines passed), `batch_rows` rows at a time."""
    csv.field_size_limit(MAX_FIELD_CHARS)
    names = header(shard.path, shard.name, delimiter)
    source = _Lines(reading.LineReader(shard.path, shard.name))
    rows: list[list[str]] = []
    lines: list[int] = []
    bad: list[BadRow] = []
    parser = csv.reader(source, delimiter=delimiter)
    next(parser)
    source.consumed.clear()
    while True:
        line = source.line + 1
        try:
            row = next(parser)
        except StopIteration:
            break
        except csv.Error as error:
            bad.append(BadRow(line, "bad_csv", str(error), _shown(source.consumed)))
            source.consumed.clear()
            continue
        if row:
            problem = _problem(row, len(names), source.consumed)
            if problem:
                bad.append(BadRow(line, *problem, _shown(source.consumed)))
            else:
                rows.append(row)
                lines.append(line)
        source.consumed.clear()
        if len(rows) >= batch_rows:
            yield (*_as_columns(names, rows, lines), bad, source.line)
            rows, lines, bad = [], [], []
    if source.reader.cut:
        # The parser took the remains of the last line for a row only if they were whole; the cut is a row of its own.
        bad.append(reading.cut_row(source.reader.cut))
    yield (*_as_columns(names, rows, lines), bad, source.reader.num_lines)


def _problem(row: list[str], num_columns: int, consumed: list[str]) -> tuple[str, str] | None:
    if not all(map(str.isascii, consumed)):
        for text in consumed:
            try:
                text.encode("utf-8")
            except UnicodeEncodeError as error:
                return "bad_utf8", f"byte 0x{ord(text[error.start]) - 0xDC00:02x} at column {error.start + 1}"
    if len(row) != num_columns:
        return "bad_csv", f"{len(row)} fields where the header has {num_columns}"
    return None


def _shown(consumed: list[str]) -> str:
    raw = "".join(consumed)[:4000].encode("utf-8", _SMUGGLED)
    return clip(raw.decode("utf-8", errors="backslashreplace").rstrip("\n"))


def _as_columns(names: list[str], rows: list[list[str]], lines: list[int]) -> tuple[pl.Series, list[pl.Series]]:
    values = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    columns = [pl.Series(name, column, dtype=pl.String) for name, column in zip(names, values, strict=True)]
    return pl.Series("line", lines, dtype=pl.Int64), columns
