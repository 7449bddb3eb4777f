"""Templates to HTML, and the part of a page that a run and a comparison share."""

import html
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from genrec.report.plots import Plot
from genrec.report.result_plots import result_plots, slice_plots
from genrec.report.results import LIST_MEANINGS, Results, Table, list_table
from genrec.report.words import parts_in_words


def render(template: str, **values: Any) -> str:
    """A template of this package with HTML escaping on; SVG that this package drew goes in by the `svg` filter."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("genrec.report", "templates"),
        autoescape=True,
        undefined=jinja2.ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "svg": Markup,
        "thousands": "{:,}".format,
        "percent": "{:.1%}".format,
        "whole_percent": "{:.0%}".format,
        "duration": duration,
        "utc": lambda seconds: time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds)),
    }
    return environment.get_template(template).render(**values)


def write(folder: Path, stem: str, facts: Mapping[str, Any], page: str) -> None:
    """The facts and the page of a report: `stem`.json and `stem`.html."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    (folder / f"{stem}.html").write_text(page, encoding="utf-8")


def of_results(results: Results, tables: list[Table]) -> dict[str, Any]:
    """What the pages of a run and of a comparison both show."""
    return {
        "confidence": results["confidence"],
        "tables": tables,
        "plots": result_plots(results),
        "slices": slice_plots(results),
        "lists": list_table(results["rows"]),
        "meanings": LIST_MEANINGS,
        "parts": parts_in_words(results["rows"]),
    }


_SECTION = re.compile(r'<h2 id="([a-z]+)">')
_FIGURE = re.compile(  # as templates/macros.html.j2 writes it
    r'<figure class="card"><h3>(.*?)</h3>(<svg.*?</svg>)\s*<figcaption>(.*?)</figcaption></figure>', re.DOTALL
)


def plots_of(page: str) -> dict[str, list[Plot]]:
    """The plots of a page that `render` wrote, by the id of the section they are in: to show them again, undrawn."""
    _, *parts = _SECTION.split(page)
    return {
        section: [Plot(html.unescape(title), svg, html.unescape(note)) for title, svg, note in _FIGURE.findall(text)]
        for section, text in zip(parts[::2], parts[1::2], strict=True)
    }


def duration(seconds: float) -> str:
    """3.2 s, 4 min 05 s, 1 h 02 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
