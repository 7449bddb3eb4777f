"""Several runs side by side: their results, and the settings in which they differ."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genrec.errors import DataError
from genrec.evaluate import plots
from genrec.evaluate.report import render, span
from genrec.evaluate.verdict import TRAINED

# What must be equal for figures to be comparable.
_PROTOCOL = ("split", "num_candidates", "test_rows", "seen_items", "max_history", "headline_k")
_PLACES = ("name", "store", "resources")  # settings that say where and under what name, not what


def read_reports(files: Sequence[Path]) -> list[dict[str, Any]]:
    """Load report.json files. Raises DataError naming a file that is not one."""
    reports = []
    for file in files:
        try:
            report = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{file}: not a readable report.json ({error})") from None
        if not isinstance(report, dict) or "run_id" not in report:
            raise DataError(f"{file}: not a report.json of genrec (no run_id)")
        reports.append(report)
    return reports


def compare_reports(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge reports (as in report.json) into one table.

    Returns {columns, rows (text), runs [{run_id, name, settings, metrics}], differing [setting], warnings}. A baseline
    that scores the same in several runs is listed once. Raises DataError when no run was evaluated.
    """
    evaluated = [r for r in reports if "metrics" in r]
    if not evaluated:
        raise DataError("nothing to compare: none of the runs was evaluated")
    k = evaluated[0]["protocol"]["headline_k"]
    settings = [_flatten({n: v for n, v in r["config"].items() if n not in _PLACES}) for r in evaluated]
    names = sorted(set().union(*settings))
    differing = [n for n in names if len({json.dumps(s.get(n), sort_keys=True) for s in settings}) > 1]
    entries = _entries(evaluated, k)
    columns = ["Run", "Model", f"HR@{k}", "interval", f"NDCG@{k}", "interval"]
    rows = [
        [run, model]
        + [c for metric in (f"hr@{k}", f"ndcg@{k}") for c in (f"{entry[metric]:.4f}", span(entry[f"{metric}_ci"]))]
        for run, model, entry in entries
    ]
    runs = [
        {
            "run_id": report["run_id"],
            "name": report["name"],
            "settings": {n: own.get(n) for n in differing},
            "metrics": report["metrics"],
            "verdict": report["verdict"],
        }
        for report, own in zip(evaluated, settings, strict=True)
    ]
    return {
        "columns": columns,
        "rows": rows,
        "runs": runs,
        "differing": differing,
        "warnings": _warnings(reports, evaluated),
        "headline_k": k,
    }


def write_comparison(reports: Sequence[Mapping[str, Any]], folder: Path) -> dict[str, Any]:
    """Write comparison.json and comparison.html; returns what comparison.json holds, and "html", the page's path."""
    comparison = compare_reports(reports)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "comparison.json").write_text(json.dumps(comparison, indent=1) + "\n", encoding="utf-8")
    page = folder / "comparison.html"
    page.write_text(render("compare.html.j2", comparison=comparison, plot=_plot(reports)), encoding="utf-8")
    return comparison | {"html": str(page)}


def _entries(reports: Sequence[Mapping[str, Any]], k: int) -> list[tuple[str, str, Mapping[str, Any]]]:
    """(run, model, figures), best NDCG first; runs without the cut-off k are left out."""
    found: dict[tuple[str, ...], tuple[str, str, Mapping[str, Any]]] = {}
    for report in reports:
        for model, entry in report["metrics"].items():
            if f"ndcg@{k}" not in entry:
                continue
            if model in TRAINED:
                found[report["run_id"], model] = (report["name"], model, entry)
            else:
                found.setdefault((model, json.dumps(entry, sort_keys=True)), ("baseline", model, entry))
    return sorted(found.values(), key=lambda e: -e[2][f"ndcg@{k}"])


def _warnings(reports: Sequence[Mapping[str, Any]], evaluated: Sequence[Mapping[str, Any]]) -> list[str]:
    missing = [r["name"] for r in reports if "metrics" not in r]
    texts = [f"not evaluated and left out: {', '.join(missing)}"] if missing else []
    for field in _PROTOCOL:
        values = {json.dumps(r["protocol"].get(field)) for r in evaluated}
        if len(values) > 1:
            texts.append(f"the runs differ in {field} ({', '.join(sorted(values))}): their figures are not comparable")
    return texts


def _plot(reports: Sequence[Mapping[str, Any]]) -> str:
    evaluated = [r for r in reports if "metrics" in r]
    k = evaluated[0]["protocol"]["headline_k"]
    rows = []
    for run, model, entry in _entries(evaluated, k):
        low, high = entry[f"ndcg@{k}_ci"]
        label = model if run == "baseline" else f"{run}: {model}"
        rows.append(plots.Interval(label, entry[f"ndcg@{k}"], low, high, emphasis=run != "baseline"))
    return plots.interval_plot("compare", rows, f"NDCG@{k}")


def _flatten(value: Any, at: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        return {k: v for n, inner in value.items() for k, v in _flatten(inner, f"{at}.{n}" if at else str(n)).items()}
    return {at: value}
