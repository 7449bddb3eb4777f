"""The sid stage: vectors.parquet -> a unique semantic id for every item, and the tokenizer to give ids to new ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from genrec import variants
from genrec.embed.vectors import read_item_vectors
from genrec.errors import DataError
from genrec.progress import Progress, silent
from genrec.sid.cooccurrence import cooccurrence_counts
from genrec.sid.daily.new_items import QUALITY_FILE
from genrec.sid.daily.refit import second_fit
from genrec.sid.fusion import fused_vectors
from genrec.sid.quality import quality_report
from genrec.sid.quantize.tokenizer import PACKAGE, Tokenizer, save_tokenizer
from genrec.sid.repair import check_capacity
from genrec.sid.unique import make_unique
from genrec.tables import read_table, sids_schema, write_table

if TYPE_CHECKING:
    from genrec.config import SidConfig

SIDS_FILE = "sids.parquet"


def assign(
    vectors_path: Path,
    catalogue_path: Path,
    config: SidConfig,
    seed: int,
    out: Path,
    train_path: Path | None = None,
    progress: Progress = silent,
    device: str | None = None,
) -> dict[str, Any]:
    """Fuse text with co-occurrence where asked for, fit the configured tokenizer, encode all items, make ids unique.

    Args:
        vectors_path, catalogue_path: of the embed and the prepare stage; row i is item i in both.
        config: settings.
        seed: decides every random choice.
        out: existing folder. Gets sids.parquet (`genrec.tables.sids_schema`), tokenizer.safetensors and
            tokenizer.json (`genrec.sid.quantize.tokenizer.load_tokenizer`), quality.json (`genrec.sid.quality`), and
            fusion.safetensors where ids are fused (`genrec.sid.fusion`).
        train_path: train.parquet of the prepare stage, for the fusion and for figures on co-occurrence; None does
            without either.
        progress: told by the tokenizer.
        device: torch device; None takes the GPU where there is one.

    Returns:
        Summary: method, num_items, num_levels (tokens of an id), num_codes, collision_rate_raw, collision_rate,
        utilization, perplexity, reconstruction_error (the last learned level's), moved_share, prefix_agreement,
        text_tokens_mean, shortened_by (see `genrec.sid.quality`), and ids "fitted" (see `genrec.sid.daily.keep`).

    Raises:
        DataError: vectors that are missing, empty or not finite, that do not fit the catalogue, or more items than ids.
        TrainingError: the tokenizer's loss stopped being finite.
    """
    text, catalogue = read_inputs(vectors_path, catalogue_path, config)
    if config.fusion.weight and train_path is None:
        raise DataError("sid.fusion.weight: training sequences (train.parquet) are needed")
    vectors, fusion = (text, None) if train_path is None else fused_vectors(text, train_path, config.fusion)
    module, options = variants.build(PACKAGE, config.method, config.options)

    def fit(vectors: np.ndarray, seed: int, progress: Progress = silent) -> Tokenizer:
        shape = {"num_levels": config.num_levels, "num_codes": config.num_codes}
        return module.fit(vectors, **shape, options=options, seed=seed, device=device, progress=progress)

    tokenizer = fit(vectors, seed, progress)
    raw = tokenizer.encode_catalogue(vectors)
    final = make_unique(raw, tokenizer.project(vectors), tokenizer.codebooks, config.deduplicate)
    again = second_fit(fit, vectors, text, fusion, final, config.deduplicate, seed) if config.refit else {}
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
    report = {"method": config.method, **report, **again}
    assert report["collision_rate"] == 0.0, "an id is shared"
    write_sids(final, raw, out / SIDS_FILE)
    if fusion is not None:
        fusion.save(out)
    save_tokenizer(tokenizer, config.method, out, input_dim=text.shape[1], deduplicate=config.deduplicate)
    (out / QUALITY_FILE).write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return {**summary_of(report), "ids": "fitted"}


def summary_of(report: dict[str, Any]) -> dict[str, Any]:
    """The figures of quality.json that go into the summary of the stage."""
    kept = ("method", "num_items", "num_levels", "num_codes", "collision_rate_raw", "collision_rate")
    return {
        **{name: report[name] for name in (*kept, "utilization", "perplexity", "moved_share", "prefix_agreement")},
        "reconstruction_error": report["reconstruction_error"][-1],
        **{name: report["sequence_length"][name] for name in ("text_tokens_mean", "shortened_by")},
    }


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

    Where an extra token makes T = L + 1, the raw ids get a last code of 0: every item the first of its kind.
    """
    num_items, num_levels = final.shape
    raw = np.pad(raw, ((0, 0), (0, num_levels - raw.shape[1])))
    lists = [
        pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(codes, dtype=np.int32).reshape(-1)), num_levels)
        for codes in (final, raw)
    ]
    items = pa.array(np.arange(num_items, dtype=np.int32))
    write_table(pa.table({"item": items, "sid": lists[0], "raw": lists[1]}), path, sids_schema(num_levels))
