"""The sid stage: vectors.parquet -> a unique semantic id for every item, and the tokenizer to give ids to new ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from genrec import variants
from genrec.embed.stage import read_item_vectors
from genrec.errors import DataError
from genrec.progress import Progress, silent
from genrec.schemas import read_table, sids_schema, write_table
from genrec.sid.quality import quality_report
from genrec.sid.repair import check_capacity, repair
from genrec.sid.tokenizer import PACKAGE, save_tokenizer

if TYPE_CHECKING:
    from genrec.config import SidConfig

SIDS_FILE = "sids.parquet"
QUALITY_FILE = "quality.json"


def assign(
    vectors_path: Path,
    catalogue_path: Path,
    config: SidConfig,
    seed: int,
    out: Path,
    progress: Progress = silent,
    device: str | None = None,
) -> dict[str, Any]:
    """Fit the configured tokenizer, encode all items, make their ids unique.

    Writes into the folder `out`: sids.parquet (`genrec.schemas.sids_schema`), tokenizer.safetensors and
    tokenizer.json (`genrec.sid.tokenizer.load_tokenizer`), quality.json (`genrec.sid.quality`).

    Returns:
        Summary: method, num_items, num_levels, num_codes, collision_rate_raw, collision_rate, utilization, perplexity,
        reconstruction_error (the last level's), moved_share.

    Raises:
        DataError: vectors that are missing, empty or not finite, that do not fit the catalogue, or more items than ids.
        TrainingError: the tokenizer's loss stopped being finite.
    """
    vectors = read_item_vectors(vectors_path)
    catalogue = read_table(catalogue_path)
    if len(vectors) == 0:
        raise DataError(f"{vectors_path}: no items, there is nothing to give ids to")
    if len(vectors) != catalogue.num_rows:
        raise DataError(
            f"{vectors_path}: {len(vectors)} vectors for the {catalogue.num_rows} items of {catalogue_path}; "
            "run the embed stage on this catalogue"
        )
    check_capacity(len(vectors), config.num_codes, config.num_levels)
    module, options = variants.build(PACKAGE, config.method, config.options)
    tokenizer = module.fit(
        vectors,
        num_levels=config.num_levels,
        num_codes=config.num_codes,
        options=options,
        seed=seed,
        device=device,
        progress=progress,
    )
    raw = tokenizer.encode_catalogue(vectors)
    final = repair(raw, tokenizer.project(vectors), tokenizer.codebooks)
    report = quality_report(
        raw,
        final,
        config.num_codes,
        tokenizer.residual_errors(vectors, raw),
        tokenizer.residual_errors(vectors, final),
        catalogue,
    )
    report = {"method": config.method, **report}
    assert report["collision_rate"] == 0.0, "repair left a collision"
    write_sids(final, raw, out / SIDS_FILE)
    save_tokenizer(tokenizer, config.method, out)
    (out / QUALITY_FILE).write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    kept = ("method", "num_items", "num_levels", "num_codes", "collision_rate_raw", "collision_rate")
    return {
        **{name: report[name] for name in (*kept, "utilization", "perplexity", "moved_share")},
        "reconstruction_error": report["reconstruction_error"][-1],
    }


def write_sids(final: np.ndarray, raw: np.ndarray, path: Path) -> None:
    """Write ids int32 [N, L] before (`raw`) and after (`final`) the repair of collisions."""
    num_items, num_levels = final.shape
    lists = [
        pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(codes, dtype=np.int32).reshape(-1)), num_levels)
        for codes in (final, raw)
    ]
    items = pa.array(np.arange(num_items, dtype=np.int32))
    write_table(pa.table({"item": items, "sid": lists[0], "raw": lists[1]}), path, sids_schema(num_levels))
