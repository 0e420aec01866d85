"""What figures of lines share: how a named line looks, how it is drawn, and how it is labelled."""

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from learned_opt.reports.style import SMALL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STRONG = ("#d7301f", "#0868ac", "#ae017e", "#111111", "#238b45", "#8c510a")
ADAM = "#332288"
# Muted colours that stay apart for colour-blind readers; dashes carry the same information.
BASELINES: dict[str, tuple[str, tuple[float, ...]]] = {
    "adam": (ADAM, (5, 1.5)),
    "rmsprop": ("#5a9bc4", (3, 1.2)),
    "nag": ("#44aa99", (5, 1.2, 1.2, 1.2)),
    "momentum": ("#117733", (2, 1, 1, 1)),
    "sgd": ("#888888", (1.2, 1.2)),
    "adamw-cosine": ("#88419d", (6, 1, 1, 1, 1, 1)),
    "muon": ("#c9a227", (4, 2)),
    "adam-1e-3": ("#8e8ac8", (5, 1.5)),
    "prodigy": ("#cc6677", (1, 1, 3, 1)),
    "dowg": ("#6f4e37", (8, 2)),
    "schedule-free": ("#999933", (3, 3)),
    "lbfgs": ("#4d4d4d", (2, 2)),
}
OTHERS: tuple[tuple[str, tuple[float, ...]], ...] = (
    ("#999933", (6, 1, 1, 1, 1, 1)),
    ("#aa4499", (4, 2)),
    ("#c9a227", (1, 1, 3, 1)),
    ("#6f4e37", (8, 2)),
    ("#4d4d4d", (3, 3)),
    ("#7b68b5", (2, 2)),
)


class LineStyle(NamedTuple):
    """How a named line looks."""

    color: str
    dashes: tuple[float, ...]
    strong: bool

    @property
    def stroke(self) -> dict[str, Any]:
        """As keyword arguments of matplotlib's lines."""
        return {"color": self.color, "lw": 2.0 if self.strong else 1.2, "dashes": self.dashes or (None, None)}

    @property
    def font_weight(self) -> str:
        """Of the line's name."""
        return "bold" if self.strong else "normal"


class Line(NamedTuple):
    """A line with a band: its numbers, f[n] each, its label, and how it looks."""

    x: np.ndarray
    y: np.ndarray
    low: np.ndarray
    high: np.ndarray
    label: str
    style: LineStyle
    cut_off: bool = False  # ends in a cross, since what it shows is not finite from there on

    @property
    def end(self) -> float:
        """The height at which it ends; infinite if it is cut off."""
        return np.inf if self.cut_off else float(self.y[-1])


def line_styles(names: Sequence[str], highlight: Sequence[str]) -> dict[str, LineStyle]:
    """Styles by name: a name has the same style in every figure, as long as there are colours left.

    Highlighted names have strong colours, by their order.
    """
    styles = {name: LineStyle(STRONG[i % len(STRONG)], (), True) for i, name in enumerate(highlight)}
    free = list(range(len(OTHERS)))
    for name in sorted(set(names) - styles.keys()):
        if name in BASELINES:
            styles[name] = LineStyle(*BASELINES[name], False)
            continue
        first = zlib.crc32(name.encode()) % len(OTHERS)
        free = free or list(range(len(OTHERS)))
        slot = min(free, key=lambda i: (i - first) % len(OTHERS))
        free.remove(slot)
        styles[name] = LineStyle(*OTHERS[slot], False)
    return styles


def draw_lines(axes: "Axes", lines: Sequence[Line]) -> None:
    """Draws lines, and bands: those of highlighted lines alone if there are any; many hide each other."""
    any_strong = any(line.style.strong for line in lines)
    for line in lines:
        _draw_line(axes, line, band=line.style.strong or not any_strong)


def _draw_line(axes: "Axes", line: Line, band: bool) -> None:
    """Draws a line and its band; on a logarithmic axis without what is not positive."""
    positive = axes.get_yscale() == "log"
    y, low = (np.where(v > 0, v, np.nan) if positive else v for v in (line.y, line.low))
    color, _, strong = line.style
    if band and line.high.size and (line.high > line.low).any():
        axes.fill_between(
            line.x,
            np.nan_to_num(low, nan=axes.get_ylim()[0]),
            line.high,
            color=color,
            alpha=0.16 if strong else 0.07,
            lw=0,
            zorder=1.5,
        )
    axes.plot(line.x, y, **line.style.stroke, zorder=3 if strong else 2.5)
    if line.cut_off:
        axes.plot(line.x[-1:], y[-1:], ls="none", marker="x", ms=5, color=color)


def label_lines(figure: "Figure", axes: "Axes", lines: Sequence[Line]) -> None:
    """Writes each name where its line ends, or all of them in a legend where there is no room for that."""
    if not _label_ends(figure, axes, [line for line in lines if line.y.size or line.cut_off]):
        _legend(figure, axes, lines)


def _label_ends(figure: "Figure", axes: "Axes", lines: Sequence[Line]) -> bool:
    """Writes each name where its line ends, if there is room for all of them; says whether."""
    low, high = axes.get_ylim()
    if len(lines) > 6 or max(len(line.label) for line in lines) > 20:
        return False
    if not all(low <= line.end <= high for line in lines):
        return False
    figure.draw_without_rendering()  # settles the layout, so that distances are known
    ends = axes.transData.transform([(line.x[-1], line.end) for line in lines])
    if (-np.diff(ends[:, 1]) < 1.25 * SMALL * figure.dpi / 72).any():
        return False
    if np.ptp(ends[:, 0]) > SMALL * figure.dpi / 72:  # another line would run through the name
        return False
    for line in lines:
        axes.annotate(
            line.label,
            (line.x[-1], line.end),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color=line.style.color,
            fontsize=SMALL,
            fontweight=line.style.font_weight,
            annotation_clip=False,
        )
    return True


def _legend(figure: "Figure", axes: "Axes", lines: Sequence[Line]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], **line.style.stroke) for line in lines]
    labels = ["name"] * len(lines)  # a label with a leading underscore would be left out
    if max(len(line.label) for line in lines) <= 28:
        # Beside the axes and not the figure, so that it stays clear of a long title above it.
        legend = axes.legend(handles, labels, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    else:
        legend = figure.legend(handles, labels, loc="outside lower left")
    for text, line in zip(legend.get_texts(), lines, strict=True):
        text.set_text(line.label)
        text.set_fontweight(line.style.font_weight)
