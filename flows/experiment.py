"""Who wins an experiment: on the console, and as a page of the Prefect UI."""

import time
from typing import Any

from prefect.artifacts import create_markdown_artifact
from rich.console import Console
from rich.table import Table

from flows.stores import named
from genrec.serve.experiment.report import report_on
from genrec.store.remote import local_root

_COLUMNS = ("arm", "users", "lists", "counted users", "lists with a click", "with a purchase")


def show(out: Console, name: str, store: str | None, events: str) -> None:
    """Make the report of an experiment and print it."""
    root = local_root(named(store))
    report = report_on(root, name, events)
    table = Table(title=_title(report), title_justify="left")
    for column in _COLUMNS:
        table.add_column(column, justify="left" if column == "arm" else "right")
    for row in _rows(report):
        table.add_row(*row)
    out.print(table)
    for line in [*_differences(report), report["words"], *report["warnings"]]:
        out.print(line, soft_wrap=True, markup=False)


def publish(name: str, store: str | None, events: str) -> dict[str, Any]:
    """Make the report of an experiment and publish it as an artifact, which has a history over the days."""
    report = report_on(local_root(named(store)), name, events)
    key = "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-")
    create_markdown_artifact(in_markdown(report), key=f"experiment-{key}", description=report["words"])
    return report


def in_markdown(report: dict[str, Any]) -> str:
    """The report as a page."""
    lines = [f"# {_title(report)}", "", f"**{report['words']}**", ""]
    lines += [f"> {warning}\n" for warning in report["warnings"]]
    lines += [" | ".join(["", *_COLUMNS, ""]).strip(), "|---" * len(_COLUMNS) + "|"]
    lines += [" | ".join(["", *row, ""]).strip() for row in _rows(report)]
    return "\n".join([*lines, "", *(f"- {line}" for line in _differences(report)), ""])


def _title(report: dict[str, Any]) -> str:
    days = [time.strftime("%Y-%m-%d", time.gmtime(report[end] / 1000)) for end in ("first_shown", "last_shown")]
    return f"Experiment {report['name']} ({report['settings']['mode']}), shown {days[0]} to {days[1]}"


def _rows(report: dict[str, Any]) -> list[list[str]]:
    return [
        [
            arm["arm"],
            *(f"{arm[column]:,}" for column in ("users", "lists", "counted_users")),
            *(f"{arm[column]:.2%}" for column in ("click_rate", "purchase_rate")),
        ]
        for arm in report["arms"]
    ]


def _differences(report: dict[str, Any]) -> list[str]:
    settings = report["settings"]
    of = "users' lists with a" if settings["mode"] == "split" else "users' lists won by a"
    lines = []
    for outcome, found in report["differences"].items():
        numbers = "not known yet"
        if found["mean"] is not None:
            low, mean, high = (f"{100 * found[name]:+.2f}" for name in ("low", "mean", "high"))
            numbers = f"{mean} points [{low}, {high}] ({settings['confidence']:.0%}, on all days together)"
        lines.append(f"{of} {outcome}, candidate minus in service: {numbers}, {found['users']:,} users")
    return lines
