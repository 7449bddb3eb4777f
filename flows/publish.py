"""Results in the Prefect UI: artifacts with keys, so that each has a history over the runs of the same name."""

import os
import re
from pathlib import Path
from typing import Any

from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from genrec.report import page
from genrec.report.page import duration
from genrec.report.result_plots import plots_of_run
from genrec.report.results import terminal_rows
from genrec.report.training import training_plots
from genrec.store.local import Store


def publish_report(report: dict[str, Any], store: Store) -> None:
    """Table of results, summary, plots and the link to report.html of one run."""
    name, folder = _slug(report["name"]), store.run_path(report["run_id"])
    columns, rows = terminal_rows(report)
    if rows:
        create_table_artifact(
            [dict(zip(_distinct(columns), row, strict=True)) for row in rows],
            key=f"{name}-results",
            description=report["protocol"]["short"],
        )
    create_markdown_artifact(_summary(report, folder), key=f"{name}-report", description=f"Run {report['run_id']}")
    _link(f"{name}-report-page", report["run_id"], "report.html")
    for title, svg in _plots(report, store):
        _image(f"{name}-plot-{_slug(title)}", title, svg, folder)


def publish_comparison(comparison: dict[str, Any], run_id: str) -> None:
    """Table, summary and page of a comparison."""
    create_table_artifact(
        [dict(zip(_distinct(comparison["columns"]), row, strict=True)) for row in comparison["table"]],
        key="comparison-results",
        description=f"HR and NDCG of every recipe; they differ in: {', '.join(comparison['differing']) or 'nothing'}",
    )
    summary = "\n".join(f"- {sentence}" for sentence in comparison["summary"])
    create_markdown_artifact(
        f"# Comparison\n\n{summary}\n", key="comparison-summary", description=f"Comparison {run_id}"
    )
    _link("comparison-page", run_id, "comparison.html")


def _summary(report: dict[str, Any], folder: Path) -> str:
    sentences = [*report.get("verdict", ["Stopped before the evaluation."]), *report.get("warnings", [])]
    verdict = "\n".join(f"- {sentence}" for sentence in sentences)
    rows = "\n".join(
        f"| {s['name']} | {s['status']} | {duration(s['seconds'])} | {s['reason'].replace('|', '/')} | `{s['key']}` |"
        for s in report["stages"]
    )
    return (
        f"# {report['name']}\n\n{verdict}\n\n"
        f"| stage | | time | why | artifact |\n|---|---|---|---|---|\n{rows}\n\n"
        f"Folder of the report: `{folder}`\n"
    )


def _plots(report: dict[str, Any], store: Store) -> list[tuple[str, str]]:
    """(title, svg) of the plots of results and of training."""
    drawn = plots_of_run(report) if "metrics" in report else []
    for stage in report["stages"]:
        if stage["name"] in ("sft", "rl"):
            drawn += [
                {**plot, "title": f"{stage['name']} {plot['title']}"}
                for plot in training_plots(stage["name"], store.object_path(stage["key"], stage["digest"]))
            ]
    return [(plot["title"], plot["svg"]) for plot in drawn]


def _image(key: str, title: str, svg: str, folder: Path) -> None:
    """The plot as a file beside the report, shown where reports are served."""
    address = os.environ.get("GENREC_REPORTS_URL")
    if address:
        name = f"plot-{_slug(title)}.svg"
        (folder / name).write_text(_standalone(svg), encoding="utf-8")
        create_image_artifact(f"{address}/{folder.name}/{name}", key=key, description=title)


def _standalone(svg: str) -> str:
    """A plot of the report as a picture of its own: on a card, with the colours and the font that the page gives it."""
    colours = re.search(
        r":root\s*\{[^}]*\}", (Path(page.__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")
    )
    style = f"{colours.group() if colours else ''} svg {{ background: var(--card); font-family: var(--font); }}"
    return re.sub(r"(<svg[^>]*>)", lambda start: f"{start.group()}<style>{style}</style>", svg, count=1)


def _link(key: str, run_id: str, page: str) -> None:
    address = os.environ.get("GENREC_REPORTS_URL")
    if address:
        create_link_artifact(f"{address}/{run_id}/{page}", link_text=page, key=key, description=f"Run {run_id}")


def _distinct(columns: list[str]) -> list[str]:
    """Column names without repetition: the interval after HR@10 becomes `HR@10 95%`."""
    return [c if columns.count(c) == 1 else f"{columns[i - 1]} {c}" for i, c in enumerate(columns)]


def _slug(text: str) -> str:
    """Lowercase letters, digits and dashes: what a key may hold."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60]
