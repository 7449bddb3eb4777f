"""The model in service on a new run's test rows, and whether the new model is good enough to take its place.

The model in service is measured as it is: it knows the items of its own catalogue. Items it does not know are left out
of the histories it reads, and a target it does not know is a miss.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from genrec import tables
from genrec.config import EvaluateConfig
from genrec.data.targets import renumber
from genrec.errors import DataError
from genrec.measure import bootstrap
from genrec.measure.evaluation import headline_k
from genrec.measure.predictions import read_parts, read_test
from genrec.measure.verdict import TRAINED
from genrec.metrics import metric_names, row_metrics

NAME = "in_service"
RANKS_FILE = "ranks.parquet"
RANKS = pa.schema([pa.field("user", pa.int32(), nullable=False), pa.field("rank", pa.int32(), nullable=False)])


def translate_test_rows(prepared: Path, old_prepared: Path, out: Path) -> dict[str, int]:
    """Write test.parquet and histories.parquet of `prepared` with the item numbers of `old_prepared`'s catalogue.

    Unknown items leave the histories; an unknown target becomes the number behind the last item, which no list holds.
    Returns {rows, unknown_targets, unknown_in_histories}: the last counts an event in every history that holds it.
    """
    ids, old_ids = (
        tables.read_table(folder / "catalogue.parquet", columns=["item_id"])["item_id"].combine_chunks()
        for folder in (prepared, old_prepared)
    )
    number = pc.fill_null(pc.index_in(ids, value_set=old_ids), -1).to_numpy(zero_copy_only=False).astype(np.int32)
    return renumber(prepared / "test.parquet", number, len(old_ids), out)


def keep_ranks(parts: Path, translated: Path, config: EvaluateConfig, out: Path) -> None:
    """Join decoded parts of the model in service to ranks.parquet: the place of each test row's target, -1 if absent."""
    table = read_parts(parts, NAME, config.seen_items, read_test(translated))
    tables.write_table(table.select(RANKS.names), out / RANKS_FILE, RANKS)


def compare(evaluated: Path, ranks: Path, config: EvaluateConfig, max_loss: float, seed: int = 0) -> dict[str, Any]:
    """The new model and the one in service on the same test rows.

    Args:
        evaluated: folder of the evaluate artifact of the new run; its last trained model counts.
        ranks: folder with ranks.parquet of the model in service.
        config: settings of the evaluation.
        max_loss: share of the NDCG in service that the new model may fall short by.
        seed: of the bootstrap.

    Returns:
        {metric, new, in_service, difference, ci, rows, good_enough}, plain JSON data. The decision rests on the
        difference itself; its interval (paired bootstrap over users) says how much of it may be chance.

    Raises:
        DataError: the two were not measured on the same rows.
    """
    metric = f"ndcg@{headline_k(config)}"
    new = last_trained(evaluated / "predictions.parquet", config.seen_items)
    old = tables.read_table(ranks / RANKS_FILE, RANKS)
    if not np.array_equal(new["user"].to_numpy(), old["user"].to_numpy()):
        raise DataError(f"{ranks / RANKS_FILE}: not the test rows of {evaluated}; run it again with --refresh evaluate")
    values = np.stack([_values(t["rank"].to_numpy(), config, metric) for t in (new, old)], axis=1)
    per_user = bootstrap.sums_by_user(new["user"].to_numpy(), np.column_stack([values, np.ones(len(values))]))
    sums = bootstrap.resampled_sums(per_user, config.num_bootstrap, seed)
    low, high = bootstrap.interval((sums[:, 0] - sums[:, 1]) / sums[:, 2], config.confidence)
    mean_new, mean_old = (float(v) for v in values.mean(axis=0))
    return {
        "metric": metric,
        "new": round(mean_new, 6),
        "in_service": round(mean_old, 6),
        "difference": round(mean_new - mean_old, 6),
        "ci": [round(low, 6), round(high, 6)],
        "rows": len(values),
        "good_enough": bool(mean_new >= mean_old * (1 - max_loss)),
    }


def last_trained(path: Path, protocol: str) -> pa.Table:
    """user and rank of the model that a run trained last, by test row. Raises DataError when there is none."""
    table = tables.read_table(path, columns=["model", "seen_items", "user", "rank"])
    for model in reversed(TRAINED):
        mask = pc.and_(pc.equal(table["model"], model), pc.equal(table["seen_items"], protocol))
        if pc.any(mask).as_py():
            return table.filter(mask).select(["user", "rank"])
    raise DataError(f"{path}: no trained model in it; a run without one cannot be promoted")


def in_words(figures: dict[str, Any]) -> str:
    """The comparison as part of a sentence."""
    name = str(figures["metric"]).replace("ndcg", "NDCG")
    low, high = figures["ci"]
    return (
        f"{name} {figures['new']:.4f} against {figures['in_service']:.4f} of the model in service on the same "
        f"{figures['rows']:,} test rows (difference {figures['difference']:+.4f}, interval {low:+.4f} to {high:+.4f})"
    )


def _values(ranks: NDArray[np.int32], config: EvaluateConfig, metric: str) -> NDArray[np.float64]:
    return row_metrics(ranks, config.ks)[:, metric_names(config.ks).index(metric)]
