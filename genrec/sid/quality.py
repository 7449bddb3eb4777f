"""Quality of semantic ids: figures, and examples of items that share codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from genrec.sid.cooccurrence import cooccurrence_counts
from genrec.sid.neighbours import prefix_agreement
from genrec.sid.prefixes import distinct_prefixes
from genrec.sid.spread import cluster_sizes, popularity_spread, sequence_length

if TYPE_CHECKING:
    from pathlib import Path

    from scipy.sparse import csr_array

    from genrec.config import SidConfig
    from genrec.sid.quantize.tokenizer import Tokenizer

NUM_LARGEST_CELLS = 5
NUM_EXAMPLES = 4  # prefixes shown at a depth
NUM_EXAMPLE_ITEMS = 5  # items shown of a prefix


def collision_rate(codes: np.ndarray) -> float:
    """Share of the items whose id [N, L] another item has too."""
    ids = distinct_prefixes(codes)
    return float(np.mean(ids.counts[ids.of_row] > 1))


def utilization(codes: np.ndarray, num_codes: int) -> list[float]:
    """Share of the codes of each level that any item uses."""
    return [len(np.unique(column)) / num_codes for column in codes.T]


def perplexity(codes: np.ndarray) -> list[float]:
    """exp(entropy in nats) of the codes of each level: the number of codes that equal use would need."""
    values = []
    for column in codes.T:
        share = np.bincount(column) / len(column)
        share = share[share > 0]
        values.append(float(np.exp(-(share * np.log(share)).sum())))
    return values


def fan_out(codes: np.ndarray) -> list[dict[str, float]]:
    """For each prefix length 0..L-1: how many different codes follow a prefix in use (mean, median, max)."""
    rows = []
    for depth in range(codes.shape[1]):
        children = distinct_prefixes(codes[:, : depth + 1]).codes
        counts = distinct_prefixes(children[:, :depth]).counts if depth else [len(children)]
        rows.append({"mean": float(np.mean(counts)), "median": float(np.median(counts)), "max": int(np.max(counts))})
    return rows


def ids_report(
    tokenizer: Tokenizer,
    vectors: np.ndarray,
    raw: np.ndarray,
    final: np.ndarray,
    text: np.ndarray,
    catalogue: pa.Table,
    train_path: Path | None,
    config: SidConfig,
) -> dict[str, Any]:
    """The method, and `quality_report` of ids by a tokenizer.

    Args:
        tokenizer: what gave the ids `raw` [N, L] to `vectors` float32 [N, d'], whose errors are reported.
        final: int32 [N, T], the unique ids.
        text: float32 [N, d], the items' text vectors.
        catalogue: see `quality_report`.
        train_path: train.parquet, or None for no figures on co-occurrence.
        config: settings.
    """
    report = quality_report(
        raw,
        final,
        config.num_codes,
        tokenizer.residual_errors(vectors, raw),
        tokenizer.residual_errors(vectors, final[:, : config.num_levels]),
        catalogue,
        text=text,
        counts=None if train_path is None else cooccurrence_counts(train_path, len(text), config.fusion.window),
    )
    return {"method": config.method, **report}


def quality_report(
    raw: np.ndarray,
    final: np.ndarray,
    num_codes: int,
    raw_errors: np.ndarray,
    final_errors: np.ndarray,
    catalogue: pa.Table,
    *,
    text: np.ndarray | None = None,
    counts: csr_array | None = None,
) -> dict[str, Any]:
    """All figures of the sid stage on its ids.

    Args:
        raw: int32 [N, L], the tokenizer's ids.
        final: int32 [N, T], unique ids: T = L where items that collided were moved, L + 1 where a last token counts.
        num_codes: codes a level.
        raw_errors, final_errors: float [L], unexplained share of the vectors' variance after each level.
        catalogue: N rows with item_id, title, categories; train_count where popularity is to be reported.
        text: float32 [N, d], vectors of the items' text, or None.
        counts: co-occurrence counts [N, N] of the training sequences, or None.

    Returns:
        Plain JSON data. `collision_rate*` are shares of items, `moved_share` counts items that did not keep their raw
        id (`moved_share_by_level`: at that level; an extra token counts as moved where it is not 0),
        `largest_collision` the most items with one raw id, `cluster_sizes` is of the raw codes, `largest_cells` lists
        the fullest prefixes of each length below T, `examples` shows items that share their first one or two codes;
        `prefix_agreement`, `popularity` and `sequence_length` are explained in `genrec.sid.neighbours` and
        `genrec.sid.spread`.
    """
    num_levels = final.shape[1]
    padded = np.pad(raw, ((0, 0), (0, num_levels - raw.shape[1])))
    raw_counts = distinct_prefixes(raw).counts
    return {
        "num_items": len(final),
        "num_levels": num_levels,
        "num_codes": num_codes,
        "collision_rate_raw": collision_rate(raw),
        "collision_rate": collision_rate(final),
        "distinct_ids_raw": len(raw_counts),
        "largest_collision": int(raw_counts.max()),
        "utilization_raw": utilization(raw, num_codes),
        "utilization": utilization(final, num_codes),
        "perplexity_raw": perplexity(raw),
        "perplexity": perplexity(final),
        "reconstruction_error_raw": [float(e) for e in raw_errors],
        "reconstruction_error": [float(e) for e in final_errors],
        "moved_share": float(np.mean((padded != final).any(axis=1))),
        "moved_share_by_level": [float(s) for s in np.mean(padded != final, axis=0)],
        "cluster_sizes": cluster_sizes(raw, num_codes),
        "fan_out": fan_out(final),
        "prefix_agreement": prefix_agreement(final, text, counts),
        **(
            {"popularity": popularity_spread(final, catalogue["train_count"].to_numpy())}
            if "train_count" in catalogue.column_names
            else {}
        ),
        "sequence_length": sequence_length(catalogue, num_levels),
        "largest_cells": [_largest_cells(final, depth) for depth in range(1, num_levels)],
        "examples": [_examples(final, depth, catalogue) for depth in range(1, min(3, num_levels))],
    }


def _largest_cells(codes: np.ndarray, depth: int) -> dict[str, Any]:
    prefixes, _, counts = distinct_prefixes(codes[:, :depth])
    order = np.argsort(-counts, kind="stable")[:NUM_LARGEST_CELLS]
    return {
        "depth": depth,
        "cells": [{"prefix": prefixes[i].tolist(), "num_items": int(counts[i])} for i in order],
    }


def _examples(codes: np.ndarray, depth: int, catalogue: pa.Table) -> dict[str, Any]:
    """Items of a few prefixes that more than one item has, evenly spaced from the fullest to the emptiest."""
    prefixes, of_item, counts = distinct_prefixes(codes[:, :depth])
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] > 1]
    chosen = order[np.unique(np.linspace(0, len(order) - 1, NUM_EXAMPLES).astype(int))] if len(order) else order
    shown = []
    for prefix in chosen:
        items = np.flatnonzero(of_item == prefix)[:NUM_EXAMPLE_ITEMS]
        rows = catalogue.select(["item_id", "title", "categories"]).take(pa.array(items)).to_pylist()
        shown.append(
            {
                "prefix": prefixes[prefix].tolist(),
                "num_items": int(counts[prefix]),
                "items": [
                    {"item_id": row["item_id"], "sid": codes[item].tolist(), "title": _name(row)}
                    for item, row in zip(items, rows, strict=True)
                ],
            }
        )
    return {"depth": depth, "prefixes": shown}


def _name(row: dict[str, Any]) -> str:
    """The title, or the categories of an item that has none."""
    return (row["title"] or " > ".join(row["categories"] or ()))[:120]
