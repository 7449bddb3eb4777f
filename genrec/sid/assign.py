"""Fit of semantic ids: vectors.parquet to a unique id for every item, and the tokenizer that gives ids to new items."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genrec import variants
from genrec.errors import DataError
from genrec.progress import Progress, silent
from genrec.sid.artifact import read_inputs, summary_of, write_quality, write_sids
from genrec.sid.daily.refit import second_fit
from genrec.sid.fusion import fused_vectors
from genrec.sid.quality import ids_report
from genrec.sid.quantize.tokenizer import Tokenizer
from genrec.sid.tokenizer_files import save_tokenizer
from genrec.sid.tokenizers import PACKAGE
from genrec.sid.unique import make_unique
from genrec.tables import SIDS_FILE

if TYPE_CHECKING:
    from genrec.config import SidConfig


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
    """Fuse text with co-occurrence (`config.fusion`), fit the configured tokenizer, encode all items, make ids unique.

    Args:
        vectors_path, catalogue_path: of the embed and the prepare stage; row i is item i in both.
        config: settings.
        seed: decides every random choice.
        out: existing folder. Gets sids.parquet (`genrec.tables.sids_schema`), tokenizer.safetensors and
            tokenizer.json (`genrec.sid.tokenizer_files.load_tokenizer`), quality.json (`genrec.sid.quality`), and
            fusion.safetensors where ids are fused (`genrec.sid.fusion`).
        train_path: train.parquet of the prepare stage, for the fusion and for figures on co-occurrence, or None
            for neither.
        progress: reports the progress of the tokenizer's fit.
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
    report = {**ids_report(tokenizer, vectors, raw, final, text, catalogue, train_path, config), **again}
    assert report["collision_rate"] == 0.0, "an id is shared"
    write_sids(final, raw, SIDS_FILE.path(out))
    if fusion is not None:
        fusion.save(out)
    save_tokenizer(tokenizer, config.method, out, input_dim=text.shape[1], deduplicate=config.deduplicate)
    write_quality(report, out)
    return {**summary_of(report), "ids": "fitted"}
