"""The sid stage step by step, on synthetic vectors."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from genrec import variants
from genrec.config import SidConfig
from genrec.sid.artifact import write_quality, write_sids
from genrec.sid.daily.refit import second_fit
from genrec.sid.quality import ids_report
from genrec.sid.quantize.tokenizer import Tokenizer
from genrec.sid.tokenizers import PACKAGE
from genrec.sid.unique import make_unique
from tests.bench.million_data import catalogue, item_vectors

Step = Callable[[str, Callable[[], Any]], Any]


def measure(num_items: int, config: SidConfig, step: Step, keep: Path | None) -> dict[str, Any]:
    """Figures of the ids of one tokenizer; `step(name, run)` runs and times a step. `keep` is a file for the ids."""
    vectors, items = item_vectors(num_items), catalogue(num_items)
    module, options = variants.build(PACKAGE, config.method, config.options)
    shape = {"num_levels": config.num_levels, "num_codes": config.num_codes}

    def fit(vectors: np.ndarray, seed: int) -> Tokenizer:
        return module.fit(vectors, **shape, options=options, seed=seed)

    step("made", lambda: None)
    tokenizer = step("fit", lambda: fit(vectors, 0))
    raw = step("encode", lambda: tokenizer.encode_catalogue(vectors))
    how = config.deduplicate
    final = step("unique", lambda: make_unique(raw, tokenizer.project(vectors), tokenizer.codebooks, how))
    if keep is not None:
        np.save(keep, final)
    report = step("report", lambda: ids_report(tokenizer, vectors, raw, final, vectors, items, None, config))
    with tempfile.TemporaryDirectory() as folder:
        step("write", lambda: (write_sids(final, raw, Path(folder) / "s.parquet"), write_quality(report, Path(folder))))
    if config.refit:
        step("refit", lambda: second_fit(fit, vectors, vectors, None, final, how, 0))
    names = ("collision_rate_raw", "largest_collision", "moved_share", "moved_share_by_level", "utilization_raw")
    figures = {name: report[name] for name in (*names, "reconstruction_error_raw", "reconstruction_error")}
    agreement = report["prefix_agreement"]
    return {
        **figures,
        "text_neighbours": agreement["text"],
        "chance": agreement["chance"],
        "fan_out": report["fan_out"],
    }
