"""The baselines stage: every configured baseline fitted on the training sequences and ranked for all test rows.

Apart from evaluate, so that a change of the models does not train a baseline again. Each baseline can be fitted on
another machine: `rank_baseline` for each, then `finish`.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genrec import tables, variants
from genrec.config import EvaluateConfig
from genrec.embed.vectors import read_item_vectors
from genrec.measure.predictions import PROTOCOLS, baseline_names, write_counts, write_part
from genrec.measure.rows import read_rows
from genrec.progress import Progress, silent
from genrec.recall.parts.ranking import rank
from genrec.recall.parts.scorer import Held, Training
from genrec.tables import ragged


def rank_baseline(
    prepared: Path,
    vectors: Path | None,
    config: EvaluateConfig,
    index: int,
    seed: int,
    out: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Fit baseline `index` of the config and write its two parts (seen items dropped and kept) into `out`.

    A baseline reads the whole history of a test row (validation event included) as the models do, but never learns
    from it. Returns {model, fit_seconds, rank_seconds, users}: `rank_seconds` is for both protocols.
    """
    name, baseline = baseline_names(config.baselines)[index], config.baselines[index]
    rows = read_rows(prepared, "test")
    data = read_training(
        prepared, vectors, seed, lambda done, total, note="", /, **values: progress(done / total, 1, note, **values)
    )
    module, options = variants.build("genrec.recall", baseline.name, baseline.options)
    progress(0, 1, name)
    began = time.perf_counter()
    scorer = module.fit(data, options)
    fitted = time.perf_counter()
    for protocol in PROTOCOLS:
        items, scores = rank(scorer, rows.histories, config.beam_width, protocol == "drop")
        write_part(out, name, protocol, 0, rows, items, scores)
    ranked = time.perf_counter()
    write_counts(out, name, 0, users=len(rows), invalid=0)
    progress(1, 1, name)
    return {"model": name, "fit_seconds": fitted - began, "rank_seconds": ranked - fitted, "users": len(rows)}


def finish(config: EvaluateConfig, records: Sequence[dict[str, Any]], out: Path) -> dict[str, Any]:
    """Write baselines.json (names and settings); returns a summary with what each baseline cost."""
    named = zip(baseline_names(config.baselines), config.baselines, strict=True)
    listed = {name: {"name": baseline.name, "options": baseline.options} for name, baseline in named}
    out.mkdir(parents=True, exist_ok=True)
    (out / "baselines.json").write_text(json.dumps(listed, indent=1) + "\n")
    costs = {
        record["model"]: {
            "fit_seconds": round(record["fit_seconds"], 3),
            "users_per_s": len(PROTOCOLS) * record["users"] / max(record["rank_seconds"], 1e-9),
        }
        for record in records
    }
    return {"baselines": costs}


def read_training(prepared: Path, vectors: Path | None, seed: int, progress: Progress) -> Training:
    """The training sequences with their times, validation rows and text vectors, as baselines take them."""
    table = tables.TRAIN_FILE.read(prepared, ["items", "timestamps"])
    valid = read_rows(prepared, "valid")
    return Training(
        sequences=ragged(table["items"]),
        num_items=len(tables.CATALOGUE_FILE.read(prepared, ["item"])),
        timestamps=ragged(table["timestamps"]),
        vectors=read_item_vectors(vectors) if vectors is not None else None,
        validation=Held(valid.histories, valid.targets) if len(valid) else None,
        seed=seed,
        progress=progress,
    )
