"""The facts of a run, read from its artifacts: what report.json holds.

A run may have stopped early: a section is there when its stage is.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from genrec.data import quality
from genrec.measure.comparison import DIGITS, TRAINED
from genrec.measure.predictions import FACTS_FILE, METRICS_FILE
from genrec.report import words
from genrec.report.results import of_run

_MANIFEST = "manifest.json"  # the store's; holds the stage's summary


class RunRecord(TypedDict):
    """What a report is made of. `artifacts` maps a stage to its finished folder; missing stages did not run."""

    run_id: str
    config: dict[str, Any]  # the whole configuration as plain data
    stages: Sequence[Mapping[str, Any]]  # name, key, status (computed | cached), seconds, reason
    artifacts: Mapping[str, Path | str]
    started_at_unix_s: NotRequired[int]
    promotion: NotRequired[Mapping[str, Any]]  # what became of the model: see tasks/stages/promote.py
    warnings: NotRequired[Sequence[str]]  # sentences on what a reader should know of this run


def collect(run: RunRecord) -> dict[str, Any]:
    """report.json as data.

    Always: run_id, name, stages, config (started_at_unix_s, promotion and warnings where given). With their stages: data
    (users, items, interactions, split, quarantined by reason, items_without_metadata, items_without_text, changes by
    rule, quality: see `genrec.data.quality`), sid (method, items, collision_rate_raw, collision_rate,
    utilization by level), training {sft, rl}, ranking (where it is enabled; see `genrec.measure.ranked`), metrics, comparisons, score (shares by trained model), identical (a model
    that is another one: {"rl": "sft"}; its figures stand under both names), verdict (sentences), decode (users_per_s,
    invalid) and protocol.
    """
    config, folders = run["config"], {stage: Path(folder) for stage, folder in run["artifacts"].items()}
    summaries = {stage: _summary(folder) for stage, folder in folders.items()}
    report: dict[str, Any] = {"run_id": run["run_id"], "name": config.get("name", run["run_id"])}
    if "started_at_unix_s" in run:
        report["started_at_unix_s"] = run["started_at_unix_s"]
    report["stages"] = [dict(stage) for stage in run["stages"]]
    if "ingest" in summaries:
        report["data"] = _data(summaries, folders, config)
    if "sid" in summaries:
        report["sid"] = _sid(summaries["sid"], config)
    training = {stage: summaries[stage] for stage in TRAINED if stage in summaries}
    if training:
        report["training"] = training
    if "baselines" in summaries:
        report["baselines"] = summaries["baselines"].get("baselines", {})
    if "rank" in folders:
        report["ranking"] = json.loads((folders["rank"] / FACTS_FILE).read_text())
    verdict = []
    if "evaluate" in folders:
        report |= _evaluation(folders["evaluate"], summaries, config)
        results = of_run(report)
        verdict += words.sentences(results)
        if config.get("data", {}).get("source") == "synthetic":
            verdict += words.planted_structure(results)
    if "promotion" in run:
        report["promotion"] = dict(run["promotion"])
        verdict.append(words.promotion(run["promotion"]))
    if verdict:
        report["verdict"] = verdict
    of_stages = [warning for summary in summaries.values() for warning in summary.get("warnings", [])]
    if warnings := [*of_stages, *run.get("warnings", [])]:
        report["warnings"] = warnings
    report["config"] = config
    return report


def _summary(folder: Path) -> dict[str, Any]:
    manifest = folder / _MANIFEST
    return json.loads(manifest.read_text()).get("summary") or {} if manifest.is_file() else {}


def _data(summaries: dict[str, dict], folders: Mapping[str, Path], config: dict[str, Any]) -> dict[str, Any]:
    ingested, prepared = summaries["ingest"], summaries.get("prepare")
    facts = quality.of_ingest(folders["ingest"], ingested)
    data = {
        "source": config.get("data", {}).get("source"),
        "interactions_read": ingested["interactions"],
        "items_described": ingested["catalogue_items"],
        "quarantined": dict(sorted(ingested["quarantined"].items(), key=lambda pair: (-pair[1], pair[0]))),
    }
    data |= {
        name: ingested[name] for name in ("items_without_metadata", "items_without_text", "changes") if name in ingested
    }
    if prepared is None:
        return data | {"quality": facts}
    facts |= quality.of_prepare(folders["ingest"], folders["prepare"], ingested, prepared, config.get("prepare", {}))
    split = {name: prepared[name] for name in ("train_events", "valid_targets", "test_targets")}
    counted = {name: prepared[name] for name in ("users", "items", "interactions")}
    return counted | data | {"split": {"method": prepared["split"], **split}, "quality": facts}


def _sid(summary: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    taken = (
        "perplexity",
        "reconstruction_error",
        "moved_share",
        "prefix_agreement",
        "text_tokens_mean",
        "shortened_by",
    )
    return {
        "method": config.get("sid", {}).get("method"),
        "items": summary["num_items"],
        **{name: summary[name] for name in ("num_levels", "num_codes")},
        **{name: round(summary[name], DIGITS) for name in ("collision_rate_raw", "collision_rate")},
        "utilization": [round(share, DIGITS) for share in summary["utilization"]],
        **{name: summary[name] for name in taken if name in summary},
    }


def _evaluation(folder: Path, summaries: dict[str, dict[str, Any]], config: dict[str, Any]) -> dict[str, Any]:
    result = json.loads((folder / METRICS_FILE).read_text())
    prepare, protocol = config.get("prepare", {}), result["protocol"]
    protocol |= {name: prepare.get(name) for name in ("split", "max_history", "k_core")}
    protocol["k_core_on"] = summaries.get("prepare", {}).get("k_core_on")
    protocol["short"] = words.protocol_in_short(protocol)
    decode = {**summaries["evaluate"].get("decode", {}), "invalid": sum(result["decode"]["invalid"].values())}
    measured = {name: result[name] for name in ("metrics", "comparisons", "score", "identical")}
    return {**measured, "decode": decode, "protocol": protocol}
