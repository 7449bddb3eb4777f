"""Recipes side by side: every one before and after RL and every baseline, on the same test rows.

Nothing is picked: figures are those of the checkpoint that validation chose in each run, averaged over its seeds.
"""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genrec import tables
from genrec.config.flatten import flatten
from genrec.errors import DataError
from genrec.measure.comparison import (
    DIGITS,
    TRAINED,
    Comparison,
    Row,
    best_first,
    pairs,
    popularity_slices,
    rows_of_run,
)
from genrec.measure.gains import gains
from genrec.measure.predictions import read_ranks
from genrec.measure.score_parts import PART_OF
from genrec.measure.unchanged import unchanged

# What must be equal for figures to be comparable.
_PROTOCOL = ("split", "num_candidates", "test_rows", "seen_items", "max_history", "headline_k", "ks")
# Settings that say where, under which name and with which seed, and what others report.
_NO_RECIPE = ("name", "store", "resources", "seed", "reported")
_LISTS = ("coverage", "novelty", "diversity", "tail_share")
Folder = Callable[[str], Path]  # the artifact of a key
Report = Mapping[str, Any]


def compare_recipes(reports: Sequence[Report], folder: Folder) -> dict[str, Any]:
    """Merge the reports of runs (one a recipe and seed; `name` says which recipe) into one comparison.

    `folder` gives the artifact of a key, for predictions and popularity. Returns

    - rows [{label, recipe (null: a baseline), model, final, seeds, metrics {hr@k, ndcg@k: {mean, ci, by_seed}}, slices
      {head | tail | cold: the same}, lists {coverage, novelty, diversity, tail_share}, cost}], best NDCG first,
    - comparisons [{row, against, metric, difference, ci, share_in_favour, relative}], paired on users and seeds,
    - gains (what RL made of each recipe: `genrec.measure.gains`),
    - recipes (what each measured along the way), unchanged (see `genrec.measure.unchanged`), runs, differing (settings),
      left_out (names of runs that were not evaluated), headline_k, confidence, protocol (as in report.json).

    Raises DataError when no run was evaluated or the runs were tested on different rows.
    """
    evaluated = [r for r in reports if "metrics" in r]
    if not evaluated:
        raise DataError("nothing to compare: none of the runs was evaluated")
    _check_protocol(evaluated)
    recipes: dict[str, list[Report]] = {}
    for report in evaluated:
        recipes.setdefault(report["name"], []).append(report)
    runs_of = _rows(recipes)
    measured = _measure(runs_of, evaluated, folder)
    k = evaluated[0]["protocol"]["headline_k"]
    figures = {row: _figures(row, runs, measured, k) for row, runs in runs_of.items()}
    ordered = best_first({row: of_row["metrics"][f"ndcg@{k}"]["mean"] for row, of_row in figures.items()})
    configs = {name: runs[0]["config"] for name, runs in recipes.items()}
    settings = {name: flatten({n: v for n, v in c.items() if n not in _NO_RECIPE}) for name, c in configs.items()}
    differing = [n for n in sorted(set().union(*settings.values())) if _differ(s.get(n) for s in settings.values())]
    return {
        "rows": [figures[row] for row in ordered],
        "comparisons": [
            {"row": one.label, "against": other.label, "metric": metric} | measured.difference(one, other, metric)
            for one, other in pairs(ordered)
            for metric in (f"hr@{k}", f"ndcg@{k}")
        ],
        "gains": gains(recipes, folder),
        "recipes": [
            _about(name, runs) | {"settings": {n: settings[name].get(n) for n in differing}}
            for name, runs in recipes.items()
        ],
        "unchanged": unchanged(recipes),
        "runs": [{"run_id": r["run_id"], "name": r["name"], "seed": r["config"].get("seed")} for r in evaluated],
        "differing": differing,
        "left_out": list(dict.fromkeys(r["name"] for r in reports if "metrics" not in r)),
        "headline_k": k,
        "confidence": measured.confidence,
        "protocol": evaluated[0]["protocol"],
    }


def _measure(runs_of: Mapping[Row, Sequence[Report]], evaluated: Sequence[Report], folder: Folder) -> Comparison:
    """All rows under one bootstrap. Raises DataError when they were tested on different rows."""
    protocol = evaluated[0]["protocol"]
    read = {
        row: [read_ranks(folder(_key(run, "evaluate")), row.model, run["protocol"]["seen_items"]) for run in runs]
        for row, runs in runs_of.items()
    }
    (users, targets, _), *others = [of_run for runs in read.values() for of_run in runs]
    if not all(np.array_equal(u, users) and np.array_equal(t, targets) for u, t, _ in others):
        raise DataError("the runs were tested on different users or items; compare runs on the same prepared data")
    counts = tables.CATALOGUE_FILE.read(folder(_key(evaluated[0], "prepare")), ["train_count"])
    return Comparison(
        {row: [ranks for _, _, ranks in seeds] for row, seeds in read.items()},
        users,
        [protocol["headline_k"]],
        num_bootstrap=max(r["config"]["evaluate"]["num_bootstrap"] for r in evaluated),
        confidence=protocol["confidence"],
        slices=popularity_slices(counts["train_count"].to_numpy(), targets, protocol["head_share"]),
        sliced_k=protocol["headline_k"],
    )


def _check_protocol(evaluated: Sequence[Report]) -> None:
    for field in _PROTOCOL:
        values = {r["name"]: r["protocol"].get(field) for r in evaluated}
        if _differ(values.values()):
            shown = ", ".join(f"{name}: {value}" for name, value in values.items())
            raise DataError(
                f"the runs differ in {field} ({shown}), so their figures cannot be compared; make it the same"
            )


def _differ(values: Iterable[Any]) -> bool:
    return len({json.dumps(value, sort_keys=True) for value in values}) > 1


def _rows(recipes: Mapping[str, Sequence[Report]]) -> dict[Row, Sequence[Report]]:
    """The runs of each row: the trained models of each recipe, and each baseline; one that is the same everywhere once."""
    rows: dict[Row, Sequence[Report]] = {}
    baselines: dict[str, dict[str, Sequence[Report]]] = {}
    for recipe, runs in recipes.items():
        models = [m for m in runs[0]["metrics"] if all(m in r["metrics"] for r in runs)]
        same = {m for m in models if all(m in r.get("identical", {}) for r in runs)}
        trained = [m for m in models if m in (*TRAINED, *PART_OF) and m not in same]
        words = {"sft": "before RL", "rl": "after RL"} if {"sft", "rl"} <= set(trained) else {}
        labels = {model: f"{recipe} {words.get(model, model)}" for model in trained}
        rows |= dict.fromkeys(rows_of_run(trained, recipe, labels), runs)
        for model in models:
            if model not in (*TRAINED, *PART_OF):
                figures = json.dumps([r["metrics"][model] for r in runs], sort_keys=True)
                baselines.setdefault(model, {}).setdefault(figures, runs)
    for model, variants in baselines.items():
        for runs in variants.values():
            label = model if len(variants) == 1 else f"{model} ({runs[0]['name']})"
            rows[Row(label, None, model, True)] = runs
    return rows


def _key(report: Report, stage: str) -> str:
    return next(s["key"] for s in report["stages"] if s["name"] == stage)


def _figures(row: Row, runs: Sequence[Report], measured: Comparison, k: int) -> dict[str, Any]:
    """A row of comparison.json."""
    return {
        **dataclasses.asdict(row),
        **measured.figures(row),
        "lists": {n: _mean(r["metrics"][row.model].get(f"{n}@{k}") for r in runs) for n in _LISTS},
        "cost": _cost(row, runs),
        "seeds": [r["config"].get("seed") for r in runs],
    }


def _cost(row: Row, reports: Sequence[Report]) -> dict[str, float | None]:
    """Mean seconds of training and lists a second, over the seeds; stages read from the cache count what they took."""
    if row.recipe is None:
        costs = [r.get("baselines", {}).get(row.model, {}) for r in reports]
        seconds, speed = ([cost.get(name) for cost in costs] for name in ("fit_seconds", "users_per_s"))
    else:
        stages = TRAINED[: TRAINED.index(row.part_of or row.model) + 1]
        seconds = [sum(s.get("computed_seconds", 0) for s in r["stages"] if s["name"] in stages) for r in reports]
        speed = [r["decode"].get("users_per_s_by_model", {}).get(row.model) for r in reports]
    return {"train_seconds": _mean(seconds), "lists_per_s": _mean(speed)}


def _about(name: str, runs: Sequence[Report]) -> dict[str, Any]:
    """What a recipe is made of, and what it measured along the way, means over its seeds."""
    config, sid, sft = (
        runs[0]["config"],
        [r.get("sid", {}) for r in runs],
        [r.get("training", {}).get("sft", {}) for r in runs],
    )
    return {
        "name": name,
        "ids": config["sid"]["method"],
        "base": config["base"]["model"],
        "adapter": config["sft"]["adapter"],
        "algorithm": config["rl"]["algorithm"],
        "score": [r["score"]["sft"] for r in runs if "sft" in r.get("score", {})] or None,
        **{n: _mean(s.get(n) for s in sid) for n in ("collision_rate_raw", "shortened_by")},
        **{n: _mean(s.get(n) for s in sft) for n in ("trainable_share", "weight_bytes", "peak_gpu_bytes")},
    }


def _mean(values: Any) -> float | None:
    known = [v for v in values if v is not None]
    return round(sum(known) / len(known), DIGITS) if known else None
