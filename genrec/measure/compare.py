"""Recipes side by side: every one before and after RL and every baseline, on the same test rows.

Nothing is picked: figures are those of the checkpoint that validation chose in each run, averaged over its seeds.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from genrec import tables
from genrec.errors import DataError
from genrec.measure.compare_stats import Ranks, difference, figure, read_ranks, resampled, same_rows
from genrec.measure.verdict import TRAINED
from genrec.report import compare_page, compare_words
from genrec.report.collect import protocol_in_words
from genrec.report.report import span

# What must be equal for figures to be comparable.
_PROTOCOL = ("split", "num_candidates", "test_rows", "seen_items", "max_history", "headline_k", "ks")
_PLACES = ("name", "store", "resources", "seed")  # settings that say where, under what name and by what luck, not what
_NUM_BOOTSTRAP = 1000
_LISTS = ("coverage", "novelty", "diversity", "tail_share")
Folder = Callable[[str], Path]  # the artifact of a key
Report = Mapping[str, Any]


def compare_reports(reports: Sequence[Report], folder: Folder) -> dict[str, Any]:
    """Merge the reports of runs (one a recipe and seed; `name` says which recipe) into one comparison.

    `folder` gives the artifact of a key, for predictions and popularity. Returns, best NDCG first,

    - rows [{label, recipe (null: a baseline), model, final, seeds, metrics {hr@k, ndcg@k: {mean, ci, by_seed}}, slices
      {head | tail | cold: the same}, lists {coverage, novelty, diversity, tail_share}, cost}],
    - comparisons [{row, against, metric, difference, ci, share_in_favour, relative}], paired on users and seeds,
    - summary (sentences), recipes (what each measured along the way), runs, differing settings, warnings, protocol,
    - columns, table (text, for a terminal).

    Raises DataError when no run was evaluated or the runs were tested on different rows.
    """
    evaluated = [r for r in reports if "metrics" in r]
    if not evaluated:
        raise DataError("nothing to compare: none of the runs was evaluated")
    _check_protocol(evaluated)
    protocol = evaluated[0]["protocol"]
    k, confidence = protocol["headline_k"], protocol["confidence"]
    recipes = {
        name: [r for r in evaluated if r["name"] == name] for name in dict.fromkeys(r["name"] for r in evaluated)
    }
    rows = _rows(recipes)
    ranks = [[_ranks(report, row["model"], folder) for report in row["reports"]] for row in rows]
    if not same_rows([r for runs in ranks for r in runs]):
        raise DataError("the runs were tested on different users or items; compare runs on the same prepared data")
    counts = tables.read_table(folder(_key(evaluated[0], "prepare")) / "catalogue.parquet", columns=["train_count"])
    samples = resampled(
        ranks,
        counts["train_count"].to_numpy(),
        k=k,
        head_share=protocol["head_share"],
        num=_NUM_BOOTSTRAP,
        seed=0,
    )
    for row, found in zip(rows, samples, strict=True):
        row |= _figures(found, confidence) | {
            "lists": {n: _mean(r["metrics"][row["model"]].get(f"{n}@{k}") for r in row["reports"]) for n in _LISTS},
            "cost": _cost(row),
            "seeds": [r["config"].get("seed") for r in row["reports"]],
        }
    order = sorted(range(len(rows)), key=lambda i: -rows[i]["metrics"][f"ndcg@{k}"]["mean"])
    rows, samples = [rows[i] for i in order], [samples[i] for i in order]
    comparisons = _comparisons(rows, samples, k, confidence)
    about = [_about(name, runs) for name, runs in recipes.items()]
    settings = {
        name: _flatten({n: v for n, v in runs[0]["config"].items() if n not in _PLACES})
        for name, runs in recipes.items()
    }
    differing = [
        n
        for n in sorted(set().union(*settings.values()))
        if len({json.dumps(s.get(n), sort_keys=True) for s in settings.values()}) > 1
    ]
    for row in rows:
        del row["reports"]
    missing = list(dict.fromkeys(r["name"] for r in reports if "metrics" not in r))
    columns, table = _table(rows, k)
    return {
        "summary": [*compare_words.summary(rows, comparisons, k, confidence), *compare_words.memory(about)],
        "columns": columns,
        "table": table,
        "rows": rows,
        "comparisons": comparisons,
        "recipes": [a | {"settings": {n: settings[a["name"]].get(n) for n in differing}} for a in about],
        "runs": [{"run_id": r["run_id"], "name": r["name"], "seed": r["config"].get("seed")} for r in evaluated],
        "differing": differing,
        "warnings": [f"not evaluated and left out: {', '.join(missing)}"] if missing else [],
        "headline_k": k,
        "confidence": confidence,
        "protocol": protocol_in_words(protocol),
    }


def write_comparison(reports: Sequence[Report], out: Path, folder: Folder) -> dict[str, Any]:
    """Write comparison.json and comparison.html into `out`; returns the comparison, and "html", the page's path."""
    comparison = compare_reports(reports, folder)
    out.mkdir(parents=True, exist_ok=True)
    (out / "comparison.json").write_text(json.dumps(comparison, indent=1) + "\n", encoding="utf-8")
    page = out / "comparison.html"
    page.write_text(compare_page.page(comparison), encoding="utf-8")
    return comparison | {"html": str(page)}


def _check_protocol(evaluated: Sequence[Report]) -> None:
    for field in _PROTOCOL:
        values = {r["name"]: r["protocol"].get(field) for r in evaluated}
        if len({json.dumps(v) for v in values.values()}) > 1:
            shown = ", ".join(f"{name}: {value}" for name, value in values.items())
            raise DataError(
                f"the runs differ in {field} ({shown}), so their figures cannot be compared; make it the same"
            )


def _rows(recipes: Mapping[str, Sequence[Report]]) -> list[dict[str, Any]]:
    """A row for each trained model of each recipe, and for each baseline; one that is the same everywhere, once."""
    rows: list[dict[str, Any]] = []
    baselines: dict[str, dict[str, list[Report]]] = {}
    for recipe, runs in recipes.items():
        models = [m for m in runs[0]["metrics"] if all(m in r["metrics"] for r in runs)]
        trained = [m for m in TRAINED if m in models]
        words = {"sft": "before RL", "rl": "after RL"} if len(trained) == 2 else {}
        for model in trained:
            label = f"{recipe} {words.get(model, model)}"
            rows.append(
                {"label": label, "recipe": recipe, "model": model, "final": model == trained[-1], "reports": runs}
            )
        for model in models:
            if model not in TRAINED:
                figures = json.dumps([r["metrics"][model] for r in runs], sort_keys=True)
                baselines.setdefault(model, {}).setdefault(figures, list(runs))
    for model, variants in baselines.items():
        for runs in variants.values():
            label = model if len(variants) == 1 else f"{model} ({runs[0]['name']})"
            rows.append({"label": label, "recipe": None, "model": model, "final": True, "reports": runs})
    return rows


def _key(report: Report, stage: str) -> str:
    return next(s["key"] for s in report["stages"] if s["name"] == stage)


def _ranks(report: Report, model: str, folder: Folder) -> Ranks:
    return read_ranks(folder(_key(report, "evaluate")), model, report["protocol"]["seen_items"])


def _figures(found: Mapping[tuple[str, str], Any], confidence: float) -> dict[str, Any]:
    """{metrics, slices} from resampled figures."""
    made: dict[str, Any] = {"metrics": {}, "slices": {}}
    for (slice_, metric), values in found.items():
        place = made["slices"].setdefault(slice_, {}) if slice_ else made["metrics"]
        place[metric] = figure(values[0], values[1], confidence)
    return made


def _comparisons(rows: Sequence[Mapping[str, Any]], samples: Sequence[Any], k: int, confidence: float) -> list[dict]:
    """Every trained row against every baseline and its recipe's earlier stage; every recipe's last against the others'."""
    records = []
    for i, one in enumerate(rows):
        for j, other in enumerate(rows):
            is_earlier = one["recipe"] == other["recipe"] and (one["model"], other["model"]) == ("rl", "sft")
            is_rival = one["final"] and other["final"] and i < j and other["recipe"] not in (None, one["recipe"])
            if one["recipe"] is not None and (other["recipe"] is None or is_earlier or is_rival):
                records += [
                    {"row": one["label"], "against": other["label"], "metric": metric}
                    | difference(samples[i]["", metric], samples[j]["", metric], confidence)
                    for metric in (f"hr@{k}", f"ndcg@{k}")
                ]
    return records


def _cost(row: Mapping[str, Any]) -> dict[str, float | None]:
    """Mean seconds of training and lists a second, over the seeds; stages read from the cache count what they took."""
    model, reports = row["model"], row["reports"]
    if row["recipe"] is None:
        costs = [r.get("baselines", {}).get(model, {}) for r in reports]
        return {name: _mean(c.get(key) for c in costs) for name, key in _BASELINE_COST.items()}
    stages = TRAINED[: TRAINED.index(model) + 1]
    seconds = [sum(s.get("computed_seconds", 0) for s in r["stages"] if s["name"] in stages) for r in reports]
    speed = [r["decode"].get("users_per_s_by_model", {}).get(model) for r in reports]
    return {"train_seconds": _mean(seconds), "lists_per_s": _mean(speed)}


_BASELINE_COST = {"train_seconds": "fit_seconds", "lists_per_s": "users_per_s"}


def _about(name: str, runs: Sequence[Report]) -> dict[str, Any]:
    """What a recipe measured along the way, means over its seeds."""
    sft = [r.get("training", {}).get("sft", {}) for r in runs]
    sid = [r.get("sid", {}) for r in runs]
    config = runs[0]["config"]
    return {
        "name": name,
        "ids": config.get("sid", {}).get("method"),
        "collision_rate_raw": _mean(s.get("collision_rate_raw") for s in sid),
        "shortened_by": _mean(s.get("shortened_by") for s in sid),
        "base": config.get("base", {}).get("model"),
        "adapter": config.get("sft", {}).get("adapter"),
        "trainable_share": _mean(s.get("trainable_share") for s in sft),
        "weight_bytes": _mean(s.get("weight_bytes") for s in sft),
        "peak_gpu_bytes": _mean(s.get("peak_gpu_bytes") for s in sft),
        "algorithm": config.get("rl", {}).get("algorithm"),
    }


def _mean(values: Any) -> float | None:
    found = [v for v in values if v is not None]
    return round(sum(found) / len(found), 6) if found else None


def _table(rows: Sequence[Mapping[str, Any]], k: int) -> tuple[list[str], list[list[str]]]:
    columns = ["Model", f"HR@{k}", "interval", f"NDCG@{k}", "interval", "Seeds"]
    cells = []
    for row in rows:
        found = [row["metrics"][m] for m in (f"hr@{k}", f"ndcg@{k}")]
        cells.append(
            [row["label"], *(c for f in found for c in (f"{f['mean']:.4f}", span(f["ci"]))), str(len(row["seeds"]))]
        )
    return columns, cells


def _flatten(value: Any, at: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        return {k: v for n, inner in value.items() for k, v in _flatten(inner, f"{at}.{n}" if at else str(n)).items()}
    return {at: value}
