"""Plots are valid, self-contained, theme-neutral SVG."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from genrec.report import plots
from genrec.report.plots import Interval

HOSTILE = '<script>"x"</script>&$x_1$'
ROWS = [Interval("sft", 0.1, (0.08, 0.12), True), Interval(HOSTILE, 0.05, (0.04, 0.06))]
NAMED = ("p", "a title", "a note")
MAKERS = {
    "line": lambda: plots.line_plot(
        *NAMED, {HOSTILE: ([1, 2, 3], [0.1, 0.3, 0.2]), "b": ([1], [0.2])}, "step", mark_best=True
    ),
    "smooth": lambda: plots.line_plot(*NAMED, {"a": (range(100), range(100))}, "step", smooth=True, from_zero=True),
    "interval": lambda: plots.interval_plot(*NAMED, ROWS, HOSTILE),
    "difference": lambda: plots.interval_plot(*NAMED, ROWS, "difference", differences=True),
    "bars": lambda: plots.bar_plot(*NAMED, {HOSTILE: 1200, "b": 3}, "rows"),
}


@pytest.mark.parametrize("names", [["reward " + "x" * n for n in (0, 9, 12, 11, 11)], ["x" * 20, "y"], ["a", "b"]])
def test_names_of_any_length_leave_room_for_the_curves(names, recwarn):
    plots.line_plot(*NAMED, {name: ([1, 2], [0.1, 0.2]) for name in names}, "step")
    plot = plots.interval_plot(*NAMED, [Interval(name * 3, 0.1, (0.05, 0.2)) for name in names], "HR@10")
    assert names[0] in plot.svg
    plots.bar_plot(*NAMED, {name * 3: 1 for name in names}, "rows")
    assert [str(w.message) for w in recwarn if "constrained_layout" in str(w.message)] == []


@pytest.mark.parametrize("kind", MAKERS)
def test_a_plot_is_one_well_formed_svg_element(kind):
    svg = MAKERS[kind]().svg
    root = ET.fromstring(svg)
    assert root.tag.endswith("svg")
    assert "viewBox" in root.attrib
    assert "width" not in root.attrib, "the page decides the size"
    assert "<style" not in svg, "a style element inside would restyle the whole page"


@pytest.mark.parametrize("kind", MAKERS)
def test_a_plot_has_the_same_bytes_every_time(kind):
    assert MAKERS[kind]() == MAKERS[kind]()


@pytest.mark.parametrize("kind", MAKERS)
def test_colours_come_from_the_page(kind):
    svg = MAKERS[kind]().svg
    assert not re.search(r"#0[0-9]0[0-9]0[0-9]\b", svg), "a stand-in colour is left"
    assert set(re.findall(r"(?:fill|stroke): (#[0-9a-fA-F]+)", svg)) <= {"#ffffff"}
    assert "var(--" in svg


@pytest.mark.parametrize("kind", MAKERS)
def test_ids_are_unique_and_carry_the_plots_name(kind):
    svg = MAKERS[kind]().svg
    ids = re.findall(r'\bid="([^"]+)"', svg)
    assert len(ids) == len(set(ids))
    assert all(i.startswith("p-") for i in ids)
    used = re.findall(r'href="#([^"]+)"', svg) + re.findall(r"url\(#([^)]+)\)", svg)
    assert set(used) <= set(ids)


@pytest.mark.parametrize("kind", ["line", "interval", "bars"])
def test_labels_are_text_not_markup_and_not_formulas(kind):
    svg = MAKERS[kind]().svg
    assert "<script" not in svg
    assert "$x_1$" in "".join(ET.fromstring(svg).itertext())


def test_moving_mean_keeps_a_constant_and_averages_neighbours():
    np.testing.assert_allclose(plots._moving_mean(np.full(7, 3.0), 3), 3.0)
    np.testing.assert_allclose(plots._moving_mean(np.array([0.0, 3.0, 6.0, 0.0]), 3), [1.5, 3, 3, 3])
