"""Results in the Prefect UI: artifacts with keys, so that each has a history over the runs of the same name."""

import html
import os
import re
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.report_markdown import comparison_in_markdown, data_in_markdown, run_in_markdown
from genrec.report.results import terminal_rows
from genrec.serve.batch.words import in_words
from genrec.store.local import Store


def publish_report(report: dict[str, Any], store: Store) -> None:
    """The report of one run, and its table of results, which the UI and its API can read figures from."""
    name, folder = _slug(report["name"]), store.run_path(report["run_id"])
    html = (folder / "report.html").read_text(encoding="utf-8")
    text = run_in_markdown(report, html, folder, _link(report["run_id"], "report.html"))
    create_markdown_artifact(text, key=f"{name}-report", description=f"Report of run {report['run_id']}")
    if "data" in report:
        text = data_in_markdown(report, html, _link(report["run_id"], "report.html"))
        create_markdown_artifact(text, key=f"{name}-data", description=f"Data of run {report['run_id']}")
    columns, rows = terminal_rows(report)
    if rows:
        _table(f"{name}-results", f"Results: {report['protocol']['short']}", columns, rows)


def publish_comparison(comparison: dict[str, Any], run_id: str, store: Store) -> None:
    """The report of a comparison and its table."""
    html = (store.run_path(run_id) / "comparison.html").read_text(encoding="utf-8")
    text = comparison_in_markdown(comparison, html, _link(run_id, "comparison.html"))
    create_markdown_artifact(text, key="comparison-report", description=f"Report of comparison {run_id}")
    about = f"HR and NDCG of every recipe; they differ in: {', '.join(comparison['differing']) or 'nothing'}"
    _table("comparison-results", about, comparison["columns"], comparison["table"])


def publish_recommendations(name: str, made: dict[str, Any]) -> None:
    """What was made for the customers, in sentences."""
    lines = "\n".join(f"- {_as_text(line)}" for line in in_words(made))
    text = f"# {name}: lists for every customer\n\n{lines}\n"
    about = f"{made['users']:,} lists of run {made['run_id']}"
    create_markdown_artifact(text, key=f"{_slug(name)}-recommendations", description=about)


def _table(key: str, description: str, columns: list[str], rows: list[list[str]]) -> None:
    """Columns of one name are told apart: the interval after HR@10 becomes `HR@10 95%`."""
    names = [c if columns.count(c) == 1 else f"{columns[i - 1]} {c}" for i, c in enumerate(columns)]
    create_table_artifact([dict(zip(names, row, strict=True)) for row in rows], key=key, description=description)


def _link(run_id: str, file: str) -> str | None:
    """Where a page is served, if it is."""
    address = os.environ.get("GENREC_REPORTS_URL")
    return f"{address}/{run_id}/{file}" if address else None


def _as_text(line: str) -> str:
    """A line whose signs mean nothing in Markdown: it may hold ids out of the data."""
    return re.sub(r"([\\`*_\[\]()#|~!])", r"\\\1", html.escape(line, quote=False))


def _slug(text: str) -> str:
    """Lowercase letters, digits and dashes: what a key may hold."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60]
