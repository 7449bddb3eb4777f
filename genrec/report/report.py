"""report.json and report.html of a run.

The page is one file: style and plots are inside, nothing is fetched and nothing is executed. Everything that came from
data or config is escaped.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from genrec.data.coverage import changes_in_words
from genrec.measure.comparison import TRAINED
from genrec.report.before_after import before_after_table
from genrec.report.collect import RunRecord, collect
from genrec.report.data_quality import filter_table, quality_plots, quarantine_plot, sentences
from genrec.report.examples import recommendation_examples
from genrec.report.page import of_results, render, write
from genrec.report.ranking import ranking_section
from genrec.report.results import of_run, run_tables
from genrec.report.semantic_ids import code_plot, sid_examples, sid_plots
from genrec.report.training import training_plots
from genrec.report.words import protocol_in_words


def write_report(run: RunRecord, folder: Path) -> dict[str, Any]:
    """Write report.json and report.html into `folder` and return what report.json holds.

    Sections whose stage did not run are left out. See `genrec.report.collect` for the fields.
    """
    report = collect(run)
    artifacts = {stage: Path(path) for stage, path in run["artifacts"].items()}
    write(folder, "report", report, render("report.html.j2", **page(report, artifacts)))
    return report


def page(report: Mapping[str, Any], artifacts: Mapping[str, Path]) -> dict[str, Any]:
    """Everything the template needs."""
    shown: dict[str, Any] = {
        "report": report,
        "verdict": report.get("verdict"),
        "warnings": report.get("warnings"),
        "config": yaml.safe_dump(report["config"], sort_keys=False),
        "training": {stage: training_plots(stage, artifacts[stage]) for stage in TRAINED if stage in artifacts},
    }
    shown["before_after"] = before_after_table(report.get("training", {}).get("rl", {}))
    if "data" in report:
        shown["changes"] = changes_in_words(report["data"].get("changes", {}))
        shown |= _data(report["data"])
    if "sid" in report:
        sid = artifacts["sid"]
        shown["sid_plots"] = [code_plot(sid, report["sid"]["num_codes"]), *sid_plots(sid)]
        if "prepare" in artifacts:
            shown["sid_examples"] = sid_examples(sid, artifacts["prepare"])
    if "ranking" in report:
        shown["ranking"] = ranking_section(report["ranking"], artifacts.get("prepare"))
    if "metrics" in report:
        shown |= of_results(of_run(report), run_tables(report))
        shown["protocol"] = protocol_in_words(report["protocol"])
        if "prepare" in artifacts:
            shown["examples"] = recommendation_examples(report, artifacts["evaluate"], artifacts["prepare"])
    return shown


def _data(data: Mapping[str, Any]) -> dict[str, Any]:
    """What is shown of the quality of the data."""
    quality, quarantined = data.get("quality", {}), data["quarantined"]
    steps = quality.get("filters")
    return {
        "data_sentences": sentences(quality),
        "data_plots": [*([quarantine_plot(quarantined)] if quarantined else []), *quality_plots(quality)],
        "filters": filter_table(steps) if steps else None,
    }
