"""The report of a run, and of a comparison, as one Markdown document for the Prefect UI, in the order a person reads.

The UI lists the artifacts of a run by ids that are random: what belongs in an order has to be in one artifact. Pictures
are inside, as data, so that they show wherever the UI does.
"""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from genrec.data.coverage import read_in_words
from genrec.report import data_quality, page
from genrec.report.data_quality import filter_table
from genrec.report.page import duration, plots_of
from genrec.report.plots import Plot
from genrec.report.results import rows_of, terminal_rows
from genrec.report.words import parts_in_words

_TITLES = {"results": "Plots", "slices": "Popular, rare and new items", "sft": "Supervised fine-tuning"} | {
    "rl": "Reinforcement learning"
}
_WIDTH_PX = 520
_IDS = "sid"  # the section of the page with the semantic ids


def run_in_markdown(report: Mapping[str, Any], html: str, folder: Path, link: str | None) -> str:
    """Verdict, results, plots, training, semantic ids and stages of a run.

    report: what report.json holds. html: report.html, which holds the plots. link: the address of report.html, if any.
    """
    plots = plots_of(html)
    parts = [
        f"# {report['name']}",
        _sentences([*report.get("verdict", ["Stopped before the evaluation."]), *report.get("warnings", [])]),
        f"[Open the whole report]({link}), report.html" if link else "",
        *_results(report),
        *(part for name, title in _TITLES.items() for part in _figures(title, plots.get(name, []))),
        *(_ids(report["sid"], plots.get(_IDS, [])) if "sid" in report else ()),
        *_stages(report["stages"]),
        f"Folder of the report, on the machine that wrote it: `{folder}`",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def data_in_markdown(report: Mapping[str, Any], html: str, link: str | None) -> str:
    """What was read, what each filter left, and the histograms of the data behind a run; the arguments are as for a run."""
    data = report["data"]
    facts, reasons = data.get("quality", {}), data["quarantined"]
    rows = [[reason.replace("_", " "), f"{number:,}"] for reason, number in reasons.items()]
    steps = filter_table(facts["filters"]) if facts.get("filters") else None
    parts = [
        f"# {report['name']}: data",
        _sentences([*read_in_words(data), *data_quality.sentences(facts)]),
        f"[Open the whole report]({link}#data), report.html" if link else "",
        f"## Rows set aside\n\n{_table(['reason', 'rows'], rows, right=True)}" if rows else "",
        f"## Behind each filter\n\n{_table(steps['columns'], [row['cells'] for row in steps['rows']], right=True)}"
        if steps
        else "",
        *_figures("Plots", plots_of(html).get("data", [])),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def comparison_in_markdown(comparison: Mapping[str, Any], html: str, link: str | None) -> str:
    """Sentences, table and plots of a comparison of recipes; the arguments are as for a run."""
    plots = plots_of(html)
    differing = ", ".join(comparison["differing"]) or "nothing"
    parts = [
        "# Comparison",
        _sentences([*comparison["summary"], *comparison.get("warnings", [])]),
        f"[Open the whole comparison]({link}), comparison.html" if link else "",
        f"## Results\n\nThe recipes differ in {differing}. In brackets: {comparison['confidence']:.0%} intervals.",
        _narrow(comparison["columns"], comparison["table"], "interval"),
        *(part for name in ("results", "slices") for part in _figures(_TITLES[name], plots.get(name, []))),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _narrow(columns: Sequence[str], rows: Iterable[Sequence[str]], interval: str) -> str:
    """A table whose intervals, the columns headed `interval`, stand in brackets behind their figures."""
    kept = [i for i, column in enumerate(columns) if column != interval]

    def cell(row: Sequence[str], i: int) -> str:
        return f"{row[i]} ({row[i + 1]})" if columns[i + 1 : i + 2] == [interval] else row[i]

    return _table([columns[i] for i in kept], [[cell(row, i) for i in kept] for row in rows], right=True)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: bool = False) -> str:
    """A Markdown table; with `right`, the columns after the first are figures."""
    aligned = ["---", *["---:" if right else "---"] * (len(columns) - 1)]
    return "\n".join(f"| {' | '.join(text.replace('|', '/') for text in line)} |" for line in (columns, aligned, *rows))


def _sentences(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _results(report: Mapping[str, Any]) -> list[str]:
    if "metrics" not in report:
        return []
    level = f"{report['protocol']['confidence']:.0%}"
    about = f"{report['protocol']['short']}. In brackets: {level} intervals. Best model first."
    return ["## Results", about, _narrow(*terminal_rows(report), level), parts_in_words(rows_of(report))]


def _ids(sid: Mapping[str, Any], plots: Sequence[Plot]) -> list[str]:
    used = ", ".join(f"{share:.0%}" for share in sid["utilization"])
    rows = [
        ["method", str(sid["method"])],
        ["items", f"{sid['items']:,}"],
        ["levels x codes", f"{sid['num_levels']} x {sid['num_codes']}"],
        ["codes in use, level by level", used],
        ["items that shared an id before repair", f"{sid['collision_rate_raw']:.1%}"],
        ["items that share an id", f"{sid['collision_rate']:.1%}"],
    ]
    return ["## Semantic ids", _table(["", ""], rows), *_figures("", plots)]


def _stages(stages: Iterable[Mapping[str, Any]]) -> list[str]:
    rows = [[s["name"], s["status"], duration(s["seconds"]), s["reason"]] for s in stages]
    about = "Cached: read from the store. The keys of the artifacts there are in report.html and in the log."
    return ["## Stages", about, _table(["stage", "", "time", "why"], rows)]


def _figures(title: str, plots: Sequence[Plot]) -> list[str]:
    heading = [f"## {title}"] if title and plots else []
    return heading + [f"### {plot.title}\n\n![{plot.title}]({_as_data(plot.svg)})\n\n{plot.note}" for plot in plots]


def _as_data(svg: str) -> str:
    """A picture as an address that holds it."""
    return f"data:image/svg+xml;base64,{base64.b64encode(_standalone(svg).encode()).decode()}"


def _standalone(svg: str) -> str:
    """A plot of the report as a picture of its own: on a card, with the colours and the font that the page gives it."""
    css = (Path(page.__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")
    colours = re.search(r":root\s*\{[^}]*\}", css)
    style = f"{colours.group() if colours else ''} svg {{ background: var(--card); font-family: var(--font); }}"
    return re.sub(r"<svg([^>]*)>", lambda start: f"<svg{_size(svg)}{start[1]}><style>{style}</style>", svg, count=1)


def _size(svg: str) -> str:
    """Width and height of a picture on a wide page; narrower ones shrink it."""
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    return f' width="{_WIDTH_PX}" height="{_WIDTH_PX * float(box[2]) / float(box[1]):.0f}"' if box else ""
