"""CSV files as columns of text, with the line of every row, in bounded memory.

Blocks in which every line is a row (no quotes, UTF-8) go through pyarrow.csv: a shard of 300,000 rows took 0.19 s of CPU
time, checks included, where it took 0.76 s with the csv module (medians of 5). pyarrow.csv cannot read the others as the
quarantine wants them: it counts rows and not lines, swallows empty lines, and reports neither bytes that are not UTF-8
nor the line of a quoted field.
"""

import codecs
import csv
import io
import re
from collections.abc import Container, Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv

from genrec.data import reading
from genrec.data.columns import RawBatch
from genrec.data.csv_lines import CsvLines, TooManyLines
from genrec.data.encodings import KEEP_BYTES, UTF8, check_encoding
from genrec.data.places import is_local
from genrec.data.quarantine import clip
from genrec.data.shards import BadRow, Shard
from genrec.errors import DamagedFile, DataError

BATCH_ROWS = 65_536
WORTH_A_LOOK = 256 << 20  # bytes of a file that would be cut into several shards
MAX_FIELD_CHARS = 1 << 20

DELIMITERS = (",", ";", "\t", "|")
MAX_FIELD_LINES = 100


class Dialect(NamedTuple):
    """How a CSV file is written."""

    delimiter: str = ","
    encoding: str = "utf-8"
    max_field_lines: int = MAX_FIELD_LINES  # a quoted field that goes on for longer is taken for a missing quote


def header(path: Path, name: str, dialect: Dialect) -> list[str]:
    """The column names of a CSV file. Raises DataError where there are none, or one occurs twice."""
    _check_dialect(dialect)
    source = _lines(path, name, dialect)
    try:
        names = next(_reader(source, dialect), None)
    except (csv.Error, TooManyLines) as error:
        line = source.consumed[0] if source.consumed else ""
        other = next((d for d in DELIMITERS if f'"{d}"' in line and d != dialect.delimiter), None)
        raise DamagedFile(
            f"{name}: line 1, which must name the columns, is no row of CSV ({_why_not_csv(error, source)})"
            + (f"; its delimiter looks like {other!r}: set data.options.delimiter" if other else "")
        ) from None
    if not names:
        raise DamagedFile(f"{name}: empty; the first line must name the columns")
    if len(set(names)) != len(names):
        raise DataError(f"{name}: a column name occurs twice in the header ({', '.join(names)})")
    if any(not _is_utf8(text) for text in names):
        raise DamagedFile(
            f"{name}: the header is not UTF-8 ({_shown(source.consumed)}); set data.options.encoding, to cp1252 for files of "
            "Windows in Western Europe"
        )
    return names


def likely_delimiter(names: list[str], wanted: Container[str], dialect: Dialect) -> str | None:
    """Another delimiter under which the one name of a header is several, `wanted` ones among them."""
    for delimiter in DELIMITERS:
        parts = names[0].split(delimiter)
        if delimiter != dialect.delimiter and len(parts) > 1 and any(part.strip(' "') in wanted for part in parts):
            return delimiter
    return None


def _check_dialect(dialect: Dialect) -> None:
    if len(dialect.delimiter) != 1 or dialect.delimiter in '\r\n"':
        raise DataError(f"data.options.delimiter: one character is expected, not {dialect.delimiter!r}")
    check_encoding(dialect.encoding)


def _lines(path: Path, name: str, dialect: Dialect, start: int = 0, end: int | None = None) -> CsvLines:
    return CsvLines(reading.LineReader(path, name, start, end, dialect.encoding), dialect.max_field_lines)


def every_line_is_a_row(path: Path, dialect: Dialect) -> bool:
    """Whether a large file of this machine may be cut between any two lines: no quote in it holds a line break."""
    if not is_local(path) or path.suffix.lower() != ".csv" or dialect.encoding not in UTF8:
        return False
    if path.stat().st_size < WORTH_A_LOOK:
        return False
    with path.open("rb") as file:
        return all(b'"' not in block for block in iter(lambda: file.read(reading.BLOCK_BYTES), b""))


def _reader(source: CsvLines, dialect: Dialect) -> Iterator[list[str]]:
    csv.field_size_limit(MAX_FIELD_CHARS)
    return csv.reader(source, delimiter=dialect.delimiter, strict=True)


def batches(shard: Shard, dialect: Dialect, batch_rows: int = BATCH_ROWS) -> Iterator[RawBatch]:
    """The rows of a CSV file, about `batch_rows` at a time."""
    names = header(shard.path, shard.name, dialect)
    source = _lines(shard.path, shard.name, dialect, shard.start, shard.end)
    parser = _reader(source, dialect)
    if shard.start == 0:
        next(parser)
        source.consumed.clear()
    well_quoted = _well_quoted(dialect.delimiter)
    while source.has_more():
        if text := _plain(source.remaining(), dialect.delimiter):
            yield _plain_batch(text, names, dialect.delimiter, source)
        else:
            yield _parsed_batch(parser, names, batch_rows, source, well_quoted)
    # The parser took the remains of the last line for a row only if they were whole; the cut is a row of its own.
    cut = [reading.cut_row(source.reader.cut)] if source.reader.cut else []
    yield RawBatch(*_as_columns(names, [], []), cut, source.reader.num_lines, 1.0, source.reader.changes)


def _plain(lines: list[bytes], delimiter: str) -> bytes | None:
    """The lines as one text when each of them is a row, else None."""
    if not lines:
        return None
    text = b"\n".join([*lines, b""]).replace(b"\r\n", b"\n")
    odd = (b'"', b"\r", b"\0", b"\n\n")
    # pyarrow would take a byte order mark in the first line for the file's.
    if not delimiter.isascii() or text.startswith((b"\n", codecs.BOM_UTF8)) or any(mark in text for mark in odd):
        return None
    if len(max(lines, key=len)) > MAX_FIELD_CHARS:
        return None
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text


def _plain_batch(text: bytes, names: list[str], delimiter: str, source: CsvLines) -> RawBatch:
    """All rows of a block of plain lines."""
    lines, first_line = source.remaining(), source.line + 1
    wrong: list[pa_csv.InvalidRow] = []

    def set_aside(row: pa_csv.InvalidRow) -> str:
        wrong.append(row)
        return "skip"

    table = pa_csv.read_csv(
        io.BytesIO(text),
        pa_csv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=names),
        pa_csv.ParseOptions(delimiter=delimiter, quote_char=False, invalid_row_handler=set_aside),
        pa_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), null_values=[], strings_can_be_null=False
        ),
    )
    source.skip(len(lines))
    bad = [
        BadRow(first_line + row.number - 1, *_wrong_width(row.actual_columns, len(names)), _raw(lines[row.number - 1]))
        for row in wrong
    ]
    numbers = pl.int_range(first_line, first_line + len(lines), eager=True, dtype=pl.Int64).alias("line")
    good = numbers.filter(~numbers.is_in([row.line for row in bad])) if bad else numbers
    return RawBatch(good, pl.DataFrame(pl.from_arrow(table)).get_columns(), bad, source.line, source.share)


def _parsed_batch(
    parser: Iterator[list[str]], names: list[str], batch_rows: int, source: CsvLines, well_quoted: re.Pattern[str]
) -> RawBatch:
    """Rows up to the end of the block, or `batch_rows` of them; a quoted field may reach into the next block.

    A row that cannot be read costs its first line alone: the others are read again, so that a quote which is never
    closed swallows nothing. So does a row over several lines with a quote inside of an unquoted field: the lines were
    joined by a quote too many. One that is well written but of another width is set aside line by line.
    """
    rows: list[list[str]] = []
    lines: list[int] = []
    bad: list[BadRow] = []
    while source.within_block() and len(rows) < batch_rows:
        line = source.line + 1
        try:
            row = next(parser)
        except StopIteration:
            break
        except (csv.Error, TooManyLines) as error:
            source.give_back()
            bad.append(BadRow(line, "bad_csv", _why_not_csv(error, source), _shown(source.consumed)))
        else:
            problem = _problem(row, len(names), source.consumed) if row else None
            if len(source.consumed) > 1 and not well_quoted.fullmatch("".join(source.consumed)):
                source.give_back()
                bad.append(BadRow(line, "bad_csv", "a quote opens a field that is not closed", _shown(source.consumed)))
            elif problem:
                bad += [BadRow(line + n, *problem, _shown([text])) for n, text in enumerate(source.consumed)]
            elif row:
                rows.append(row)
                lines.append(line)
        source.consumed.clear()
    return RawBatch(*_as_columns(names, rows, lines), bad, source.line, source.share)


def _well_quoted(delimiter: str) -> re.Pattern[str]:
    """A row in which quotes stand around fields alone, doubled within them (RFC 4180, section 2)."""
    field = rf'(?:"(?:[^"]|"")*+"|[^"{re.escape(delimiter)}\r\n]*+)'
    return re.compile(rf"{field}(?:{re.escape(delimiter)}{field})*+[\r\n]*")


def _why_not_csv(error: Exception, source: CsvLines) -> str:
    if isinstance(error, TooManyLines):
        return f"a quote opens a field that does not end within {source.max_lines} lines"
    if "unexpected end" in str(error):
        return "a quote opens a field that does not end before the file does"
    return str(error)


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _problem(row: list[str], num_columns: int, consumed: list[str]) -> tuple[str, str] | None:
    if not all(map(str.isascii, consumed)):
        for text in consumed:
            try:
                text.encode("utf-8")
            except UnicodeEncodeError as error:
                return "bad_utf8", f"byte 0x{ord(text[error.start]) - 0xDC00:02x} at column {error.start + 1}"
    return _wrong_width(len(row), num_columns) if len(row) != num_columns else None


def _wrong_width(num_fields: int, num_columns: int) -> tuple[str, str]:
    return "bad_csv", f"{num_fields} fields where the header has {num_columns}"


def _shown(consumed: list[str]) -> str:
    return _raw("".join(consumed)[:4000].encode("utf-8", KEEP_BYTES))


def _raw(text: bytes) -> str:
    return clip(text[:4000].decode("utf-8", errors="backslashreplace").rstrip("\n"))


def _as_columns(names: list[str], rows: list[list[str]], lines: list[int]) -> tuple[pl.Series, list[pl.Series]]:
    values = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    columns = [pl.Series(name, column, dtype=pl.String) for name, column in zip(names, values, strict=True)]
    return pl.Series("line", lines, dtype=pl.Int64), columns
