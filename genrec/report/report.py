"""report.json and report.html of a run.

The page is one file: style and plots are inside, nothing is fetched and nothing is executed. Everything that came from
data or config is escaped.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from genrec.report import plots_sid, sections
from genrec.report.collect import RunRecord, collect, protocol_in_words

__all__ = ["RunRecord", "terminal_rows", "write_report"]


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
        shown["quarantine"] = sections.quarantine_plot(report)
    if "sid" in report:
        shown["codes"] = sections.code_plot(artifacts["sid"], report["config"])
        shown["sid_plots"] = plots_sid.sid_plots(artifacts["sid"])
        if "prepare" in artifacts:
            shown["sid_examples"] = sections.sid_examples(artifacts["sid"], artifacts["prepare"])
    shown["training"] = {
        stage: sections.training_plots(stage, artifacts[stage]) for stage in ("sft", "rl") if stage in artifacts
    }
    if "metrics" in report:
        shown |= {
            "tables": sections.result_tables(report),
            "metric_plots": sections.metric_plots(report),
            "protocol": protocol_in_words(report["protocol"]),
        }
        if "prepare" in artifacts:
            shown["examples"] = sections.recommendation_examples(report, artifacts["evaluate"], artifacts["prepare"])
    return shown


def render(template: str, **values: Any) -> str:
    """A template of this package with HTML escaping on; SVG of our own making goes in by the `svg` filter."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("genrec.report", "templates"),
        autoescape=True,
        undefined=jinja2.ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["svg"] = Markup
    environment.filters["thousands"] = lambda v: f"{v:,}" if isinstance(v, int) else str(v)
    environment.filters["percent"] = lambda v: f"{v:.1%}"
    environment.filters["whole_percent"] = lambda v: f"{v:.0%}"
    environment.filters["duration"] = duration
    environment.filters["utc"] = lambda s: time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(s))
    return environment.get_template(template).render(**values)


def duration(seconds: float) -> str:
    """3.2 s, 4 min 05 s, 1 h 02 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def terminal_rows(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """(columns, rows) of the result table as text, best model first; no rows when nothing was evaluated."""
    if "metrics" not in report:
        return [], []
    k, level = report["protocol"]["headline_k"], f"{report['protocol']['confidence']:.0%}"
    columns = ["Model", f"HR@{k}", level, f"NDCG@{k}", level, f"Coverage@{k}"]
    rows = []
    for model in sections.ranked_models(report):
        entry = report["metrics"][model]
        cells = [c for name in (f"hr@{k}", f"ndcg@{k}") for c in (f"{entry[name]:.4f}", _short(entry[f"{name}_ci"]))]
        rows.append([model, *cells, f"{entry[f'coverage@{k}']:.1%}"])
    return columns, rows


def _short(ci: tuple[float, float] | list[float]) -> str:
    """An interval narrow enough for a terminal of 80 columns."""
    return f"{ci[0]:.3f}-{ci[1]:.3f}"


def span(ci: tuple[float, float] | list[float]) -> str:
    """An interval in a table cell."""
    return f"{ci[0]:.4f} to {ci[1]:.4f}"
