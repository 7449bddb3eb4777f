"""The baselines stage: every configured baseline fitted on the training sequences and ranked for all test rows.

A baseline's own options are chosen on validation, as the shares of a model's score are: what validation may decide for
one side of a comparison it decides for the other. Apart from evaluate, so that a change of the models does not train a
baseline again. Each baseline can be fitted on another machine: `rank_baseline` for each, then `finish`.
"""

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genrec import tables, variants
from genrec.config import EvaluateConfig, RecallConfig
from genrec.embed.vectors import read_item_vectors
from genrec.measure.predictions import PROTOCOLS, baseline_names, write_counts, write_part
from genrec.measure.rows import read_rows, sampled
from genrec.progress import Progress, silent
from genrec.recall.parts.choice import Choice, choose
from genrec.recall.parts.ranking import rank_each
from genrec.recall.parts.scorer import Held, Training
from genrec.recall.parts.side import side_of
from genrec.tables import ragged

_PART_ROWS = 1 << 16  # test rows of a part of the predictions: bounds memory


def rank_baseline(
    prepared: Path,
    vectors: Path | None,
    config: EvaluateConfig,
    index: int,
    seed: int,
    out: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Fit baseline `index` of the config and write its parts (seen items dropped and kept) into `out`.

    The options that the config leaves open are chosen on validation rows (`genrec.recall.parts.choice`). A baseline reads
    the whole history of a test row (validation event included) as the models do, but never learns from it.

    Returns {model, choice, fit_seconds, choose_seconds, rank_seconds, users}: `choice` is what baselines.json says of it,
    `fit_seconds` is one fit with the options chosen, `choose_seconds` all that was tried, that fit included, and
    `rank_seconds` is for both protocols.
    """
    name, baseline = baseline_names(config.baselines)[index], config.baselines[index]
    places = sampled(prepared, "test", config.sample_users)
    data = read_training(
        prepared, vectors, seed, lambda done, total, note="", /, **values: progress(done / total, 1, note, **values)
    )
    progress(0, 1, name)
    began = time.perf_counter()
    choice = choose(variants.load("genrec.recall", baseline.name), baseline.options, data, config.choice_users)
    chosen = time.perf_counter()
    for start in range(0, len(places), _PART_ROWS):
        rows = read_rows(prepared, "test", places[start : start + _PART_ROWS])
        drop_seen = [protocol == "drop" for protocol in PROTOCOLS]
        lists = rank_each(choice.scorer, rows.histories, config.beam_width, drop_seen)
        for protocol, (items, scores) in zip(PROTOCOLS, lists, strict=True):
            write_part(out, name, protocol, start, rows, items, scores)
    ranked = time.perf_counter()
    write_counts(out, name, 0, users=len(places), invalid=0)
    progress(1, 1, name)
    return {
        "model": name,
        "choice": _described(baseline, choice),
        "fit_seconds": choice.fit_seconds,
        "choose_seconds": chosen - began,
        "rank_seconds": ranked - chosen,
        "users": len(places),
    }


def _described(baseline: RecallConfig, choice: Choice) -> dict[str, Any]:
    """A baseline's variant, all its options, those that the config sets, and the validation figures of all candidates.

    `tried` is in the order of trying, {options: what differs from the first candidate, hr@10, ndcg@10}; empty where
    nothing was to choose.
    """
    return {
        "name": baseline.name,
        "options": dataclasses.asdict(choice.options),
        "set": sorted(baseline.options),
        "valid_users": choice.users,
        "tried": choice.tried,
    }


def finish(config: EvaluateConfig, records: Sequence[dict[str, Any]], out: Path) -> dict[str, Any]:
    """Write baselines.json (options and how they were chosen); returns a summary that adds what each baseline cost."""
    described = {record["model"]: record["choice"] for record in records}
    listed = {name: described[name] for name in baseline_names(config.baselines)}
    out.mkdir(parents=True, exist_ok=True)
    (out / "baselines.json").write_text(json.dumps(listed, indent=1) + "\n")
    summary = {
        record["model"]: {
            "fit_seconds": round(record["fit_seconds"], 3),
            "choose_seconds": round(record["choose_seconds"], 3),
            "users_per_s": len(PROTOCOLS) * record["users"] / max(record["rank_seconds"], 1e-9),
            **record["choice"],
        }
        for record in records
    }
    return {"baselines": summary}


def read_training(prepared: Path, vectors: Path | None, seed: int, progress: Progress) -> Training:
    """The training sequences with their times, validation rows and text vectors, as baselines take them."""
    table = tables.TRAIN_FILE.read(prepared, ["items", "timestamps"])
    valid = read_rows(prepared, "valid")
    catalogue = tables.CATALOGUE_FILE.read(prepared, ["brand", "categories"])
    return Training(
        sequences=ragged(table["items"]),
        num_items=len(catalogue),
        timestamps=ragged(table["timestamps"]),
        vectors=read_item_vectors(vectors) if vectors is not None else None,
        side=side_of(catalogue),
        validation=Held(valid.histories, valid.targets) if len(valid) else None,
        seed=seed,
        progress=progress,
    )
