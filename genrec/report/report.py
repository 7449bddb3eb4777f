"""report.json and report.html of a run.

The page is one file: style and plots are inside, nothing is fetched and nothing is executed. Everything that came from
data or config is escaped.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from genrec.report import plots, semantic_ids
from genrec.report.collect import RunRecord, collect
from genrec.report.examples import recommendation_examples
from genrec.report.page import render
from genrec.report.plots import Plot
from genrec.report.result_plots import plots_of_run
from genrec.report.results import run_tables
from genrec.report.training import training_plots
from genrec.report.words import protocol_in_words


def write_report(run: RunRecord, folder: Path) -> dict[str, Any]:
    """Write report.json and report.html into `folder` and return what report.json holds.

    Sections whose stage did not run are left out. See `genrec.report.collect` for the fields.
    """
    report = collect(run)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    artifacts = {stage: Path(path) for stage, path in run["artifacts"].items()}
    (folder / "report.html").write_text(render("report.html.j2", **page(report, artifacts)), encoding="utf-8")
    return report


def page(report: Mapping[str, Any], artifacts: Mapping[str, Path]) -> dict[str, Any]:
    """Everything the template needs."""
    shown: dict[str, Any] = {"report": report, "config": yaml.safe_dump(report["config"], sort_keys=False)}
    if "data" in report:
        shown["quarantine"] = quarantine_plot(report)
    if "sid" in report:
        shown["codes"] = semantic_ids.code_plot(artifacts["sid"], report["config"])
        shown["sid_plots"] = semantic_ids.sid_plots(artifacts["sid"])
        if "prepare" in artifacts:
            shown["sid_examples"] = semantic_ids.sid_examples(artifacts["sid"], artifacts["prepare"])
    shown["training"] = {
        stage: training_plots(stage, artifacts[stage]) for stage in ("sft", "rl") if stage in artifacts
    }
    if "metrics" in report:
        shown |= {
            "tables": run_tables(report),
            "metric_plots": plots_of_run(report),
            "protocol": protocol_in_words(report["protocol"]),
        }
        if "prepare" in artifacts:
            shown["examples"] = recommendation_examples(report, artifacts["evaluate"], artifacts["prepare"])
    return shown


def quarantine_plot(report: Mapping[str, Any]) -> Plot | None:
    """Rows set aside by reason."""
    reasons = report["data"]["quarantined"]
    if not reasons:
        return None
    total = sum(reasons.values())
    svg = plots.bar_plot("quarantine", {k.replace("_", " "): v for k, v in reasons.items()}, "rows set aside")
    return {"title": "Quarantine", "svg": svg, "note": f"{total:,} rows were not usable and were set aside, by reason."}
