"""Plots as SVG text, drawn for a phone first: small figures with large type, which a laptop scales up.

Colours leave matplotlib as stand-ins and become CSS variables, so that one SVG serves light and dark pages. The series
colours follow Okabe & Ito's colour-blind-safe palette; line style and marker repeat what colour says.
"""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

INK, MUTED, GRID = "#010101", "#020202", "#030303"
SERIES = ("#040401", "#040402", "#040403", "#040404", "#040405")
_VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--grid"} | {c: f"--series-{i}" for i, c in enumerate(SERIES)}
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.4, 1.4)), (0, (5, 1.5, 1.3, 1.5)), (0, (8, 3)))
_MARKERS = ("o", "s", "^", "D", "v")
_WIDTH_IN, _HEIGHT_IN, _ROW_IN = 4.6, 2.75, 0.34  # 331 points wide: a phone's column
_MAX_LABEL = 26  # letters beside a row; of a legend in two columns, 16
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
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.7,
}
_CLEANED = (  # of matplotlib's SVG text: (pattern, replacement)
    (r"^.*?(?=<svg)", ""),
    (r"<metadata>.*?</metadata>\s*", ""),
    (r"<defs>\s*<style.*?</style>\s*</defs>\s*", ""),  # it would style the page
    (r'(<svg[^>]*?) width="[^"]*"', r"\1"),  # the page decides the size
    (r'(<svg[^>]*?) height="[^"]*"', r"\1"),
    (r" font-family: [^;\"]*;", ""),  # the page's font instead of matplotlib's list
    (r"<svg ", '<svg role="img" '),
)


class Plot(NamedTuple):
    """A plot with its heading and its caption."""

    title: str
    svg: str
    note: str


class Interval(NamedTuple):
    """One row of an interval plot: a mean with its interval (low, high); `emphasis` marks what was trained here, `part`
    what belongs to the row above.
    """

    label: str
    value: float
    ci: Sequence[float]
    emphasis: bool = False
    part: bool = False


def line_plot(
    name: str,
    title: str,
    note: str,
    series: Mapping[str, tuple[ArrayLike, ArrayLike]],
    x_label: str,
    *,
    mark_best: bool = False,
    smooth: bool = False,
    from_zero: bool = False,
) -> Plot:
    """Curves {label: (x, y)}. `mark_best` rings each maximum; `smooth` draws a moving mean over the faint raw curve."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(_HEIGHT_IN)
        for i, (label, points) in enumerate(series.items()):
            x, y = (np.asarray(values, float) for values in points)
            colour, style = SERIES[i % len(SERIES)], {"linestyle": _DASHES[i % len(_DASHES)], "label": label}
            window = max(1, len(y) // 15) if smooth else 1
            if window > 1:
                axes.plot(x, y, color=colour, linewidth=0.8, alpha=0.35)
            elif len(y) <= 30:
                style |= {"marker": _MARKERS[i % len(_MARKERS)], "markersize": 3.5}
            axes.plot(x, _moving_mean(y, window), color=colour, **style)
            if mark_best:
                best = int(np.argmax(y))
                axes.plot(x[best], y[best], "o", markersize=9, markerfacecolor="none", markeredgecolor=colour)
                offset: dict[str, Any] = {"textcoords": "offset points", "xytext": (0, 8), "ha": "center"}
                axes.annotate(f"{y[best]:.4f}", (x[best], y[best]), **offset)
        if from_zero:
            axes.set_ylim(bottom=0)
        axes.margins(y=0.16 if mark_best else 0.06)
        axes.grid(axis="y")
        axes.set_xlabel(x_label)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if len(series) > 1:  # a single series is named by the heading
            # Above the plot, where it hides no data; longer names leave room for one column.
            columns = 2 if max(map(len, series)) <= 16 else 1
            axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, borderaxespad=0.3)
        return Plot(title, _svg(figure, name), note)


def interval_plot(
    name: str, title: str, note: str, rows: Sequence[Interval], x_label: str, *, differences: bool = False
) -> Plot:
    """A dot with its interval for each row, first row on top; the value is written at the right."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _rows([row.label for row in rows], x_label)
        for place, row in enumerate(rows):
            colour, marker = (SERIES[0], "o") if row.emphasis else (MUTED, "s")
            scale = 0.6 if row.part else 1.0
            axes.plot(row.ci, [place, place], color=colour, linewidth=2.2 * scale, solid_capstyle="round")
            axes.plot(row.value, place, marker, color=colour, markersize=6.5 * scale, clip_on=False)
            text = f"{row.value:+.4f}".replace("-", "\u2212") if differences else f"{row.value:.4f}"
            axes.annotate(text, (1.02, place), xycoords=("axes fraction", "data"), va="center", annotation_clip=False)
        if differences:
            axes.axvline(0, color=INK, linewidth=1)
        else:
            axes.set_xlim(left=0)
        return Plot(title, _svg(figure, name), note)


def front_plot(
    name: str,
    title: str,
    note: str,
    front: tuple[ArrayLike, ArrayLike],
    marks: Mapping[str, tuple[float, float]],
    labels: tuple[str, str],
    bound: float | None = None,
) -> Plot:
    """A Pareto front (x, y) as a line of small points, named points with their own markers, and `bound` as a vertical line.

    The first of `marks` is the chosen point: it stands out.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(_HEIGHT_IN)
        x, y = (np.asarray(values, float) for values in front)
        axes.plot(x, y, color=MUTED, linewidth=1.0, marker=".", markersize=4, label="Pareto front")
        for i, (label, point) in enumerate(marks.items()):
            size = 9 if i == 0 else 6.5
            axes.plot(*point, _MARKERS[i], color=SERIES[i], markersize=size, linestyle="none", label=label, zorder=3)
        if bound is not None:
            axes.axvline(bound, color=INK, linewidth=1, linestyle=_DASHES[1])
        axes.grid()
        axes.margins(0.08)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderaxespad=0.3)
        return Plot(title, _svg(figure, name), note)


def bar_plot(name: str, title: str, note: str, bars: Mapping[str, float], x_label: str) -> Plot:
    """Horizontal bars {label: value}, first on top, with the value written at the end."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _rows(list(bars), x_label)
        drawn = axes.barh(range(len(bars)), list(bars.values()), height=0.62, color=SERIES[0])
        axes.bar_label(drawn, fmt=lambda v: f"{v:,.0f}" if v >= 100 or v == int(v) else f"{v:.1f}", padding=4)
        axes.margins(x=0.16)
        return Plot(title, _svg(figure, name), note)


# ---- helpers ----------------------------------------------------------------------------------------------------------


def _figure(height_in: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
    FigureCanvasSVG(figure)
    figure.patch.set_visible(False)
    axes = figure.add_subplot()
    axes.patch.set_visible(False)
    return figure, axes


def _rows(labels: Sequence[str], x_label: str) -> tuple[Figure, Axes]:
    """A horizontal plot with a named row for each label, the first (place 0) on top, and one axis of figures."""
    figure, axes = _figure(0.75 + _ROW_IN * len(labels))
    # A long name is cut, or it would leave the axes no room; tables show it whole.
    short = [label if len(label) <= _MAX_LABEL else f"{label[: _MAX_LABEL - 1]}\u2026" for label in labels]
    axes.set_yticks(range(len(labels)), short)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.set_xlabel(x_label)
    return figure, axes


def _moving_mean(y: np.ndarray, window: int) -> np.ndarray:
    """Centred mean over at most `window` points (one more where it is even), shorter at the ends."""
    kernel = np.ones(2 * (window // 2) + 1)
    return np.convolve(y, kernel, "same") / np.convolve(np.ones_like(y), kernel, "same")


def _svg(figure: Figure, name: str) -> str:
    """The <svg> element: no size of its own, colours as CSS variables, ids unique to `name`, same bytes every time."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = buffer.getvalue()
    for pattern, replacement in _CLEANED:
        svg = re.sub(pattern, replacement, svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg
