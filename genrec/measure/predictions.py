"""Ranked lists for validation or test rows: the parts in which those of models and baselines are kept.

A part is a PREDICTIONS table of one model, one protocol (seen items dropped or kept) and one range of rows, with a
small JSON file beside it for what is counted along the way. Parts can be made anywhere, in any order.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from genrec import tables
from genrec.config import RecallConfig
from genrec.data.targets import Targets
from genrec.errors import DataError
from genrec.labels import distinct_names
from genrec.metrics import target_ranks

PROTOCOLS = ("drop", "keep")
METRICS_FILE = "metrics.json"
LISTS, FACTS_FILE = "lists", "rank.json"  # in a rank artifact: the folder of its parts, and what was found and decided


def baseline_names(baselines: Sequence[RecallConfig]) -> list[str]:
    """The variant's name; the second baseline of a kind is called `itemcf_2`, and so on."""
    return distinct_names([b.name for b in baselines])


# ---- parts ------------------------------------------------------------------------------------------------------------


def write_part(
    parts: Path,
    model: str,
    protocol: str,
    start: int,
    rows: Targets,
    items: NDArray[np.int32],
    scores: NDArray[np.float32],
) -> None:
    """One part from lists [n, W] in row order; places that hold no item (-1) are cut off."""
    parts.mkdir(parents=True, exist_ok=True)
    listed = items >= 0
    offsets = np.concatenate([[0], np.cumsum(listed.sum(axis=1))]).astype(np.int32)
    table = pa.table(
        {
            "model": pa.array([model] * len(rows), pa.string()),
            "seen_items": pa.array([protocol] * len(rows), pa.string()),
            "user": rows.users,
            "target": rows.targets,
            "rank": target_ranks(items, rows.targets),
            "items": pa.ListArray.from_arrays(offsets, items[listed]),
            "scores": pa.ListArray.from_arrays(offsets, scores[listed].astype(np.float32)),
        }
    )
    tables.write_table(table, parts / f"{model}.{protocol}.{start:010d}.parquet", tables.PREDICTIONS)


def read_parts(parts: Path, model: str, protocol: str, expected: Targets) -> pa.Table:
    """All rows of one model and protocol, in the order of `expected`. Raises DataError when they do not match."""
    read = list(iterate_parts(parts, model, protocol, expected))
    return pa.concat_tables(read) if read else tables.PREDICTIONS.empty_table()


def iterate_parts(parts: Path, model: str, protocol: str, expected: Targets) -> Iterator[pa.Table]:
    """The tables of one model and protocol, which follow each other in the order of `expected`.

    Raises DataError when they do not match, at the latest behind the last one.
    """
    files = sorted(parts.glob(f"{model}.{protocol}.*.parquet"))
    num_rows = sum(pq.read_metadata(file).num_rows for file in files)
    wrong = DataError(
        f"{parts}: the predictions of {model} (seen items {protocol}) cover {num_rows} rows of {len(files)} parts, "
        f"and there are {len(expected)}: compute the stage again (--refresh baselines, say, where "
        "they were made before evaluate.sample_users), or decode the missing shards"
    )
    if num_rows != len(expected):
        raise wrong
    start = 0
    for file in files:
        table = tables.read_table(file, tables.PREDICTIONS)
        part = slice(start, start + len(table))
        same = np.array_equal(table["user"].to_numpy(), expected.users[part])
        if not same or not np.array_equal(table["target"].to_numpy(), expected.targets[part]):
            raise wrong
        start += len(table)
        yield table


def write_counts(parts: Path, model: str, start: int, **counts: Any) -> dict:
    """What was counted along the way, in a small file beside the part that begins at row `start`."""
    record = {"model": model, **counts}
    (parts / f"{model}.{start:010d}.json").write_text(json.dumps(record))
    return record


def read_counts(parts: Path) -> list[dict]:
    """What was counted beside each part."""
    return [json.loads(file.read_text()) for file in sorted(parts.glob("*.*.json"))]


def read_predictions(evaluated: Path, model: str, seen_items: str, columns: Sequence[str]) -> pa.Table:
    """Columns by test row, of a model in the folder of an evaluate artifact. Raises DataError when it is not there.

    A model that is another one and was not decoded again (rl where it is the sft model) has the rows of that one.
    """
    model = _identical(evaluated).get(model, model)
    table = tables.PREDICTIONS_FILE.read(evaluated, ["model", "seen_items", *columns])
    table = table.filter((pc.field("model") == model) & (pc.field("seen_items") == seen_items)).select(columns)
    if not len(table):
        raise DataError(
            f"{evaluated / 'predictions.parquet'}: holds no predictions of {model} (seen items {seen_items})"
        )
    return table


def _identical(evaluated: Path) -> dict[str, str]:
    """Models that are another one, as metrics.json names them."""
    file = evaluated / METRICS_FILE
    return json.loads(file.read_text()).get("identical", {}) if file.is_file() else {}


def read_ranks(
    evaluated: Path, model: str, seen_items: str
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """(users, targets, ranks), int32 [n] by test row, as `read_predictions` finds them."""
    users, targets, ranks = read_predictions(evaluated, model, seen_items, ["user", "target", "rank"]).columns
    return users.to_numpy(), targets.to_numpy(), ranks.to_numpy()
