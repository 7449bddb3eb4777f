"""The catalogue of prepare: the numbered items with their metadata, joined a piece at a time."""

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from genrec.data.frames import TableWriter
from genrec.errors import DataError
from genrec.tables import CATALOGUE, CATALOGUE_FILE

_ITEM_ROWS = 1 << 14  # of the metadata that are held at a time


def write_catalogue(item_ids: pl.Series, train_counts: NDArray[np.int64], items: Path, out: Path) -> None:
    """One row an item, in the order of `item_ids` (sorted); items without metadata have empty texts.

    items: metadata, sorted by item_id; read and joined a piece at a time.
    """
    passed = 0
    last_id = ""
    with TableWriter(CATALOGUE_FILE.path(out), CATALOGUE) as writer:

        def write(stop: int, texts: pl.DataFrame) -> None:
            for start in range(passed, stop, _ITEM_ROWS):
                ids = item_ids[start : min(start + _ITEM_ROWS, stop)]
                number = pl.int_range(start, start + len(ids), dtype=pl.Int32, eager=True)
                counts = train_counts[start : start + len(ids)].astype(np.int32)
                rows = pl.DataFrame({"item": number, "item_id": ids, "train_count": counts})
                filled = [pl.col(name).fill_null("") for name in ("title", "description", "brand")]
                joined = rows.join(texts, on="item_id", how="left", maintain_order="left")
                writer.write_frame(joined.with_columns(*filled, pl.col("categories").fill_null([])))

        texts = pl.DataFrame(pl.from_arrow(pq.read_schema(items).empty_table()))
        for batch in pq.ParquetFile(items).iter_batches(batch_size=_ITEM_ROWS):
            texts = pl.DataFrame(pl.from_arrow(batch))
            if texts["item_id"][0] < last_id or not texts["item_id"].is_sorted():
                raise DataError(
                    "items.parquet is not sorted by item_id; another version wrote it: compute ingest again"
                )
            last_id = texts["item_id"][-1]
            stop = int(item_ids.search_sorted(last_id, side="right"))
            write(stop, texts)
            passed = stop
        write(len(item_ids), texts.clear())
