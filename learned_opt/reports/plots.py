"""Plain plots in the style of the other figures: lines, intervals and points."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from learned_opt.reports.axes import labelled_axes, loss_axis, number_axis, plain_ticks
from learned_opt.reports.lines import Line, LineStyle, draw_lines, label_lines, line_styles
from learned_opt.reports.style import FAINT, SIZE, house_style, to_svg

MARKERS = "osD^vP*Xph<>"
LETTERS = 40  # of a line of a row's name
FAR = 30.0  # an axis does not follow a line further than this factor above where the lines start


def line_plot(
    lines: Mapping[str, np.ndarray],
    *,
    title: str,
    x_label: str,
    y_label: str,
    log: Literal["", "x", "y", "xy"] = "y",
    y_limits: tuple[float, float] | None = None,
    marks: Sequence[float] = (),
    highlight: Sequence[str] = (),
) -> str:
    """Draws one number against another: a line for each name, with a band where one is given.

    Args:
        lines: by name f[2, n], the horizontal and the vertical numbers, or f[4, n] with the lower and the
            upper end of the band besides. A line has a gap where its number is not finite.
        title: of the figure.
        x_label: below the horizontal axis.
        y_label: beside the vertical axis.
        log: which axes are logarithmic; on a logarithmic horizontal axis what is not positive is left out.
        y_limits: the ends of the vertical axis; by default those of the lines, without what explodes.
        marks: horizontal numbers to mark with faint lines, such as the steps at which something changes.
        highlight: names drawn in strong colours, as in `loss_curves`.

    Returns:
        An `<svg>` element, the same bytes for the same arguments.

    Raises:
        ValueError: if there are no lines, one has another shape, or `log` is none of the four.
        ImportError: if matplotlib is not installed.

    Example:
        >>> x = np.arange(1.0, 9.0)
        >>> lines = {"adam": np.stack([x, 1 / x, 0.5 / x, 2 / x])}
        >>> line_plot(lines, title="Falls", x_label="step", y_label="loss")[:5]
        '<svg '
    """
    if not lines:
        raise ValueError("there are no lines to draw; give at least one")
    if log not in ("", "x", "y", "xy"):
        raise ValueError(f'log={log!r}: it must be "", "x", "y" or "xy"')
    x_log, y_log = "x" in log, "y" in log
    styles = line_styles(list(lines), highlight)
    drawn = [_line(name, numbers, x_log, styles[name]) for name, numbers in lines.items()]
    drawn.sort(key=lambda line: -np.nan_to_num(line.end, nan=-np.inf) if line.y.size else np.inf)
    with house_style():
        figure, axes = labelled_axes(title, x_label, y_label)
        number_axis(axes, np.concatenate([line.x for line in drawn]), x_log)
        low, high = y_limits or _y_range(drawn, y_log)
        loss_axis(axes, low, high) if y_log else axes.set_ylim(low, high)
        for mark in marks:
            axes.axvline(mark, color=FAINT, lw=0.8, dashes=(1, 2), zorder=1)
        draw_lines(axes, drawn)
        label_lines(figure, axes, drawn)
        return to_svg(figure, title)


def interval_plot(
    rows: Mapping[str, tuple[float, float, float]],
    *,
    title: str,
    x_label: str,
    x_log: bool = False,
    level: float | None = None,
    highlight: Sequence[str] = (),
) -> str:
    """Draws numbers with their intervals: a row for each name, the largest number on top.

    Args:
        rows: by name the number and the ends of its interval. A number that is not finite, or not positive
            on a logarithmic axis, is shown as a cross at the left end of its row.
        title: of the figure.
        x_label: below the axis.
        x_log: whether the axis is logarithmic.
        level: a number to mark with a line, such as 1 for "no faster".
        highlight: names drawn in strong colours, as in `loss_curves`.

    Returns:
        An `<svg>` element, the same bytes for the same arguments.

    Raises:
        ValueError: if there are no rows.
        ImportError: if matplotlib is not installed.

    Example:
        >>> interval_plot({"adam": (1, 0.9, 1.2), "mine": (3, 2, 5)}, title="Speed", x_label="x Adam")[:5]
        '<svg '
    """
    if not rows:
        raise ValueError("there are no rows to draw; give at least one")
    styles = line_styles(list(rows), highlight)

    def drawable(value: float) -> bool:
        return bool(np.isfinite(value)) and not (x_log and value <= 0)

    order = sorted(rows, key=lambda name: (drawable(rows[name][0]), rows[name][0], name))
    labels = [textwrap.fill(name, LETTERS) for name in order]
    most_lines = max(label.count("\n") for label in labels) + 1
    with house_style():
        figure, axes = labelled_axes("", "", height=0.9 + (0.13 + 0.09 * most_lines) * len(rows))
        # Names may leave little room for the axis: what belongs to it reaches below and above them.
        figure.suptitle(textwrap.fill(title, 62), x=0.01, ha="left", fontsize=SIZE + 1)
        axes.set_xlabel(x_label, loc="right")
        axes.grid(axis="x")
        axes.grid(axis="y", visible=False)
        if x_log:
            axes.set_xscale("log")
        if level is not None:
            axes.axvline(level, color=FAINT, lw=0.9, zorder=1)
        for y, name in enumerate(order):
            value, low, high = rows[name]
            color, _, strong = styles[name]
            if not drawable(value):
                left = axes.get_yaxis_transform()  # counts from the left end of the axis
                axes.plot(0.01, y, "x", color=color, ms=4, transform=left, clip_on=False)
                continue
            ends = [v if drawable(v) else value for v in (low, high)]
            axes.plot(ends, [y, y], color=color, lw=2.2 if strong else 1.4, solid_capstyle="butt")
            axes.plot(value, y, "o", color=color, ms=5.5 if strong else 4)
        axes.set_yticks(range(len(order)), labels)
        for label, name in zip(axes.get_yticklabels(), order, strict=True):
            label.set_fontweight(styles[name].font_weight)
        axes.set_ylim(-0.6, len(order) - 0.4)
        axes.tick_params(axis="y", length=0)
        plain_ticks(axes, x_log)
        return to_svg(figure, title)


def scatter_plot(
    groups: Mapping[str, np.ndarray], *, title: str, x_label: str, y_label: str, highlight: Sequence[str] = ()
) -> str:
    """Draws points; each group has its own colour and marker.

    Args:
        groups: by name f[2, n], the horizontal and the vertical numbers; what is not finite is left out.
        title: of the figure.
        x_label: below the horizontal axis.
        y_label: beside the vertical axis.
        highlight: names drawn in strong colours, as in `loss_curves`, and on top.

    Returns:
        An `<svg>` element, the same bytes for the same arguments.

    Raises:
        ValueError: if there are no groups, or one has another shape.
        ImportError: if matplotlib is not installed.

    Example:
        >>> scatter_plot({"mine": [[0.1, 0.2], [1, 2]]}, title="Growth", x_label="x", y_label="y")[:5]
        '<svg '
    """
    if not groups:
        raise ValueError("there are no groups to draw; give at least one")
    styles = line_styles(list(groups), highlight)
    with house_style():
        figure, axes = labelled_axes(title, x_label, y_label)
        axes.grid(visible=True, axis="both")
        for i, (name, points) in enumerate(groups.items()):
            table = np.asarray(points, np.float64)
            if table.ndim != 2 or len(table) != 2:
                raise ValueError(f"the group {name!r} has shape {table.shape}; give [2, n]")
            color, _, strong = styles[name]
            axes.plot(
                *table[:, np.isfinite(table).all(0)],
                MARKERS[i % len(MARKERS)],
                color=color,
                ms=5.5 if strong else 4,
                mew=0,
                alpha=0.8,
                label=name,
                zorder=3 if strong else 2,
                clip_on=False,
            )
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        return to_svg(figure, title)


def _line(name: str, table: np.ndarray, x_log: bool, style: LineStyle) -> Line:
    table = np.asarray(table, np.float64)
    if table.ndim != 2 or table.shape[0] not in (2, 4):
        raise ValueError(f"the line {name!r} has shape {table.shape}; give [2, n] or, with a band, [4, n]")
    if x_log:
        table = table[:, table[0] > 0]
    x, y = table[:2]
    low, high = table[2:] if table.shape[0] == 4 else (y, y)
    y = np.where(np.isfinite(y), y, np.nan)
    return Line(x, y, low, high, name, style)


def _y_range(lines: Sequence[Line], y_log: bool) -> tuple[float, float]:
    """The range of the lines; on a logarithmic axis without what explodes or falls to rounding errors."""
    values = np.concatenate([line.y for line in lines])
    values = values[np.isfinite(values)]
    if not y_log:
        low, high = (values.min(), values.max()) if values.size else (0.0, 1.0)
        margin = 0.05 * (high - low) or 0.5
        return float(low - margin), float(high + margin)
    values = values[values > 0]
    if not values.size:
        return 0.1, 1.0
    starts = [line.y[np.isfinite(line.y)][:1] for line in lines]
    high = min(values.max(), FAR * max(np.concatenate(starts).max(), values.min()))
    low = max(values.min(), 1e-12 * high)
    # The bands too, as long as they do not make the lines small.
    lows, highs = (np.concatenate([getattr(line, side) for line in lines]) for side in ("low", "high"))
    low = lows[lows >= low / 3].min(initial=low)
    return float(low), float(highs[highs <= 3 * high].max(initial=high))
