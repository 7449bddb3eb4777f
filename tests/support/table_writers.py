"""Writers of tables as people use them: the csv module, Polars, pandas and pyarrow, with their types and dialects."""

import csv
import datetime
import decimal
import gzip
import io
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

CSV_WRITERS = ("csv", "csv-all", "polars", "pandas")
_PER_SECOND = {"s": 1, "ms": 1000, "us": 10**6, "ns": 10**9}
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def time_as(milliseconds: int, unit: str) -> Any:
    """A time as it stands in a file: a number, or a text."""
    if unit == "position":
        return milliseconds
    if unit in _PER_SECOND:
        return milliseconds * _PER_SECOND[unit] // 1000
    moment = _EPOCH + datetime.timedelta(milliseconds=milliseconds)
    return moment.strftime("%Y%m%d") if unit == "compact" else moment.isoformat()


BAD_JSON = (b'{"user_id": "ju', b'["junk"]', b"\xff", b"{'user_id': 'junk'}")


def write_json_lines(path: Path, rows: list[dict | bytes], zipped: bool, cut: int | None) -> set[int]:
    """JSON lines; with `cut`, so many bytes of the file are missing at its end. Returns the lines that are harmed."""
    lines = [row if isinstance(row, bytes) else json.dumps(row, ensure_ascii=False).encode() for row in rows]
    text = b"".join(line + b"\n" for line in lines)
    content = gzip.compress(text, mtime=0) if zipped else text
    if cut is None:
        path.write_bytes(content)
        return set()
    cut = min(cut, len(content) - 20)
    path.write_bytes(content[: len(content) - cut] if cut > 0 else content)
    if zipped:
        return {1, *range(1, len(rows) + 1)} if cut > 0 else set()
    return {n for n in range(1, len(rows) + 1) if sum(map(len, text.splitlines(True)[:n])) > len(text) - cut}


def write_csv(
    draw: Any,
    path: Path,
    columns: tuple[str, ...],
    rows: list[tuple],
    unit: str,
    numeric: bool,
    writer: str,
    delimiter: str,
    encoding: str,
    harm: str | None,
) -> tuple[list[tuple[int, int]], set[int], set[int]]:
    """Write the rows; returns the first and last line of each, the lines that were harmed, and those that are no rows.

    A harmed line may still be a row; one that is no row must be set aside. They may overlap.
    """
    style = draw(st.sampled_from(["plain", "blanks", "floats"]))
    cells = [_cells(draw, columns, row, unit, numeric, style) for row in rows]
    text = _as_csv(draw, columns, cells, writer, delimiter)
    lines = _lines_of(text, delimiter, len(rows))
    touched, wrong = set[int](), set[int]()
    if harm in BAD_QUOTES and rows:
        text, lines, wrong = _with_bad_quotes(draw, text, lines, harm, columns, cells[0], delimiter)
    content = text.encode(encoding)
    if harm and harm not in BAD_QUOTES and rows and encoding == "utf-8":
        content, touched = _harmed(draw, content, harm, lines[0][0], delimiter)
        wrong = touched if harm == "byte" else wrong
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return lines, touched, wrong


BAD_QUOTES = ("text behind a quote", "open quote", "quotes that join two lines")


def _with_bad_quotes(
    draw: Any,
    text: str,
    lines: list[tuple[int, int]],
    harm: str,
    columns: tuple[str, ...],
    cells: list[Any],
    delimiter: str,
) -> tuple[str, list[tuple[int, int]], set[int]]:
    """The text with a line more (or two), a row of full width but for its quotes; where the rows are; those lines."""
    fields = ["junk" if name.endswith("_id") else "" for name in columns]
    if "timestamp" in columns:
        fields[columns.index("timestamp")] = str(cells[columns.index("timestamp")])
    pieces = text.split("\n")
    end = len(pieces) if pieces[-1] == "" else len(pieces) + 1
    place = end
    if harm == "open quote":
        bad = [[*fields[:-1], '"1']]  # in the last line no quote that follows can close it
    else:
        place = draw(st.sampled_from([*(first for first, _ in lines), end]))
        bad = [['"ju"nk', *fields[1:]]]
        if harm == "quotes that join two lines":  # without an id the second is no row either
            bad = [["junk", '"x'], [" ", 'x"', fields[2], 'a"b', ""]]
    pieces[place - 1 : place - 1] = [delimiter.join(line) for line in bad]
    moved = [(first + len(bad), last + len(bad)) if first >= place else (first, last) for first, last in lines]
    return "\n".join(pieces), moved, set(range(place, place + len(bad)))


def list_in_text(value: list[str]) -> list[str]:
    """A list of names as Python (list and tuple), JSON, numpy and PostgreSQL print it (where it is no set of Python)."""
    forms = [str(value), str(tuple(value)), json.dumps(value), str(np.array(value, dtype=str))]
    return forms if any(name.startswith("'") for name in value) else [*forms, _as_postgres(value)]


def _as_postgres(value: list[str]) -> str:
    """As array_out of PostgreSQL writes it: quotes where they are needed, with backslashes (manual, section 8.15.6)."""
    plain = [name.replace("\\", r"\\").replace('"', r"\"") for name in value]
    quoted = [f'"{text}"' if set(text) & set('{},"\\ ') or text.upper() == "NULL" else text for text in plain]
    return "{" + ",".join(quoted) + "}"


def _cells(draw: Any, columns: tuple[str, ...], row: tuple, unit: str, numeric: bool, style: str) -> list[Any]:
    cells: list[Any] = list(row)
    for place, name in enumerate(columns):
        value = cells[place]
        if name in ("user_id", "item_id"):
            if style == "blanks":
                cells[place] = f" {value}\u00a0"
            elif style == "floats" and numeric:
                cells[place] = f"{value}.0"
        elif name == "timestamp":
            cells[place] = time_as(value, unit)
        elif name == "categories":
            forms = ["|".join(value), *list_in_text(value)] if value else ["", "[]", "{}", "nan", None]
            cells[place] = draw(st.sampled_from(forms))
    return cells


def _as_csv(draw: Any, columns: tuple[str, ...], rows: list[list], writer: str, delimiter: str) -> str:
    out = io.StringIO(newline="")
    if writer.startswith("csv"):
        quoting = csv.QUOTE_ALL if writer == "csv-all" else csv.QUOTE_MINIMAL
        end = draw(st.sampled_from(["\n", "\r\n"]))
        own = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=end)
        own.writerow(columns)
        own.writerows(rows)
        text = out.getvalue()
        return text if draw(st.booleans()) or len(rows) < 2 else text.removesuffix(end)
    series = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    texts = {
        name: [None if v is None else str(v) for v in values] for name, values in zip(columns, series, strict=True)
    }
    if writer == "polars":
        style = draw(st.sampled_from(["necessary", "always", "non_numeric"]))
        frame = pl.DataFrame(texts, schema=dict.fromkeys(columns, pl.String))
        return frame.write_csv(separator=delimiter, quote_style=style)
    word = draw(st.sampled_from(["", "", "nan", "None", "<NA>", "NULL"])) if "title" in columns else ""
    return pd.DataFrame(texts, columns=list(columns)).to_csv(
        index=False, sep=delimiter, na_rep=word, lineterminator="\n"
    )


def _lines_of(text: str, delimiter: str, num_rows: int) -> list[tuple[int, int]]:
    """Where each row stands: read back by the csv module."""
    pieces = text.split("\n")
    reader = csv.reader((piece + "\n" for piece in pieces), delimiter=delimiter)
    ends = [reader.line_num for row in reader if row]
    assert len(ends) >= num_rows + 1
    return [(before + 1, end) for before, end in itertools.pairwise(ends)][:num_rows]


def _harmed(draw: Any, content: bytes, harm: str, first_line: int, delimiter: str) -> tuple[bytes, set[int]]:
    """The content with one thing wrong behind the header, and the line it is in."""
    start = sum(map(len, content.split(b"\n")[: first_line - 1])) + first_line - 1
    place = draw(st.integers(start, max(start, len(content) - 1)))
    extra = {"quote": b'"', "byte": b"\xe9", "field": delimiter.encode()}[harm]
    return content[:place] + extra + content[place:], {content[:place].count(b"\n") + 1}


def write_parquet(draw: Any, path: Path, columns: tuple[str, ...], rows: list[tuple], unit: str, numeric: bool) -> None:
    """Write the rows with types drawn for each column."""
    values = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    arrays = {
        name: _column(draw, name, list(column), unit, numeric) for name, column in zip(columns, values, strict=True)
    }
    table = pa.table(arrays)
    pq.write_table(table, path, row_group_size=draw(st.sampled_from([3, 1000])))


def _column(draw: Any, name: str, values: list, unit: str, numeric: bool) -> pa.Array:
    if name in ("user_id", "item_id"):
        if numeric:
            kind = draw(
                st.sampled_from([pa.string(), pa.int64(), pa.uint16(), pa.float64(), pa.float32(), pa.decimal128(9, 2)])
            )
            if pa.types.is_decimal(kind):
                return pa.array([decimal.Decimal(value) for value in values], kind)
            return pa.array(
                values if kind == pa.string() else [float(v) if "float" in str(kind) else int(v) for v in values], kind
            )
        kind = draw(st.sampled_from([pa.string(), pa.large_string(), pa.string_view(), pa.binary()]))
        array = pa.array([v.encode() for v in values] if kind == pa.binary() else values, kind)
        return array.dictionary_encode() if kind == pa.string() and draw(st.booleans()) else array
    if name == "timestamp":
        return _times(draw, values, unit)
    if name == "rating":
        kind = draw(st.sampled_from([pa.float32(), pa.float64(), pa.string(), pa.decimal128(5, 1)]))
        if kind == pa.string():
            values = [None if v is None else str(v) for v in values]
        elif pa.types.is_decimal(kind):
            values = [None if v is None else decimal.Decimal(str(v)) for v in values]
        array = pa.array(values, kind)
        return array.dictionary_encode() if kind == pa.float64() and draw(st.booleans()) else array
    if name == "categories":
        kind = draw(st.sampled_from([pa.list_(pa.string()), pa.large_list(pa.string()), pa.string()]))
        if kind == pa.string():
            values = [draw(st.sampled_from(list_in_text(value))) for value in values]
        return pa.array(values, kind)
    array = pa.array([v or draw(st.sampled_from(["", None])) for v in values], pa.string())
    return array.dictionary_encode() if draw(st.booleans()) else array


def _times(draw: Any, values: list[int], unit: str) -> pa.Array:
    if unit == "iso":
        zone = draw(st.sampled_from([None, "UTC", "Europe/Paris"]))
        kind = draw(st.sampled_from([pa.string(), *(pa.timestamp(u, zone) for u in ("ms", "us", "ns"))]))
        if kind == pa.string():
            array = pa.array([time_as(v, "iso") for v in values], kind)
            return array.dictionary_encode() if draw(st.booleans()) else array
        return pa.array(values, pa.timestamp("ms", zone)).cast(kind)
    numbers = [int(time_as(v, unit)) for v in values]
    kinds = [pa.int64(), pa.string(), pa.decimal128(25, 0)] + ([pa.float64()] if unit in ("s", "position") else [])
    kind = draw(st.sampled_from(kinds))
    if kind == pa.string():
        return pa.array(list(map(str, numbers)), kind)
    if pa.types.is_decimal(kind):
        return pa.array(list(map(decimal.Decimal, numbers)), kind)
    return pa.array([float(n) for n in numbers] if kind == pa.float64() else numbers, kind)
