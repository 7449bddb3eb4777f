"""The report of a run in the Prefect UI: one document in the order a person reads, with its pictures inside."""

import base64
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from flows.report_markdown import comparison_in_markdown, data_in_markdown, run_in_markdown
from genrec.report.plots import line_plot

_REPORT = {
    "name": "demo",
    "verdict": ["rl leads."],
    "warnings": ["Something to know."],
    "sid": {
        "method": "rqkmeans",
        "items": 1791,
        "num_levels": 3,
        "num_codes": 256,
        "utilization": [1.0, 0.5, 0.25],
        "collision_rate_raw": 0.015,
        "collision_rate": 0.0,
    },
    "stages": [{"name": "sft", "status": "cached", "seconds": 125.0, "reason": "a|b", "key": "sft-0123"}],
}
_SVG = '<svg role="img" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M 0 0"/></svg>'


def _page(*sections: str) -> str:
    """A page with one plot in each section."""
    figure = '<figure class="card"><h3>{0} &amp; more</h3>{1}\n<figcaption>Of {0}.</figcaption></figure>'
    return "\n".join(f'<h2 id="{s}">x</h2>\n<div class="grid">\n{figure.format(s, _SVG)}\n</div>' for s in sections)


def test_the_parts_of_a_run_come_in_the_order_a_person_reads_them():
    html = _page("results", "slices", "sft", "rl", "sid", "data")
    text = run_in_markdown(_REPORT, html, Path("runs/x"), "/reports/x/report.html")
    told = ["rl leads.", "Something to know.", "](/reports/x/report.html)", "![results & more]", "![slices & more]"]
    told += ["![sft & more]", "![rl & more]", "## Semantic ids", "| rqkmeans |", "![sid & more]", "## Stages", "runs/x"]
    places = [text.index(part) for part in told]
    assert places == sorted(places)
    assert "data & more" not in text, "what is not of the run's result stays in report.html"


def test_pictures_are_inside_and_have_a_value_for_every_colour_they_name():
    plot = line_plot("loss", "Loss", "", {"train": ([0.0, 1.0], [2.0, 1.0])}, "step").svg
    text = run_in_markdown(_REPORT, _page("results").replace(_SVG, plot), Path("runs/x"), None)
    (data,) = re.findall(r"\(data:image/svg\+xml;base64,([^)]+)\)", text)
    made = base64.b64decode(data).decode()
    used = set(re.findall(r"var\((--[\w-]+)\)", made))
    assert "--ink" in used or "--muted" in used
    assert used <= set(re.findall(r"(--[\w-]+):", made))
    picture = ElementTree.fromstring(made)
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    _, _, wide, high = map(float, picture.attrib["viewBox"].split())
    assert float(picture.attrib["width"]) / float(picture.attrib["height"]) == pytest.approx(wide / high, rel=0.01)
    assert "http" not in text


def test_a_run_that_stopped_early_has_the_stages_it_went_through():
    text = run_in_markdown({"name": "demo", "stages": _REPORT["stages"]}, "<h2>x</h2>", Path("runs/x"), None)
    assert "- Stopped before the evaluation." in text
    assert "| sft | cached | 2 min 05 s | a/b |" in text
    assert "## Results" not in text
    assert "## Semantic ids" not in text


def test_a_comparison_has_its_intervals_behind_the_figures():
    comparison = {
        "summary": ["a leads."],
        "differing": ["sft.adapter"],
        "confidence": 0.95,
        "columns": ["Model", "HR@10", "interval", "Seeds"],
        "table": [["a", "0.4000", "0.3 to 0.5", "2"]],
    }
    text = comparison_in_markdown(comparison, _page("results"), None)
    assert "| Model | HR@10 | Seeds |\n| --- | ---: | ---: |\n| a | 0.4000 (0.3 to 0.5) | 2 |" in text
    assert "sft.adapter" in text
    assert text.index("a leads.") < text.index("## Results") < text.index("![results & more]")


def test_the_data_of_a_run_is_an_artifact_of_its_own_with_quarantine_and_filters():
    steps = [{"filter": "read", "users": 10, "items": 5, "interactions": 2000}]
    data = {"interactions_read": 2000, "quarantined": {"bad_json": 3}, "quality": {"filters": steps}}
    text = data_in_markdown({"name": "shop", "data": data}, "<html></html>", "/reports/1/report.html")
    assert text.startswith("# shop: data")
    assert "2,000 interactions read, 3 rows set aside" in text
    assert "| bad json | 3 |" in text
    assert "| as read | 10 | 5 | 2,000 |  |" in text
    assert "(/reports/1/report.html#data)" in text
