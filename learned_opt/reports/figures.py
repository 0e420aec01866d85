"""Loss curves as SVG text, drawn from data by code that only reads.

The same data gives the same bytes, whatever style the user has set: colours and dashes belong to
names, the fonts are matplotlib's own, and nothing is dated. Figures need the extra `plots`.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from learned_opt.reports.style import (
    FAINT,
    SMALL,
    house_style,
    loss_axis,
    new_figure,
    set_title,
    step_axis,
    to_svg,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS = 500  # of a line: more would be closer together than a pixel
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


class _Line(NamedTuple):
    """What is drawn of an optimizer: statistics over problems, and how they look."""

    steps: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    label: str
    whole: bool
    color: str
    dashes: tuple[float, ...]
    strong: bool

    @property
    def end(self) -> float:
        return float(self.mean[-1]) if self.whole else np.inf


def loss_curves(
    curves: Mapping[str, np.ndarray],
    *,
    title: str,
    step_marker: int | None = None,
    highlight: Sequence[str] = (),
    window: int = 1,
) -> str:
    """Draws loss against inner step, an optimizer a line.

    A line is the mean over problems and its band holds their middle half (25 to 75 %). As soon as one
    problem's loss is not finite the mean does not exist: the line ends there, and the label says how
    many problems diverged. The axis is logarithmic unless losses are negative. Names stand where the
    lines end, or in a legend in the order in which they end, from top to bottom. A line has at most
    500 points; of longer curves each is the mean over the steps that it stands for.

    Args:
        curves: f[num_problems, steps + 1] by name, the losses before every step and after the last.
        title: of the figure.
        step_marker: a step to mark, such as the one that losses are compared at.
        highlight: names drawn in strong colours; their place in here decides on the colour, so that
            giving the same names to several figures gives them the same colours in each. Names that
            are not among the curves are left out.
        window: losses of minibatches are averaged over this odd number of steps.

    Returns:
        An `<svg>` element, the same bytes for the same arguments.

    Raises:
        ValueError: if there are no curves, one is no matrix, or the window is not odd.
        ImportError: if matplotlib is not installed.

    Example:
        >>> losses = np.geomspace(1.0, [0.01, 0.02, 0.03], num=51).T
        >>> svg = loss_curves({"adam": losses, "mine": losses**2}, title="Two", highlight=["mine"])
        >>> svg[:5]
        '<svg '
    """
    if not curves:
        raise ValueError("there are no curves to draw; give at least one")
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window={window!r}: it must be odd and positive, to have a middle")
    styles = _styles(list(curves), highlight)
    lines = [_line(name, losses, window, *styles[name]) for name, losses in curves.items()]
    lines.sort(key=lambda line: -line.end)
    with house_style():
        figure = new_figure(3.3)
        axes = figure.add_subplot()
        set_title(axes, title, label_below=step_marker is not None)
        axes.set_xlabel("inner step")
        axes.set_ylabel("loss")
        step_axis(axes, 0, max(np.shape(losses)[1] for losses in curves.values()) - 1)
        loss_axis(axes, *_limits(lines))
        for line in lines:
            _draw(axes, line)
        if step_marker is not None:
            _mark(axes, step_marker)
        if not _label_ends(figure, axes, lines):
            _legend(figure, axes, lines)
        return to_svg(figure, title)


def _styles(names: Sequence[str], highlight: Sequence[str]) -> dict[str, tuple[str, tuple[float, ...], bool]]:
    """Colour, dashes and strength by name: of the name alone, as far as colours go round."""
    styles: dict[str, tuple[str, tuple[float, ...], bool]] = {
        name: (STRONG[i % len(STRONG)], (), True) for i, name in enumerate(highlight)
    }
    free = list(range(len(OTHERS)))
    for name in sorted(set(names) - styles.keys()):
        if name in BASELINES:
            styles[name] = (*BASELINES[name], False)
            continue
        first = zlib.crc32(name.encode()) % len(OTHERS)
        free = free or list(range(len(OTHERS)))
        slot = min(free, key=lambda i: (i - first) % len(OTHERS))
        free.remove(slot)
        styles[name] = (*OTHERS[slot], False)
    return styles


def _line(
    name: str,
    losses: np.ndarray,
    window: int,
    color: str,
    dashes: tuple[float, ...],
    strong: bool,
) -> _Line:
    table = np.asarray(losses, np.float64)
    if table.ndim != 2 or not table.size:
        raise ValueError(f"the curves of {name!r} have shape {table.shape}; give [num_problems, steps + 1]")
    finite = np.isfinite(table)
    diverged = int((~finite.all(axis=1)).sum())
    steps, shown = _smooth(table[:, np.logical_and.accumulate(finite.all(axis=0))], window)
    low, high = np.percentile(shown, [25, 75], axis=0)
    return _Line(
        steps=steps,
        mean=shown.mean(axis=0),
        low=low,
        high=high,
        label=f"{name} ({diverged} of {len(table)} diverged)" if diverged else name,
        whole=not diverged,
        color=color,
        dashes=dashes,
        strong=strong,
    )


def _smooth(losses: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """At most 500 steps, and the losses averaged around each; less so near 0, to keep the first loss."""
    every = max(1, -(-losses.shape[1] // POINTS))
    steps = np.arange(0, losses.shape[1], every)
    halves = np.minimum(max(window, every) // 2, steps)
    means = [losses[:, s - h : s + h + 1].mean(axis=1) for s, h in zip(steps, halves, strict=True)]
    return steps, np.reshape(means, (len(steps), len(losses))).T


def _limits(lines: Sequence[_Line]) -> tuple[float, float]:
    """The range of the means, with some of the bands; one that explodes leaves the picture."""
    means = np.concatenate([line.mean for line in lines])
    if not means.size:
        return 0.1, 1.0
    starts = max(line.mean[0] for line in lines if line.mean.size)
    if means.min() < 0:
        ceiling = starts + (starts - means.min())
        return float(means.min()), float(min(means.max(), ceiling))
    tops = [line.mean.max() for line in lines if line.mean.size]
    high = max(top if top <= 10 * starts else 1.5 * starts for top in tops)
    low = means[means > max(1e-12 * high, 0)].min(initial=high)
    lows = np.concatenate([line.low for line in lines])
    return float(lows[lows >= low / 3].min(initial=low)), float(high)


def _draw(axes: "Axes", line: _Line) -> None:
    positive = axes.get_yscale() == "log"
    mean, low = (np.where(v > 0, v, np.nan) if positive else v for v in (line.mean, line.low))
    if line.high.size and (line.high > line.low).any():
        axes.fill_between(
            line.steps,
            np.nan_to_num(low, nan=axes.get_ylim()[0]),
            line.high,
            color=line.color,
            alpha=0.16 if line.strong else 0.07,
            lw=0,
            zorder=1.5,
        )
    axes.plot(
        line.steps,
        mean,
        color=line.color,
        lw=2.0 if line.strong else 1.2,
        dashes=line.dashes or (None, None),
        zorder=3 if line.strong else 2.5,
    )
    if not line.whole:
        axes.plot(line.steps[-1:], mean[-1:], ls="none", marker="x", ms=5, color=line.color)


def _mark(axes: "Axes", step: int) -> None:
    axes.axvline(step, color=FAINT, lw=0.8, dashes=(1, 2), zorder=1)
    axes.annotate(
        f"step {step:,}",
        (step, 1),
        xycoords=axes.get_xaxis_transform(),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        color=FAINT,
        fontsize=SMALL,
    )


def _label_ends(figure: "Figure", axes: "Axes", lines: Sequence[_Line]) -> bool:
    """Writes each name where its line ends, if there is room for all of them; says whether."""
    low, high = axes.get_ylim()
    if len(lines) > 6 or max(len(line.label) for line in lines) > 20:
        return False
    if not all(low <= line.end <= high for line in lines):
        return False
    figure.draw_without_rendering()  # settles the layout, so that distances are known
    ends = axes.transData.transform([(line.steps[-1], line.end) for line in lines])
    if (-np.diff(ends[:, 1]) < 1.25 * SMALL * figure.dpi / 72).any():
        return False
    if np.ptp(ends[:, 0]) > SMALL * figure.dpi / 72:  # another line would run through the name
        return False
    for line in lines:
        axes.annotate(
            line.label,
            (line.steps[-1], line.end),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color=line.color,
            fontsize=SMALL,
            fontweight="bold" if line.strong else "normal",
            annotation_clip=False,
        )
    return True


def _legend(figure: "Figure", axes: "Axes", lines: Sequence[_Line]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [],
            [],
            color=line.color,
            lw=2.0 if line.strong else 1.2,
            dashes=line.dashes or (None, None),
        )
        for line in lines
    ]
    labels = ["name"] * len(lines)  # a label with a leading underscore would be left out
    if max(len(line.label) for line in lines) <= 28:
        # Beside the axes and not the figure, so that it stays clear of a long title above it.
        legend = axes.legend(handles, labels, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    else:
        legend = figure.legend(handles, labels, loc="outside lower left")
    for text, line in zip(legend.get_texts(), lines, strict=True):
        text.set_text(line.label)
        text.set_fontweight("bold" if line.strong else "normal")
