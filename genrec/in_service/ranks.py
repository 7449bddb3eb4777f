"""The new model and the one in service on the same rows.

The model in service is measured as it is: it knows the items of its own catalogue. Items it does not know are left out
of the histories it reads, and a target it does not know is a miss.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from genrec import tables
from genrec.config import EvaluateConfig
from genrec.measure.predictions import read_parts
from genrec.measure.rows import SPLITS, Split, read_rows, sampled

NEW, CURRENT = "new", "current"  # the models: the one just trained, the one in service
RANKS_FILE = "ranks.parquet"
RANKS = pa.schema(
    [
        pa.field("split", pa.string(), nullable=False),  # valid | test
        pa.field("model", pa.string(), nullable=False),  # NEW | CURRENT; the new one's test ranks are in evaluate
        pa.field("user", pa.int32(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),  # 0-based place of the target, -1 when it is not in the list
    ]
)
MEASURED: tuple[tuple[Split, str], ...] = (("valid", NEW), ("valid", CURRENT), ("test", CURRENT))


def write_ranks(parts: Path, prepared: Path, trained_on: Path, config: EvaluateConfig, out: Path) -> dict[str, int]:
    """Join decoded parts (a folder for each split) to ranks.parquet in `out`.

    `trained_on` is the prepared data of the model in service. Returns {rows, unknown_targets, valid_rows}: test rows,
    those of them whose target the model in service does not know, and validation rows.
    """
    places = {split: sampled(prepared, split, config.sample_users) for split in SPLITS}
    rows = {split: read_rows(prepared, split, places[split]) for split in SPLITS}
    translated = {split: read_rows(prepared, split, places[split], trained_on) for split in SPLITS}
    measured = []
    for split, model in MEASURED:
        expected = (translated if model == CURRENT else rows)[split]
        ranks = read_parts(parts / split, model, config.seen_items, expected)["rank"]
        names = {name: pa.array([value] * len(ranks)) for name, value in (("split", split), ("model", model))}
        measured.append(pa.table({**names, "user": expected.users, "rank": ranks}).cast(RANKS))
    tables.write_table(pa.concat_tables(measured), out / RANKS_FILE, RANKS)
    num_items = len(tables.CATALOGUE_FILE.read(trained_on, ["item"]))
    unknown = int((translated["test"].targets == num_items).sum())
    return {"rows": len(rows["test"]), "unknown_targets": unknown, "valid_rows": len(rows["valid"])}


def read_ranks(folder: Path, split: Split, model: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(users, ranks), int32 [n], of ranks.parquet in `folder`."""
    wanted = (pc.field("split") == split) & (pc.field("model") == model)
    table = tables.read_table(folder / RANKS_FILE, RANKS).filter(wanted)
    return table["user"].to_numpy(), table["rank"].to_numpy()
