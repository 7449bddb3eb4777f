"""The contract of the tables that ingest and prepare write: columns, ranges and keys, declared as pandera schemas.

What genrec/tables.py says of names, types and nulls is part of it. A table is checked where it was written, a block of
rows at a time: memory holds a block whatever the size, and a million rows of interactions take about 0.1 s of one core.
Keys are told by the order in which the tables are written, which needs no set of all keys.

pandera: Bantilan, "pandera: Statistical Data Validation of Pandas Dataframes" (SciPy 2020); its polars backend.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandera.polars as pa
import polars as pl
import pyarrow.parquet as pq
from pandera.config import ValidationDepth, config_context

from genrec.data.quarantine import REASONS, clip
from genrec.errors import DataError
from genrec.tables import (
    CATALOGUE_FILE,
    END_TIME_MS,
    HISTORIES_FILE,
    INTERACTIONS_FILE,
    ITEMS_FILE,
    QUARANTINE_FILE,
    TEST_FILE,
    TRAIN_FILE,
    USERS_FILE,
    VALID_FILE,
    TableFile,
)

_BLOCK_ROWS = 1 << 18
_EXAMPLES, _EXAMPLE_CHARS = 3, 80


@dataclass(frozen=True)
class Contract:
    """A table's rules beside those of its declaration.

    `checks` by column hold in every row. Rows ascend by the columns `ascending`, strictly where `unique`; `numbered` is a
    column that holds the row's number; `distinct` one whose values differ, in whatever order.
    """

    file: TableFile
    checks: Mapping[str, Sequence[pa.Check]] = field(default_factory=dict)
    ascending: tuple[str, ...] = ()
    unique: bool = True
    numbered: str | None = None
    distinct: str | None = None


def ingest_contracts() -> list[Contract]:
    """Of the artifact of ingest."""
    return [
        Contract(
            INTERACTIONS_FILE,
            {
                "user_id": [_filled()],
                "item_id": [_filled()],
                "timestamp": [_number_below(END_TIME_MS)],
                "rating": [_rule("a finite number, or missing", lambda column: column.is_finite())],
            },
            ascending=("user_id", "timestamp"),
            unique=False,
        ),
        Contract(ITEMS_FILE, {"item_id": [_filled()]}, ascending=("item_id",)),
        Contract(QUARANTINE_FILE, {"reason": [pa.Check.isin(sorted(REASONS))], "line": [pa.Check.ge(0)]}),
    ]


def prepare_contracts(num_users: int, num_items: int) -> list[Contract]:
    """Of the artifact of prepare, with so many users and items."""
    user, item = _number_below(num_users), _number_below(num_items)
    lists = {
        "user": [user],
        "items": [
            _rule(
                f"items from 0 to {num_items - 1}",
                lambda column: (column.list.min() >= 0) & (column.list.max() < num_items),
            ),
        ],
        "events": [_rule("as many as items", lambda column: column.list.len() == pl.col("items").list.len())],
        "timestamps": [
            _rule("as many as items", lambda column: column.list.len() == pl.col("items").list.len()),
            _rule("oldest event first", lambda column: column.list.diff().list.min() >= 0),
        ],
    }
    targets = {"user": [user], "history_length": [pa.Check.ge(1)], "target": [item]}
    return [
        Contract(
            CATALOGUE_FILE,
            {"item_id": [_filled()], "train_count": [pa.Check.ge(0)]},
            ascending=("item_id",),
            numbered="item",
        ),
        Contract(USERS_FILE, {"user_id": [_filled()]}, numbered="user", distinct="user_id"),
        Contract(TRAIN_FILE, {**lists, "user_id": [_filled()]}, ascending=("user",)),
        Contract(HISTORIES_FILE, lists, ascending=("user",)),
        *(Contract(file, targets, ascending=("user", "history_length")) for file in (VALID_FILE, TEST_FILE)),
    ]


def check_ingest(folder: Path) -> None:
    """Raises DataError where a table of an ingest artifact breaks its contract."""
    for contract in ingest_contracts():
        check(contract, folder)


def check_prepare(folder: Path) -> None:
    """Raises DataError where a table of a prepare artifact breaks its contract."""
    num_users, num_items = (pq.read_metadata(file.path(folder)).num_rows for file in (USERS_FILE, CATALOGUE_FILE))
    for contract in prepare_contracts(num_users, num_items):
        check(contract, folder)


def check(contract: Contract, folder: Path) -> None:
    """Raises DataError that names file, column, rule and examples where the table in `folder` breaks the contract."""
    path = contract.file.path(folder)
    schema = _schema(contract)
    start, last = 0, None
    for block in _blocks(path):
        breaches = [*_of_rows(schema, block), *_of_keys(contract, block, last, start)]
        if breaches:
            raise DataError(f"{path.name}, rows {start:,} to {start + block.height - 1:,}: {'; '.join(breaches)}")
        start, last = start + block.height, block[-1:]
    if contract.distinct and (repeated := _repeated(path, contract.distinct)):
        raise DataError(f"{path.name}: column {contract.distinct} breaks the rule 'no value twice': {repeated}")


# ---- rules ------------------------------------------------------------------------------------------------------------


def _rule(words: str, holds: Callable[[pl.Expr], pl.Expr]) -> pa.Check:
    """A rule over a column, an expression that may read other columns; where it gives null, it holds."""
    return pa.Check(
        lambda data: data.lazyframe.select(holds(pl.col(data.key)).fill_null(True)), name=words, error=words
    )


def _filled() -> pa.Check:
    return pa.Check.str_length(min_value=1)


def _number_below(end: int) -> pa.Check:
    return _rule(f"a number from 0 to {end - 1}", lambda column: (column >= 0) & (column < end))


def _schema(contract: Contract) -> pa.DataFrameSchema:
    declared = contract.file.schema
    assert declared is not None
    types = pl.from_arrow(declared.empty_table()).schema  # type: ignore[union-attr]
    columns = {
        name: pa.Column(dtype, list(contract.checks.get(name, ())), nullable=declared.field(name).nullable)
        for name, dtype in types.items()
    }
    return pa.DataFrameSchema(columns, strict=True, ordered=True)


def _blocks(path: Path) -> Iterator[pl.DataFrame]:
    """The table in blocks of `_BLOCK_ROWS`; one without rows is one block, so that its columns are checked."""
    with pq.ParquetFile(path) as file:
        blocks = file.iter_batches(_BLOCK_ROWS) if file.metadata.num_rows else [file.schema_arrow.empty_table()]
        for block in blocks:
            yield pl.from_arrow(block)  # type: ignore[misc]


def _of_rows(schema: pa.DataFrameSchema, block: pl.DataFrame) -> list[str]:
    """Breaches of columns and ranges, in words."""
    with config_context(validation_depth=ValidationDepth.SCHEMA_AND_DATA):
        try:
            schema.validate(block, lazy=True)
        except pa.errors.SchemaErrors as errors:
            return [_in_words(error) for error in errors.schema_errors]
    return []


def _in_words(error: Any) -> str:
    cases, rule = error.failure_cases, error.check
    rule = (rule.error or rule.name) if isinstance(rule, pa.Check) else str(rule)
    if not isinstance(cases, pl.DataFrame):  # a column is missing or of another type; `cases` is which
        return clip(str(error).splitlines()[0], 200)
    column = error.column_name
    if rule == "not_nullable":
        return f"column {column} holds {cases.height:,} nulls"
    return f"column {column} breaks the rule '{rule}' in {cases.height:,} rows, such as {_shown(cases.to_series())}"


def _of_keys(contract: Contract, block: pl.DataFrame, last: pl.DataFrame | None, start: int) -> list[str]:
    """Breaches of order and numbers, in words. last: the row before the block."""
    found = []
    if contract.numbered:
        numbers = block[contract.numbered]
        wrong = numbers.filter(numbers != pl.int_range(start, start + block.height, eager=True))
        if len(wrong):
            found.append(f"column {contract.numbered} breaks the rule 'the number of the row', such as {_shown(wrong)}")
    names = contract.ascending
    if names:
        rows = block.select(names) if last is None else pl.concat([last.select(names), block.select(names)])
        behind = rows.filter(~_follows(names, contract.unique).fill_null(True)).head(_EXAMPLES)
        if behind.height:
            rule = f"rows ascend by {', '.join(names)}{' and no key is there twice' if contract.unique else ''}"
            found.append(f"column {names[-1]} breaks the rule '{rule}', such as {_shown(behind)}")
    return found


def _follows(names: Sequence[str], strictly: bool) -> pl.Expr:
    """Whether a row's key is behind that of the row before it, lexicographically; null for the first row."""
    expression = pl.lit(not strictly)
    for name in reversed(names):
        before = pl.col(name).shift()
        expression = (pl.col(name) > before) | ((pl.col(name) == before) & expression)
    return pl.when(pl.int_range(pl.len()) > 0).then(expression)


def _repeated(path: Path, column: str) -> str:
    """Values that are there twice, in words; "" where there are none. Takes 8 bytes a row where all differ."""
    frame = pl.scan_parquet(path, glob=False).select(column)
    hashes = np.sort(frame.select(pl.col(column).hash()).collect(engine="streaming").to_series().to_numpy())
    if not (hashes[1:] == hashes[:-1]).any():
        return ""
    values = frame.group_by(column).len().filter(pl.col("len") > 1).sort(column).collect(engine="streaming")
    return _shown(values[column]) if values.height else ""


def _shown(values: pl.Series | pl.DataFrame) -> str:
    examples = values.head(_EXAMPLES)
    rows = examples.rows() if isinstance(examples, pl.DataFrame) else examples.to_list()
    return ", ".join(clip(repr(row), _EXAMPLE_CHARS) for row in rows)
