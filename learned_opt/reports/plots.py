"""Plain plots in the style of the other figures: lines, intervals, and matrices as heat maps."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from learned_opt.reports.figures import _draw, _label_ends, _legend, _Line, _styles
from learned_opt.reports.style import (
    FAINT,
    INK,
    SIZE,
    house_style,
    loss_axis,
    new_figure,
    power,
    set_title,
    step_axis,
    to_svg,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

MARKERS = "osD^vP*Xph<>"
FAR = 30.0  # an axis does not follow a line further than this factor above where the lines start


def line_plot(
    lines: Mapping[str, np.ndarray],
    *,
    title: str,
    x_label: str,
    y_label: str,
    x_log: bool = False,
    y_log: bool = True,
    y_limits: tuple[float, float] | None = None,
    level: float | None = None,
    marks: Sequence[float] = (),
    highlight: Sequence[str] = (),
) -> str:
    """Draws a number against another, a name a line, with a band where there is one.

    Args:
        lines: by name f[2, n], the horizontal and the vertical numbers, or f[4, n] with the lower and the
            upper end of the band besides. A line has a gap where its number is not finite.
        title: of the figure.
        x_label: below the horizontal axis.
        y_label: beside the vertical axis.
        x_log: whether the horizontal axis is logarithmic; what is not positive is then left out.
        y_log: whether the vertical axis is.
        y_limits: the ends of the vertical axis; by default those of the lines, without what explodes.
        level: a height to mark with a faint line, such as 1 for "no better".
        marks: horizontal numbers to mark with faint lines, such as the steps at which something changes.
        highlight: names drawn in strong colours, as in `loss_curves`.

    Returns:
        An `<svg>` element, the same bytes for the same arguments.

    Raises:
        ValueError: if there are no lines, or one has another shape.
        ImportError: if matplotlib is not installed.

    Example:
        >>> x = np.arange(1.0, 9.0)
        >>> svg = line_plot(
        ...     {"adam": np.stack([x, 1 / x, 0.5 / x, 2 / x])}, title="Falls", x_label="step", y_label="loss"
        ... )
        >>> svg[:5]
        '<svg '
    """
    if not lines:
        raise ValueError("there are no lines to draw; give at least one")
    styles = _styles(list(lines), highlight)
    drawn = [_as_line(name, table, x_log, *styles[name]) for name, table in lines.items()]
    drawn.sort(key=lambda line: -np.nan_to_num(line.end, nan=-np.inf) if line.mean.size else np.inf)
    with house_style():
        figure = new_figure(3.3)
        axes = figure.add_subplot()
        set_title(axes, title)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        _x_axis(axes, np.concatenate([line.steps for line in drawn]), x_log)
        low, high = y_limits or _limits(drawn, y_log)
        loss_axis(axes, low, high) if y_log else axes.set_ylim(low, high)
        if level is not None:
            axes.axhline(level, color=FAINT, lw=0.8, zorder=1)
        for mark in marks:
            axes.axvline(mark, color=FAINT, lw=0.8, dashes=(1, 2), zorder=1)
        for line in drawn:
            _draw(axes, line)
        if not _label_ends(figure, axes, [line for line in drawn if line.mean.size]):
            _legend(figure, axes, drawn)
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
    """Draws a number with its interval, a name a row, the largest on top.

    Args:
        rows: by name the number and the ends of its interval. A number that is not finite, or not positive
            on a logarithmic axis, has its row with a cross at the axis's end.
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
        >>> svg = interval_plot({"adam": (1, 0.9, 1.2), "mine": (3, 2, 5)}, title="Speed", x_label="x Adam")
        >>> svg[:5]
        '<svg '
    """
    if not rows:
        raise ValueError("there are no rows to draw; give at least one")
    styles = _styles(list(rows), highlight)

    def shown(value: float) -> bool:
        return bool(np.isfinite(value)) and not (x_log and value <= 0)

    order = sorted(rows, key=lambda name: (shown(rows[name][0]), rows[name][0], name))
    with house_style():
        figure = new_figure(0.9 + 0.22 * len(rows))
        axes = figure.add_subplot()
        set_title(axes, title)
        axes.set_xlabel(x_label)
        axes.grid(axis="x")
        axes.grid(axis="y", visible=False)
        if x_log:
            axes.set_xscale("log")
        if level is not None:
            axes.axvline(level, color=FAINT, lw=0.9, zorder=1)
        for y, name in enumerate(order):
            value, low, high = rows[name]
            color, _, strong = styles[name]
            if not shown(value):
                place = (0.01, y)
                axes.plot(*place, "x", color=color, ms=4, transform=axes.get_yaxis_transform(), clip_on=False)
                continue
            ends = [v if shown(v) else value for v in (low, high)]
            axes.plot(ends, [y, y], color=color, lw=2.2 if strong else 1.4, solid_capstyle="butt")
            axes.plot(value, y, "o", color=color, ms=5.5 if strong else 4)
        axes.set_yticks(range(len(order)), order)
        for label, name in zip(axes.get_yticklabels(), order, strict=True):
            label.set_fontweight("bold" if styles[name][2] else "normal")
        axes.set_ylim(-0.6, len(order) - 0.4)
        axes.tick_params(axis="y", length=0)
        _plain_ticks(axes, x_log)
        return to_svg(figure, title)


def scatter_plot(
    groups: Mapping[str, np.ndarray], *, title: str, x_label: str, y_label: str, highlight: Sequence[str] = ()
) -> str:
    """Draws points, a colour and a marker a group.

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
        >>> svg = scatter_plot({"mine": [[0.1, 0.2], [1, 2]]}, title="Growth", x_label="x", y_label="y")
        >>> svg[:5]
        '<svg '
    """
    if not groups:
        raise ValueError("there are no groups to draw; give at least one")
    styles = _styles(list(groups), highlight)
    with house_style():
        figure = new_figure(3.3)
        axes = figure.add_subplot()
        set_title(axes, title)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
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


def heat_map(
    panels: Mapping[str, np.ndarray],
    *,
    title: str,
    x_label: str,
    y_label: str,
    y_names: Sequence[str] = (),
    x_names: Sequence[str] = (),
    marker: float | None = None,
    value_label: str = "",
    limit: float | None = None,
) -> str:
    """Draws matrices as coloured cells, a panel each, all on one scale that is symmetric about 0.

    Negative numbers are blue, positive ones red, and 0 is white; what is not finite is grey. A colour means
    the same in every panel.

    Args:
        panels: by name f[rows, columns]; the first row is on top. They are drawn one below the other, as
            high as they have rows; the name of a panel stands above it.
        title: of the figure.
        x_label: below the lowest panel.
        y_label: beside every panel.
        y_names: of the rows, where they have names; then all panels have as many rows.
        x_names: of the columns; then all panels have as many columns.
        marker: a column in front of which a line is drawn, such as the step at which something changes.
        value_label: beside the scale of colours.
        limit: absolute number where the scale ends, so that few large numbers do not hide the others; by
            default the largest.

    Returns:
        An `<svg>` element, the same bytes for the same arguments.

    Raises:
        ValueError: if there are no panels, one is no matrix, or names do not fit.
        ImportError: if matplotlib is not installed.

    Example:
        >>> weights = np.outer([1.0, -1.0], [0.5, 1.0, 2.0])
        >>> svg = heat_map({"first layer": weights}, title="Weights", x_label="input", y_label="unit")
        >>> svg[:5]
        '<svg '
    """
    if not panels:
        raise ValueError("there are no panels to draw; give at least one")
    matrices = {name: np.asarray(matrix, np.float64) for name, matrix in panels.items()}
    for name, matrix in matrices.items():
        if matrix.ndim != 2 or not matrix.size:
            raise ValueError(f"the panel {name!r} has shape {matrix.shape}; give [rows, columns]")
        for axis, names in enumerate((y_names, x_names)):
            if names and len(names) != matrix.shape[axis]:
                raise ValueError(
                    f"{len(names)} {'xy'[1 - axis]}_names for the panel {name!r} of shape {matrix.shape}; "
                    f"give one {('row', 'column')[axis]} each"
                )
    largest = float(max(np.abs(m[np.isfinite(m)]).max(initial=0.0) for m in matrices.values()))
    scale = limit or largest or 1.0
    heights = [max(len(matrix), 4) for matrix in matrices.values()]
    with house_style():
        figure = new_figure(min(0.9 + 0.35 * len(heights) + 0.16 * sum(heights), 7.5))
        every = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
        figure.suptitle(title, x=0.01, ha="left", fontsize=SIZE + 1)
        image = None
        for axes, (name, matrix) in zip(every, matrices.items(), strict=True):
            image = _draw_cells(axes, matrix, scale, x_names, y_names)
            if len(heights) > 1 or name != title:
                axes.set_title(name, fontsize=SIZE)
            axes.set_ylabel(y_label)
            if marker is not None:
                axes.axvline(marker - 0.5, color=INK, lw=0.9)
        every[-1].set_xlabel(x_label)
        assert image is not None
        ends = "both" if largest > scale else "neither"
        bar = figure.colorbar(image, ax=list(every), fraction=0.05, pad=0.02, label=value_label, extend=ends)
        bar.outline.set_visible(False)  # type: ignore[operator]
        return to_svg(figure, title)


def _draw_cells(
    axes: "Axes", matrix: np.ndarray, scale: float, x_names: Sequence[str], y_names: Sequence[str]
) -> "AxesImage":
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    colors = colormaps["RdBu_r"].with_extremes(bad="#d0d0d0")
    image = axes.imshow(
        np.ma.masked_invalid(matrix),
        cmap=colors,
        vmin=-scale,
        vmax=scale,
        aspect="auto",
        interpolation="nearest",
    )
    axes.grid(visible=False)
    for axis, names in ((axes.xaxis, x_names), (axes.yaxis, y_names)):
        if names:
            axis.set_ticks(range(len(names)), list(names))
        else:
            axis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.tick_params(length=0)
    return image


def _as_line(
    name: str, table: np.ndarray, x_log: bool, color: str, dashes: tuple[float, ...], strong: bool
) -> _Line:
    table = np.asarray(table, np.float64)
    if table.ndim != 2 or table.shape[0] not in (2, 4):
        raise ValueError(f"the line {name!r} has shape {table.shape}; give [2, n] or, with a band, [4, n]")
    if x_log:
        table = table[:, table[0] > 0]
    x, y = table[:2]
    low, high = table[2:] if table.shape[0] == 4 else (y, y)
    y = np.where(np.isfinite(y), y, np.nan)
    return _Line(x, y, low, high, name, True, color, dashes, strong)


def _limits(lines: Sequence[_Line], y_log: bool) -> tuple[float, float]:
    """The range of the lines; on a logarithmic axis without what explodes or falls to rounding errors."""
    values = np.concatenate([line.mean for line in lines])
    values = values[np.isfinite(values)]
    if not y_log:
        low, high = (values.min(), values.max()) if values.size else (0.0, 1.0)
        margin = 0.05 * (high - low) or 0.5
        return float(low - margin), float(high + margin)
    values = values[values > 0]
    if not values.size:
        return 0.1, 1.0
    starts = [line.mean[np.isfinite(line.mean)][:1] for line in lines]
    high = min(values.max(), FAR * max(np.concatenate(starts).max(), values.min()))
    low = max(values.min(), 1e-12 * high)
    # The bands too, as long as they do not make the lines small.
    lows, highs = (np.concatenate([getattr(line, side) for line in lines]) for side in ("low", "high"))
    low = lows[lows >= low / 3].min(initial=low)
    return float(low), float(highs[highs <= 3 * high].max(initial=high))


def _x_axis(axes: "Axes", x: np.ndarray, x_log: bool) -> None:
    x = x[np.isfinite(x)]
    first, last = (x.min(), x.max()) if x.size else (0.0, 1.0)
    if not x_log and np.all(x == np.round(x)):
        step_axis(axes, float(first), float(last))
        return
    if x_log:
        axes.set_xscale("log")
    axes.set_xlim(float(first), float(last if last > first else first + abs(first) * 0.1 + 1e-9))
    _plain_ticks(axes, x_log)


def _plain_ticks(axes: "Axes", x_log: bool) -> None:
    """Ticks as numbers, or as powers of ten where numbers would be long."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    low, high = axes.get_xlim()
    if not x_log:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
        return
    decades = np.log10(high / low)
    if decades < 0.9:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    else:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2.2 else (1,), numticks=9))
    axes.xaxis.set_minor_formatter(NullFormatter())
    plain = low >= 1e-3 and high < 2e4
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,g}" if plain else power(v)))
