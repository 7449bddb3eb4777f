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

from genrec.measure.comparison import TRAINED
from genrec.report import page
from genrec.report.page import duration
from genrec.report.plots import Plot
from genrec.report.result_plots import result_plots, slice_plots
from genrec.report.results import of_run, terminal_rows
from genrec.report.training import training_plots
from genrec.store.local import Store


def publish_report(report: dict[str, Any], store: Store) -> None:
    """Table of results, summary, plots and the link to report.html of one run."""
    name, run_id, folder = _slug(report["name"]), report["run_id"], store.run_path(report["run_id"])
    columns, rows = terminal_rows(report)
    if rows:
        _table(f"{name}-results", report["protocol"]["short"], columns, rows)
    stages = "\n".join(
        f"| {s['name']} | {s['status']} | {duration(s['seconds'])} | {s['reason'].replace('|', '/')} | `{s['key']}` |"
        for s in report["stages"]
    )
    sentences = [*report.get("verdict", ["Stopped before the evaluation."]), *report.get("warnings", [])]
    more = f"| stage | | time | why | artifact |\n|---|---|---|---|---|\n{stages}\n\nFolder of the report: `{folder}`\n"
    _summary(f"{name}-report", f"Run {run_id}", report["name"], sentences, more)
    address = os.environ.get("GENREC_REPORTS_URL")
    if address:
        _link(f"{name}-report-page", address, run_id, "report.html")
        for plot in _plots(report, store):
            file = f"plot-{_slug(plot.title)}.svg"
            (folder / file).write_text(_standalone(plot.svg), encoding="utf-8")
            shown = f"{address}/{folder.name}/{file}"
            create_image_artifact(shown, key=f"{name}-plot-{_slug(plot.title)}", description=plot.title)


def publish_comparison(comparison: dict[str, Any], run_id: str) -> None:
    """Table, summary and page of a comparison."""
    about = f"HR and NDCG of every recipe; they differ in: {', '.join(comparison['differing']) or 'nothing'}"
    _table("comparison-results", about, comparison["columns"], comparison["table"])
    _summary("comparison-summary", f"Comparison {run_id}", "Comparison", comparison["summary"])
    address = os.environ.get("GENREC_REPORTS_URL")
    if address:
        _link("comparison-page", address, run_id, "comparison.html")


def _table(key: str, description: str, columns: list[str], rows: list[list[str]]) -> None:
    """Columns of one name are told apart: the interval after HR@10 becomes `HR@10 95%`."""
    names = [c if columns.count(c) == 1 else f"{columns[i - 1]} {c}" for i, c in enumerate(columns)]
    create_table_artifact([dict(zip(names, row, strict=True)) for row in rows], key=key, description=description)


def _summary(key: str, description: str, title: str, sentences: list[str], more: str = "") -> None:
    said = "\n".join(f"- {sentence}" for sentence in sentences)
    create_markdown_artifact(f"# {title}\n\n{said}\n\n{more}", key=key, description=description)


def _link(key: str, address: str, run_id: str, file: str) -> None:
    create_link_artifact(f"{address}/{run_id}/{file}", link_text=file, key=key, description=f"Run {run_id}")


def _plots(report: dict[str, Any], store: Store) -> list[Plot]:
    """The plots of results and of training, each under a title of its own."""
    drawn = [p for draw in (result_plots, slice_plots) for p in draw(of_run(report))] if "metrics" in report else []
    for stage in (s for s in report["stages"] if s["name"] in TRAINED):
        plots = training_plots(stage["name"], store.object_path(stage["key"], stage["digest"]))
        drawn += [plot._replace(title=f"{stage['name']} {plot.title}") for plot in plots]
    return drawn


def _standalone(svg: str) -> str:
    """A plot of the report as a picture of its own: on a card, with the colours and the font that the page gives it."""
    css = (Path(page.__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")
    colours = re.search(r":root\s*\{[^}]*\}", css)
    style = f"{colours.group() if colours else ''} svg {{ background: var(--card); font-family: var(--font); }}"
    return re.sub(r"(<svg[^>]*>)", lambda start: f"{start.group()}<style>{style}</style>", svg, count=1)


def _slug(text: str) -> str:
    """Lowercase letters, digits and dashes: what a key may hold."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60]
