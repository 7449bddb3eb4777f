"""Facts on the quality of the data behind a run, for its report: times, what each filter left, lengths, popularity, texts.

From the artifacts of ingest and prepare. Columns are read one at a time and streamed; text columns only where an event or
rating filter was set, and the number of users and items behind it is asked for.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from genrec.data.coverage import has_text
from genrec.tables import CATALOGUE_FILE, INTERACTIONS_FILE, TRAIN_FILE

_FILTERS = ("event", "rating", "repeat", "k_core", "item_not_in_training")  # of prepare, in their order


def time_range(ingested: Path) -> tuple[int, int]:
    """(earliest, latest) timestamp of interactions.parquet, read from its statistics where it has some."""
    path = INTERACTIONS_FILE.path(ingested)
    metadata = pq.read_metadata(path)
    place = metadata.schema.names.index("timestamp")
    groups = [metadata.row_group(i).column(place).statistics for i in range(metadata.num_row_groups)]
    if groups and all(group is not None and group.has_min_max for group in groups):
        return min(group.min for group in groups), max(group.max for group in groups)
    times = pl.scan_parquet(path, glob=False).select(pl.col("timestamp").min().alias("a"), pl.col("timestamp").max())
    return times.collect(engine="streaming").row(0)


def of_ingest(ingested: Path, summary: Mapping[str, Any]) -> dict[str, Any]:
    """`time`: {kind: clock | position, first, last}, timestamps as stored (milliseconds since 1970, or positions)."""
    if not summary["interactions"]:
        return {}
    first, last = time_range(ingested)
    return {"time": {"kind": summary.get("timestamps", "clock"), "first": first, "last": last}}


def of_prepare(
    ingested: Path, prepared: Path, read: Mapping[str, Any], summary: Mapping[str, Any], config: Mapping[str, Any]
) -> dict[str, Any]:
    """What the filters left and what came out.

    read, summary: what the stages ingest and prepare returned; config: the section `prepare`. Returns

    - filters [{filter, users, items, interactions}]: what was read, then what is left behind each filter, in their
      order (users and items null where they are not known between two steps),
    - sparsity: 1 - interactions / (users * items), null where a user's repeats of an item were kept,
    - sequence_lengths (events of a training sequence) and popularity (training events of an item, cold items included):
      {histogram [{from, to, count}], median, mean, max}, bins that double,
    - popular_share: share of the training events that the most popular 1% of the items have,
    - share_without_text: items of the catalogue that have no text.
    """
    counts = CATALOGUE_FILE.read(prepared, ["train_count"])["train_count"].to_numpy()
    lengths = pl.scan_parquet(TRAIN_FILE.path(prepared), glob=False).select(pl.col("items").list.len())
    top = np.sort(counts)[::-1][: max(1, len(counts) // 100)]
    repeats = config["dedupe"] == "none" or config["split"] == "given"
    texts = pl.scan_parquet(CATALOGUE_FILE.path(prepared), glob=False).select((~has_text()).mean())
    return {
        "filters": _filters(ingested, read, summary, config),
        "sparsity": None if repeats else 1 - summary["interactions"] / (summary["users"] * summary["items"]),
        "sequence_lengths": _distribution(lengths.collect(engine="streaming").to_series().to_numpy()),
        "popularity": _distribution(counts),
        "popular_share": float(top.sum() / max(1, counts.sum())),
        "share_without_text": float(texts.collect(engine="streaming").item() or 0),
    }


def _filters(
    ingested: Path, read: Mapping[str, Any], summary: Mapping[str, Any], config: Mapping[str, Any]
) -> list[dict[str, Any]]:
    names = ("users", "items", "interactions")
    steps: list[dict[str, Any]] = [{"filter": "read", **{name: read.get(name) for name in names}}]
    conditions = {
        "event": pl.col("event").is_in(config.get("events") or []),
        "rating": pl.col("rating").is_null() | (pl.col("rating") >= (config.get("min_rating") or 0)),
    }
    dropped, passed = summary.get("dropped", {}), []
    for name in (name for name in _FILTERS if name in dropped):
        number = dropped[name]
        before = steps[-1]
        left: dict[str, Any] = dict.fromkeys(("users", "items"))
        if name in conditions:
            passed.append(conditions[name])
            left = _distinct(ingested, pl.all_horizontal(passed))
        elif name == "repeat" or not number:  # a user keeps the first event with each item
            left = {"users": before["users"], "items": before["items"]}
        steps.append({"filter": name, **left, "interactions": before["interactions"] - number})
    if len(steps) > 1:
        steps[-1] |= {name: summary[name] for name in names}
    return steps


def _distinct(ingested: Path, condition: pl.Expr) -> dict[str, int]:
    events = pl.scan_parquet(INTERACTIONS_FILE.path(ingested), glob=False).filter(condition)
    columns = {"users": "user_id", "items": "item_id"}
    return {
        name: events.select(pl.col(column).n_unique()).collect(engine="streaming").item()
        for name, column in columns.items()
    }


def _distribution(values: NDArray[np.integer]) -> dict[str, Any]:
    """{histogram, median, mean, max} of whole numbers from 0: bins 0, 1, 2-3, 4-7, ... up to the largest."""
    if not len(values):
        return {"histogram": [], "median": None, "mean": None, "max": None}
    bins = np.frexp(values.astype(np.float64))[1]  # 0 for 0, else the number of binary digits
    counts = np.bincount(bins)
    edges = [(0, 0), *((1 << (i - 1), (1 << i) - 1) for i in range(1, len(counts)))]
    first = int(np.flatnonzero(counts)[0])
    return {
        "histogram": [
            {"from": low, "to": high, "count": int(count)}
            for (low, high), count in list(zip(edges, counts, strict=True))[first:]
        ],
        "median": float(np.median(values)),
        "mean": round(float(values.mean()), 3),
        "max": int(values.max()),
    }
