"""Files with ids that people write: who gets lists, what is in stock."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from genrec.errors import DataError


def read_ids(path: Path, column: str, setting: str) -> tuple[pa.Array, int]:
    """The distinct ids in a file, sorted, string[n], and how many of its rows repeat an earlier one.

    Parquet and CSV have a column of that name; any other file is text with one id a line, blank lines skipped.
    Raises DataError that names the file and the fix: not there, not readable, without the column, with an empty id, or
    without any id.
    """
    if not path.is_file():
        raise DataError(f"{setting}: {path}: no such file; give a Parquet, CSV or text file with a {column} a row")
    try:
        ids = _column(path, column, setting)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{setting}: {path} cannot be read ({str(error).splitlines()[0]}); write it as Parquet or CSV in UTF-8 with a "
            f"column {column}, or as text with one id a line"
        ) from None
    ids = pc.utf8_trim_whitespace(ids)
    missing = pc.fill_null(pc.equal(ids, ""), True)
    if pc.any(missing).as_py():
        row = pc.index(missing, True).as_py() + 1
        number = pc.sum(missing).as_py()
        raise DataError(f"{setting}: {path}: {number} rows have no {column}, first row {row}; fill or remove them")
    if not len(ids):
        raise DataError(f"{setting}: {path} holds no id; write a {column} a row, or leave the setting out")
    distinct = ids.unique()
    return distinct.take(pc.sort_indices(distinct)), len(ids) - len(distinct)


def _column(path: Path, column: str, setting: str) -> pa.Array:
    kind = path.suffix.lower()
    if kind == ".parquet":
        _check_column(path, column, setting, pq.read_schema(path).names)
        ids = pq.read_table(path, columns=[column])[column].combine_chunks()
        if pa.types.is_dictionary(ids.type):
            ids = ids.dictionary_decode()
        if not (pa.types.is_integer(ids.type) or pa.types.is_string(ids.type) or pa.types.is_large_string(ids.type)):
            raise DataError(f"{setting}: {path}: {column} holds {ids.type}; write ids as text or whole numbers")
        return ids.cast(pa.string())
    if kind == ".csv":
        with path.open("rb") as handle:
            if not handle.read(1):
                raise DataError(f"{setting}: {path} is empty; write a header with {column} and a row for each id")
        parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
        _check_column(path, column, setting, pyarrow.csv.open_csv(path, parse_options=parse).schema.names)
        convert = pyarrow.csv.ConvertOptions(include_columns=[column], column_types={column: pa.string()})
        return pyarrow.csv.read_csv(path, parse_options=parse, convert_options=convert)[column].combine_chunks()
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    lines = [line for line in lines if line]
    return pa.array(lines[1:] if lines[:1] == [column] else lines, pa.string())


def _check_column(path: Path, column: str, setting: str, there: list[str]) -> None:
    if column not in there:
        raise DataError(
            f"{setting}: {path} has no column {column}; it has {', '.join(there)}: rename the one with the ids"
        )
