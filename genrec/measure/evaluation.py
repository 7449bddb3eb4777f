"""The evaluate stage: parts of predictions and the baselines in, predictions.parquet and metrics.json out."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from genrec import tables
from genrec.config import EvaluateConfig
from genrec.data.targets import Targets
from genrec.errors import DataError
from genrec.list_metrics import ListMetrics, first_k
from genrec.measure.comparison import DIGITS, RANKED, TRAINED, Comparison, pairs, popularity_slices, rows_of_run
from genrec.measure.predictions import METRICS_FILE, PROTOCOLS, baseline_names, iterate_parts, read_counts
from genrec.measure.rows import described_sample, read_rows, sampled
from genrec.measure.score_parts import PART_OF

_OTHER = {"drop": "seen_kept", "keep": "seen_dropped"}  # where figures under the other protocol stand


def headline_k(config: EvaluateConfig) -> int:
    """The cut-off of comparisons, slices and coverage: 10 where it is configured, else the largest."""
    return 10 if 10 in config.ks else max(config.ks)


def merge(
    parts: Path,
    prepared: Path,
    config: EvaluateConfig,
    out: Path,
    *,
    baselines: Path | None = None,
    ranked: Path | None = None,
    identical: Mapping[str, str] | None = None,
) -> dict:
    """Join the parts of all models found in the folders `parts`, `baselines` and `ranked` and measure them.

    `ranked` holds the lists of the rank stage, rows `rank` and `rerank`. `identical` names a model that is another one and was not decoded again: {"rl": "sft"}.

    Writes predictions.parquet (tables.PREDICTIONS; by model, protocol, test row) and metrics.json with

    - metrics {model: {"hr@5", "hr@5_ci": [low, high], ..., "coverage@10" and the others of
      `genrec.list_metrics`, "slices": {"head" | "tail" | "cold":
      {"targets", "hr@10", "hr@10_ci", ...}}, "seen_kept": {the same without slices}}} (`seen_dropped` where
      `config.seen_items` is keep); a part of a trained model's score (`sft_ids`; see `genrec.measure.score_parts`) has
      figures under the headline protocol alone, a model of `identical` has those of the one it is,
    - comparisons [{model, against, metric, difference, ci, share_in_favour, relative}], paired on the users,
    - score {trained model: {"ids" | "dense" | "transitions": share}}, of the parts it has, and `identical`,
    - decode {"invalid": {model: count}} and protocol, with `sample` where the rows are those of some of the users.

    Returns a summary with the speeds, which stand there alone: the artifact has the same bytes for the same predictions.
    Raises DataError when a shard is missing, there is no test row or no model.
    """
    rows = read_rows(prepared, "test", sampled(prepared, "test", config.sample_users))
    if not len(rows):
        raise DataError(f"{prepared / 'test.parquet'}: no test row; no user has enough events (lower prepare.k_core?)")
    counted = {folder: read_counts(folder) for folder in (parts, baselines, ranked) if folder is not None}
    counts = [count for records in counted.values() for count in records]
    folders = {count["model"]: folder for folder, records in counted.items() for count in records}
    order = [name for m in TRAINED for name in (m, *(part for part, (owner, _) in PART_OF.items() if owner == m))]
    order += [*RANKED, *baseline_names(config.baselines)]
    models = [m for m in order if m in folders]
    if not models:
        raise DataError(f"{parts}: no predictions to merge")
    table = tables.CATALOGUE_FILE.read(prepared, ["train_count", "categories"])
    train_counts = table["train_count"].to_numpy()

    out.mkdir(parents=True, exist_ok=True)
    listed = ListMetrics(table, headline_k(config), config.head_share)
    ranks, about_lists = _join(
        {model: folders[model] for model in models}, rows, config, listed, tables.PREDICTIONS_FILE.path(out)
    )
    metrics, comparisons = measure(ranks, rows, train_counts, config)
    for (model, protocol), figures in about_lists.items():
        entry = metrics[model] if protocol == config.seen_items else metrics[model][_OTHER[config.seen_items]]
        entry |= {name: round(value, DIGITS) for name, value in figures.items()}
    identical = dict(identical or {})
    sample = described_sample(prepared, "test", config.sample_users)
    metrics |= {model: metrics[other] for model, other in identical.items()}
    result: dict[str, Any] = {
        "metrics": {m: metrics[m] for m in order if m in metrics},
        "comparisons": comparisons,
        "score": {count["model"]: count["score"] for count in counts if "score" in count},
        "identical": identical,
        "decode": {"invalid": {m: sum(c["invalid"] for c in counts if c["model"] == m) for m in models}},
        "protocol": protocol_of(rows, train_counts, config) | ({"sample": sample} if sample else {}),
    }
    (out / METRICS_FILE).write_text(json.dumps(result, indent=1, sort_keys=False) + "\n")
    return {"decode": _speeds(counts, config)}


def _protocols(model: str, config: EvaluateConfig) -> Sequence[str]:
    """Those under which a model is measured."""
    return [config.seen_items] if model in PART_OF else PROTOCOLS


def _join(
    folders: dict[str, Path], rows: Targets, config: EvaluateConfig, listed: ListMetrics, path: Path
) -> tuple[dict[tuple[str, str], NDArray[np.int32]], dict[tuple[str, str], dict[str, float]]]:
    """Write predictions.parquet from each model's folder; give ranks and list metrics by (model, protocol)."""
    ranks: dict[tuple[str, str], NDArray[np.int32]] = {}
    figures: dict[tuple[str, str], dict[str, float]] = {}
    with pq.ParquetWriter(path, tables.PREDICTIONS, compression="zstd") as writer:
        for model, folder in folders.items():
            for protocol in _protocols(model, config):
                of_parts, items = [], []
                for table in iterate_parts(folder, model, protocol, rows):
                    writer.write_table(table)
                    of_parts.append(table["rank"].to_numpy())
                    items.append(first_k(table, headline_k(config)))
                ranks[model, protocol] = np.concatenate(of_parts)
                figures[model, protocol] = listed(np.concatenate(items))
    return ranks, figures


def measure(
    ranks: dict[tuple[str, str], NDArray[np.int32]],
    rows: Targets,
    train_counts: NDArray[np.integer],
    config: EvaluateConfig,
) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """Metrics with intervals by model, and paired comparisons, from ranks int32 [n] by (model, protocol)."""
    k, models = headline_k(config), list(dict.fromkeys(model for model, _ in ranks))
    slices = popularity_slices(train_counts, rows.targets, config.head_share)

    def compared(protocol: str, **sliced: Any) -> Comparison:
        of_protocol = {model: [ranks[model, protocol]] for model in models if (model, protocol) in ranks}
        num_bootstrap, confidence = config.num_bootstrap, config.confidence
        return Comparison(
            of_protocol, rows.users, config.ks, num_bootstrap=num_bootstrap, confidence=confidence, **sliced
        )

    headline = compared(config.seen_items, slices=slices, sliced_k=k)
    other_protocol = "keep" if config.seen_items == "drop" else "drop"
    other = compared(other_protocol)
    metrics = {}
    for model in models:
        figures = headline.figures(model)
        of_slices = {
            name: {"targets": int(slices[name].sum()), **_flat(of_slice)}
            for name, of_slice in figures["slices"].items()
        }
        metrics[model] = {**_flat(figures["metrics"]), "slices": of_slices}
        if (model, other_protocol) in ranks:
            metrics[model][_OTHER[config.seen_items]] = _flat(other.figures(model)["metrics"])
    comparisons = [
        {"model": one.model, "against": against.model, "metric": metric}
        | headline.difference(one.model, against.model, metric)
        for one, against in pairs(rows_of_run(models, "run"))
        for metric in (f"hr@{k}", f"ndcg@{k}")
    ]
    return metrics, comparisons


def _flat(figures: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {key: f[part] for name, f in figures.items() for key, part in ((name, "mean"), (f"{name}_ci", "ci"))}


def protocol_of(rows: Targets, train_counts: NDArray[np.integer], config: EvaluateConfig) -> dict[str, Any]:
    """How the figures were made, as data."""
    return {
        "candidates": "full catalogue",
        "num_candidates": len(train_counts),
        "test_rows": len(rows),
        "test_users": len(np.unique(rows.users)),
        "level": "item",
        "decoding": "beam search constrained to the ids of the catalogue",
        "beam_width": config.beam_width,
        "ks": list(config.ks),
        "headline_k": headline_k(config),
        "seen_items": config.seen_items,
        "head_share": config.head_share,
        "intervals": f"percentile bootstrap over users, {config.num_bootstrap} resamples",
        "confidence": config.confidence,
        "baselines_fitted_on": "training sequences only",
        "ties": "lower item index first",
    }


def _speeds(counts: list[dict], config: EvaluateConfig) -> dict[str, Any]:
    """What decoding took, and how many lists it made a second: each trained model, part of a score, and the former."""
    lists, seconds = Counter[str](), Counter[str]()
    for count in (c for c in counts if c["model"] in (*TRAINED, *PART_OF)):
        lists[count["model"]] += len(_protocols(count["model"], config)) * count["users"]
        seconds[count["model"]] += count["seconds"]
    whole = [model for model in lists if model in TRAINED]
    whole_s = sum(seconds[model] for model in whole)
    return {
        "users_per_s_by_model": {model: lists[model] / seconds[model] for model in lists},
        "users_per_s": sum(lists[model] for model in whole) / whole_s if whole_s else None,
        "seconds": seconds.total(),
    }
