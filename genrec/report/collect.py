"""The facts of a run, read from its artifacts: what report.json holds.

A run may have stopped early: a section is there when its stage is.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import pyarrow.parquet as pq

from genrec import tables
from genrec.report import words
from genrec.report.semantic_ids import code_counts, num_codes_of
from genrec.sid.quality import collision_rate
from genrec.tables import read_sids

_MANIFEST = "manifest.json"  # the store's; holds the stage's summary


class RunRecord(TypedDict):
    """What a report is made of. `artifacts` maps a stage to its finished folder; missing stages did not run."""

    run_id: str
    config: dict[str, Any]  # the whole configuration as plain data
    stages: Sequence[Mapping[str, Any]]  # name, key, status (computed | cached), seconds, reason
    artifacts: Mapping[str, Path | str]
    summaries: NotRequired[Mapping[str, Mapping[str, Any]]]  # by stage; else read from the artifact's manifest
    started_at_unix_s: NotRequired[int]
    promotion: NotRequired[Mapping[str, Any]]  # promoted, in_service (run id), why: what became of the model
    warnings: NotRequired[Sequence[str]]  # sentences on what a reader should know of this run


def collect(run: RunRecord) -> dict[str, Any]:
    """report.json as data.

    Always: run_id, name, stages, config (started_at_unix_s, promotion and warnings where given). With their stages: data
    (users, items, interactions, split, quarantined by reason), sid (method, items, collision_rate_raw, collision_rate,
    utilization by level), training {sft, rl}, metrics, comparisons, verdict (sentences), decode (users_per_s, invalid)
    and protocol.
    """
    folders = {stage: Path(folder) for stage, folder in run["artifacts"].items()}
    summaries = {stage: _summary(stage, folder, run) for stage, folder in folders.items()}
    report: dict[str, Any] = {"run_id": run["run_id"], "name": run["config"].get("name", run["run_id"])}
    if "started_at_unix_s" in run:
        report["started_at_unix_s"] = run["started_at_unix_s"]
    report["stages"] = [dict(stage) for stage in run["stages"]]
    if "ingest" in folders:
        report["data"] = _data(folders, summaries, run["config"])
    if "sid" in folders:
        report["sid"] = _sid(folders["sid"], summaries["sid"], run["config"])
    training = {stage: summaries[stage] for stage in ("sft", "rl") if stage in folders}
    if training:
        report["training"] = training
    if "baselines" in folders:
        report["baselines"] = summaries["baselines"].get("baselines", {})
    if "evaluate" in folders:
        report |= _evaluation(folders["evaluate"], summaries["evaluate"], run["config"])
        planted = words.planted_structure(report) if run["config"].get("data", {}).get("source") == "synthetic" else []
        report["verdict"] = [*words.verdict(report), *planted]
    if "promotion" in run:
        report["promotion"] = dict(run["promotion"])
        report["verdict"] = [*report.get("verdict", []), words.promotion(run["promotion"])]
    if run.get("warnings"):
        report["warnings"] = list(run["warnings"])
    report["config"] = run["config"]
    return report


def _summary(stage: str, folder: Path, run: RunRecord) -> dict[str, Any]:
    given = run.get("summaries", {}).get(stage)
    if given is not None:
        return dict(given)
    manifest = folder / _MANIFEST
    return json.loads(manifest.read_text()).get("summary") or {} if manifest.is_file() else {}


def _data(folders: dict[str, Path], summaries: dict[str, dict], config: dict[str, Any]) -> dict[str, Any]:
    reasons = tables.QUARANTINE_FILE.read(folders["ingest"], ["reason"])["reason"]
    quarantined = {c["values"]: c["counts"] for c in reasons.value_counts().to_pylist()}
    read = {"interactions_read": _num_rows(tables.INTERACTIONS_FILE.path(folders["ingest"]))}
    read["items_described"] = _num_rows(tables.ITEMS_FILE.path(folders["ingest"]))
    data: dict[str, Any] = {"source": config.get("data", {}).get("source"), **read}
    data["quarantined"] = dict(sorted(quarantined.items(), key=lambda pair: (-pair[1], pair[0])))
    if "prepare" not in folders:
        return data
    prepared = folders["prepare"]
    rows = {name: _num_rows(prepared / f"{name}.parquet") for name in ("train", "valid", "test")}
    items = tables.TRAIN_FILE.read(prepared, ["items"])["items"]
    train_events = sum(len(chunk.flatten()) for chunk in items.chunks)
    counted = {
        "users": rows["train"],
        "items": _num_rows(tables.CATALOGUE_FILE.path(prepared)),
        "interactions": train_events + rows["valid"] + rows["test"],
    }
    # The stage knows better where the split leaves users or events out of all three files.
    data = {name: summaries["prepare"].get(name, value) for name, value in counted.items()} | data
    data["split"] = {
        "method": config.get("prepare", {}).get("split"),
        "train_events": train_events,
        "valid_targets": rows["valid"],
        "test_targets": rows["test"],
    }
    return data


def _num_rows(path: Path) -> int:
    return pq.read_metadata(path).num_rows


# Taken over from the stage's summary.
_SID_FIGURES = (
    *("perplexity", "reconstruction_error", "moved_share", "prefix_agreement"),
    *("text_tokens_mean", "shortened_by"),
)


def _sid(folder: Path, summary: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    sids = read_sids(folder)
    raw = tables.SIDS_FILE.read(folder, ["raw"])["raw"].combine_chunks()
    counts = code_counts(sids, num_codes_of(config, sids))
    return {
        "method": config.get("sid", {}).get("method"),
        "items": len(sids),
        "num_levels": sids.shape[1],
        "num_codes": len(counts[0]),
        "collision_rate_raw": round(collision_rate(raw.flatten().to_numpy().reshape(sids.shape)), 6),
        "collision_rate": round(collision_rate(sids), 6),
        "utilization": [round(float((level > 0).mean()), 6) for level in counts],
        **{name: summary[name] for name in _SID_FIGURES if name in summary},
    }


def _evaluation(folder: Path, summary: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    result = json.loads((folder / "metrics.json").read_text())
    decode = {**summary.get("decode", {}), "invalid": sum(result["decode"]["invalid"].values())}
    protocol = result["protocol"]
    protocol["split"] = config.get("prepare", {}).get("split")
    protocol["max_history"] = config.get("prepare", {}).get("max_history")
    protocol["short"] = words.protocol_in_short(protocol)
    parts = {name: result[name] for name in ("metrics", "comparisons")}
    return {**parts, "decode": decode, "protocol": protocol}
