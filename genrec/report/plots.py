"""Plots as SVG text, drawn for a phone first: small figures with large type, which a laptop scales up.

Colours leave matplotlib as stand-ins and become CSS variables, so that one SVG serves light and dark pages. The series
colours follow Okabe & Ito's colour-blind-safe palette; line style and marker repeat what colour says.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

INK, MUTED, GRID = "#010101", "#020202", "#030303"
SERIES = ("#040401", "#040402", "#040403", "#040404", "#040405")
_VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--grid"} | {c: f"--series-{i}" for i, c in enumerate(SERIES)}
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.4, 1.4)), (0, (5, 1.5, 1.3, 1.5)), (0, (8, 3)))
_MARKERS = ("o", "s", "^", "D", "v")
_WIDTH_IN = 4.6  # 331 points: a phone's column
_MAX_LABEL = 26  # letters beside a row
_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: it takes the page's font and can be selected
    "svg.hashsalt": "genrec",
    "text.parse_math": False,
    "font.size": 11,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 10.5,
    "lines.linewidth": 1.7,
}


Plot = dict[str, str]  # title, svg, note


@dataclass(frozen=True)
class Interval:
    """One row of an interval plot: a mean with its interval; `emphasis` marks what was trained here."""

    label: str
    value: float
    low: float
    high: float
    emphasis: bool = False


def line_plot(
    name: str,
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x_label: str,
    *,
    mark_best: bool = False,
    smooth: bool = False,
    from_zero: bool = False,
) -> str:
    """Curves {label: (x, y)}. `mark_best` rings each maximum; `smooth` draws a moving mean over the faint raw curve."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(2.75)
        for i, (label, (x, y)) in enumerate(series.items()):
            colour, dash = SERIES[i % len(SERIES)], _DASHES[i % len(_DASHES)]
            window = max(1, len(y) // 15) if smooth else 1
            few: dict[str, Any] = {"marker": _MARKERS[i % 5], "markersize": 3.5} if len(y) <= 30 and window == 1 else {}
            if window > 1:
                axes.plot(x, y, color=colour, linewidth=0.8, alpha=0.35)
            axes.plot(x, _moving_mean(np.asarray(y, float), window), color=colour, linestyle=dash, label=label, **few)
            if mark_best and len(y):
                best = int(np.argmax(y))
                axes.plot(x[best], y[best], "o", markersize=9, markerfacecolor="none", markeredgecolor=colour)
                axes.annotate(
                    f"{y[best]:.4f}", (x[best], y[best]), textcoords="offset points", xytext=(0, 8), ha="center",
                    fontsize=10.5,
                )  # fmt: skip
        if from_zero:
            axes.set_ylim(bottom=0)
        axes.margins(x=0.03, y=0.16 if mark_best else 0.06)
        axes.grid(axis="y")
        axes.set_xlabel(x_label)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        _legend(axes, len(series))
        return _svg(figure, name)


def interval_plot(name: str, rows: Sequence[Interval], x_label: str, *, zero_line: bool = False) -> str:
    """A dot with its interval for each row, first row on top; the value is written at the right."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(0.75 + 0.34 * len(rows))
        places = np.arange(len(rows))[::-1]
        for place, row in zip(places, rows, strict=True):
            colour = SERIES[0] if row.emphasis else MUTED
            marker = "o" if row.emphasis else "s"
            axes.plot([row.low, row.high], [place, place], color=colour, linewidth=2.2, solid_capstyle="round")
            axes.plot(row.value, place, marker, color=colour, markersize=7 if row.emphasis else 5.5, clip_on=False)
            text = f"{row.value:+.4f}".replace("-", "\u2212") if zero_line else f"{row.value:.4f}"
            axes.annotate(
                text, (1.02, place), xycoords=("axes fraction", "data"), va="center", fontsize=10.5, color=INK,
                annotation_clip=False,
            )  # fmt: skip
        if zero_line:
            axes.axvline(0, color=INK, linewidth=1)
        else:
            axes.set_xlim(left=0)
        axes.set_ylim(-0.6, len(rows) - 0.4)
        _label_rows(axes, places, [row.label for row in rows], x_label)
        return _svg(figure, name)


def grouped_intervals(name: str, groups: Mapping[str, Sequence[Interval]], x_label: str) -> str:
    """Intervals side by side within groups {group: rows}; a row's label keeps its colour and marker in all groups."""
    labels = list(dict.fromkeys(row.label for rows in groups.values() for row in rows))
    step = len(labels) + 1.2
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(0.95 + 0.2 * step * len(groups))
        centers = []
        for g, rows in enumerate(groups.values()):
            top = (len(groups) - 1 - g) * step
            centers.append(top + (len(labels) - 1) / 2)
            for row in rows:
                i = labels.index(row.label)
                place, colour = top + len(labels) - 1 - i, SERIES[i % len(SERIES)]
                axes.plot([row.low, row.high], [place, place], color=colour, linewidth=1.8, solid_capstyle="round")
                label = row.label if g == 0 else None
                marker = _MARKERS[i % len(_MARKERS)]
                axes.plot(
                    row.value, place, marker, color=colour, markersize=6, linestyle="none", label=label, clip_on=False
                )
        axes.set_xlim(left=0)
        axes.set_ylim(-1, step * len(groups) - 0.8)
        _label_rows(axes, centers, list(groups), x_label)
        _legend(axes, len(labels))
        return _svg(figure, name)


def code_usage(name: str, counts: Sequence[np.ndarray]) -> str:
    """Items behind each used code, most used first, one curve a level; log scale. `counts`: int [K] for each level."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(2.75)
        for i, level in enumerate(counts):
            used = np.sort(level[level > 0])[::-1]
            places = np.arange(1, len(used) + 1)
            colour, dash = SERIES[i % len(SERIES)], _DASHES[i % len(_DASHES)]
            axes.plot(places, used, color=colour, linestyle=dash, drawstyle="steps-mid", label=f"level {i + 1}")
        axes.set_yscale("log")
        axes.set_xlim(0, max(len(level) for level in counts))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel("code, most used first")
        _legend(axes, len(counts))
        return _svg(figure, name)


def bar_plot(name: str, bars: Mapping[str, float], x_label: str) -> str:
    """Horizontal bars {label: value}, first on top, with the value written at the end."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(0.75 + 0.32 * len(bars))
        places = np.arange(len(bars))[::-1]
        axes.barh(places, list(bars.values()), height=0.62, color=SERIES[0])
        for place, value in zip(places, bars.values(), strict=True):
            axes.annotate(
                f"{value:,.0f}" if value >= 100 or float(value).is_integer() else f"{value:.1f}",
                (value, place), textcoords="offset points", xytext=(4, 0), va="center", fontsize=10.5,
            )  # fmt: skip
        axes.margins(x=0.16)
        _label_rows(axes, places, list(bars), x_label)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}" if v >= 10 or v == 0 else f"{v:g}"))
        return _svg(figure, name)


# ---- helpers ----------------------------------------------------------------------------------------------------------


def _figure(height_in: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
    FigureCanvasSVG(figure)
    figure.patch.set_visible(False)
    axes = figure.add_subplot()
    axes.patch.set_visible(False)
    return figure, axes


def _label_rows(axes: Axes, places: Sequence[float] | np.ndarray, labels: Sequence[str], x_label: str) -> None:
    """Names beside the rows of a horizontal plot, and its one axis of figures."""
    axes.set_yticks(places, [_short(label) for label in labels])
    axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=11)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel(x_label)


def _short(label: str) -> str:
    """A name beside a row, cut where it would leave the axes no room; tables show it whole."""
    return label if len(label) <= _MAX_LABEL else f"{label[: _MAX_LABEL - 1]}\u2026"


def _legend(axes: Axes, entries: int) -> None:
    """Above the plot, where it hides no data; a single series is named by the plot's caption."""
    if entries <= 1:
        return
    lengths = [len(label) for label in axes.get_legend_handles_labels()[1]]
    # A legend wider than the figure would leave the axes no room: fewer columns for longer names.
    columns = next((n for n in (3, 2) if n <= entries and _legend_width_in(lengths, n) < _WIDTH_IN), 1)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, borderaxespad=0.3, columnspacing=1.2)


def _legend_width_in(lengths: list[int], columns: int) -> float:
    """Inches that a legend of labels of these lengths takes, about: a name's letters, its line and the gap."""
    rows = -(-len(lengths) // columns)
    return sum(0.08 * max(lengths[start : start + rows]) + 0.6 for start in range(0, len(lengths), rows)) + 0.6


def _moving_mean(y: np.ndarray, window: int) -> np.ndarray:
    """Centred mean over at most `window` points, shorter at the ends."""
    if window <= 1 or len(y) < 2:
        return y
    sums = np.concatenate([[0.0], np.cumsum(y)])
    centre = np.arange(len(y))
    low, high = np.maximum(centre - window // 2, 0), np.minimum(centre + window // 2 + 1, len(y))
    return (sums[high] - sums[low]) / (high - low)


def _svg(figure: Figure, name: str) -> str:
    """The <svg> element: no size of its own, colours as CSS variables, ids unique to `name`, same bytes every time."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', svg)
    svg = re.sub(r" font-family: [^;\"]*;", "", svg)  # the page's font instead of matplotlib's list
    svg = re.sub(
        r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", svg, count=1, flags=re.DOTALL
    )  # it would style the page
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg.replace("<svg ", '<svg role="img" ', 1)
