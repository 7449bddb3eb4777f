"""The files of a sid artifact: what goes into the stage, the ids, their quality report and the summary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from genrec.embed.vectors import read_item_vectors
from genrec.errors import DataError
from genrec.sid.repair import check_capacity
from genrec.tables import read_table, sids_schema, write_table

if TYPE_CHECKING:
    from genrec.config import SidConfig

QUALITY_FILE = "quality.json"


def read_inputs(vectors_path: Path, catalogue_path: Path, config: SidConfig) -> tuple[np.ndarray, pa.Table]:
    """Vectors float32 [N, d] and the catalogue, row i of both being item i. Raises DataError when they do not fit."""
    vectors = read_item_vectors(vectors_path)
    catalogue = read_table(catalogue_path)
    if len(vectors) == 0:
        raise DataError(f"{vectors_path}: no items, there is nothing to give ids to")
    if len(vectors) != catalogue.num_rows:
        raise DataError(
            f"{vectors_path}: {len(vectors)} vectors for the {catalogue.num_rows} items of {catalogue_path}; "
            "run the embed stage on this catalogue"
        )
    if config.deduplicate == "reassign":
        check_capacity(len(vectors), config.num_codes, config.num_levels)
    return vectors, catalogue


def write_sids(final: np.ndarray, raw: np.ndarray, path: Path) -> None:
    """Write ids before (`raw`, int32 [N, L]) and after (`final`, [N, T]) they were made unique.

    Where an extra token makes T = L + 1, the raw ids get a last code of 0, as the first item of every id has.
    """
    num_items, num_levels = final.shape
    raw = np.pad(raw, ((0, 0), (0, num_levels - raw.shape[1])))
    columns = {"item": pa.array(np.arange(num_items, dtype=np.int32)), "sid": code_lists(final), "raw": code_lists(raw)}
    write_table(pa.table(columns), path, sids_schema(num_levels))


def code_lists(codes: np.ndarray) -> pa.FixedSizeListArray:
    """Codes [N, L] as a column of lists of int32."""
    flat = pa.array(np.ascontiguousarray(codes, dtype=np.int32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, codes.shape[1])


def code_matrix(column: pa.ChunkedArray) -> np.ndarray:
    """int32 [N, L] of a column of lists of one length: the inverse of `code_lists`."""
    column = column.combine_chunks()
    return column.flatten().to_numpy().reshape(len(column), column.type.list_size)


def write_quality(report: dict[str, Any], folder: Path) -> None:
    """Write quality.json into an existing folder."""
    (folder / QUALITY_FILE).write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_quality(folder: Path) -> dict[str, Any]:
    """quality.json of a sid artifact. Raises DataError when it is missing or damaged."""
    try:
        return json.loads((folder / QUALITY_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise DataError(f"{folder / QUALITY_FILE}: no quality report ({error}); run the sid stage") from error


def summary_of(report: dict[str, Any]) -> dict[str, Any]:
    """The figures of a quality report that go into the summary of the stage."""
    names = ("method", "num_items", "num_levels", "num_codes", "collision_rate_raw", "collision_rate")
    return {
        **{name: report[name] for name in (*names, "utilization", "perplexity", "moved_share", "prefix_agreement")},
        "reconstruction_error": report["reconstruction_error"][-1],
        **{name: report["sequence_length"][name] for name in ("text_tokens_mean", "shortened_by")},
    }
