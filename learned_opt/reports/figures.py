"""Loss curves as SVG text, drawn from data by code that only reads.

The same data gives the same bytes, whatever style the user has set: colours and dashes belong to
names, the fonts are matplotlib's own, and nothing is dated. Figures need the extra `plots`.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from learned_opt.reports.axes import labelled_axes, loss_axis, step_axis
from learned_opt.reports.lines import Line, LineStyle, draw_lines, label_lines, line_styles
from learned_opt.reports.style import FAINT, SMALL, house_style, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 500  # of a line: more would be closer together than a pixel


def loss_curves(
    curves: Mapping[str, np.ndarray],
    *,
    title: str,
    step_marker: int | None = None,
    highlight: Sequence[str] = (),
    window: int = 1,
) -> str:
    """Draws loss against inner step, an optimizer a line.

    A line is the mean over problems and its band holds their middle half (25 to 75 %); where lines are
    highlighted, these alone have bands. As soon as one
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
        >>> loss_curves({"adam": losses, "mine": losses**2}, title="Two", highlight=["mine"])[:5]
        '<svg '
    """
    if not curves:
        raise ValueError("there are no curves to draw; give at least one")
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window={window!r}: it must be odd and positive, to have a middle")
    styles = line_styles(list(curves), highlight)
    lines = [_summary(name, losses, window, styles[name]) for name, losses in curves.items()]
    lines.sort(key=lambda line: -line.end)
    with house_style():
        figure, axes = labelled_axes(title, "inner step", "loss", label_below=step_marker is not None)
        step_axis(axes, 0, max(np.shape(losses)[1] for losses in curves.values()) - 1)
        loss_axis(axes, *_loss_range(lines))
        draw_lines(axes, lines)
        if step_marker is not None:
            _mark_step(axes, step_marker)
        label_lines(figure, axes, lines)
        return to_svg(figure, title)


def _summary(name: str, losses: np.ndarray, window: int, style: LineStyle) -> Line:
    """The mean over problems and the middle half of them, up to the first loss that is not finite."""
    table = np.asarray(losses, np.float64)
    if table.ndim != 2 or not table.size:
        raise ValueError(f"the curves of {name!r} have shape {table.shape}; give [num_problems, steps + 1]")
    finite = np.isfinite(table)
    diverged = int((~finite.all(axis=1)).sum())
    steps, shown = _smooth(table[:, np.logical_and.accumulate(finite.all(axis=0))], window)
    low, high = np.percentile(shown, [25, 75], axis=0)
    label = f"{name} ({diverged} of {len(table)} diverged)" if diverged else name
    return Line(steps, shown.mean(axis=0), low, high, label, style, cut_off=diverged > 0)


def _smooth(losses: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """At most 500 steps, and the losses averaged around each; less so near 0, to keep the first loss."""
    every = max(1, -(-losses.shape[1] // POINTS))
    steps = np.arange(0, losses.shape[1], every)
    halves = np.minimum(max(window, every) // 2, steps)
    means = [losses[:, s - h : s + h + 1].mean(axis=1) for s, h in zip(steps, halves, strict=True)]
    return steps, np.reshape(means, (len(steps), len(losses))).T


def _loss_range(lines: Sequence[Line]) -> tuple[float, float]:
    """The range of the means, with some of the bands; one that explodes leaves the picture."""
    means = np.concatenate([line.y for line in lines])
    if not means.size:
        return 0.1, 1.0
    starts = max(line.y[0] for line in lines if line.y.size)
    if means.min() < 0:
        ceiling = starts + (starts - means.min())
        return float(means.min()), float(min(means.max(), ceiling))
    tops = [line.y.max() for line in lines if line.y.size]
    high = max(top if top <= 10 * starts else 1.5 * starts for top in tops)
    low = means[means > max(1e-12 * high, 0)].min(initial=high)
    lows = np.concatenate([line.low for line in lines])
    return float(lows[lows >= low / 3].min(initial=low)), float(high)


def _mark_step(axes: "Axes", step: int) -> None:
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
