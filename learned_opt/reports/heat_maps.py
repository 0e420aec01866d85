"""Matrices as heat maps, in the style of the other figures."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from learned_opt.reports.style import INK, SIZE, house_style, new_figure, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Names = tuple[Sequence[str], Sequence[str]]
ROW_NAMES, COLUMN_LETTERS = 45, 60  # that there is room for along a panel


def heat_map(
    panels: Mapping[str, np.ndarray],
    *,
    title: str,
    x_label: str,
    y_label: str,
    names: Names = ((), ()),
    marker: float | None = None,
    value_label: str = "",
    limit: float | None = None,
) -> str:
    """Draws matrices as coloured cells, one panel for each, all on one scale that is symmetric about 0.

    Negative numbers are blue, positive ones red, and 0 is white; what is not finite is grey.

    Args:
        panels: by name f[rows, columns]; the first row is on top. They are drawn one below the other, as
            high as they have rows; the name of a panel stands above it.
        title: of the figure.
        x_label: below the lowest panel.
        y_label: beside every panel.
        names: of the rows and of the columns, empty where they have none. All panels have as many rows, or
            columns, as there are names. Where there is no room for all, every second one is shown, or fewer.
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
        >>> heat_map({"first layer": weights}, title="Weights", x_label="input", y_label="unit")[:5]
        '<svg '
    """
    if not panels:
        raise ValueError("there are no panels to draw; give at least one")
    matrices = {name: np.asarray(matrix, np.float64) for name, matrix in panels.items()}
    for name, matrix in matrices.items():
        if matrix.ndim != 2 or not matrix.size:
            raise ValueError(f"the panel {name!r} has shape {matrix.shape}; give [rows, columns]")
        for what, own, size in zip(("row", "column"), names, matrix.shape, strict=True):
            if own and len(own) != size:
                raise ValueError(
                    f"{len(own)} {what} names for the panel {name!r} of shape {matrix.shape}; "
                    f"give one for each {what}"
                )
    largest = float(max(np.abs(m[np.isfinite(m)]).max(initial=0.0) for m in matrices.values()))
    scale = limit or largest or 1.0
    heights = [max(len(matrix), 4) for matrix in matrices.values()]
    with house_style():
        figure = new_figure(min(0.9 + 0.35 * len(heights) + 0.16 * sum(heights), 7.5))
        grid = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)
        all_axes = list(grid[:, 0])
        figure.suptitle(title, x=0.01, ha="left", fontsize=SIZE + 1)
        for axes, (name, matrix) in zip(all_axes, matrices.items(), strict=True):
            _draw_cells(axes, matrix, scale, names)
            if len(heights) > 1 or name != title:
                axes.set_title(name, fontsize=SIZE)
            axes.set_ylabel(y_label)
            if marker is not None:
                axes.axvline(marker - 0.5, color=INK, lw=0.9)
        all_axes[-1].set_xlabel(x_label)
        ends = "both" if largest > scale else "neither"
        cells = all_axes[0].images[0]
        bar = figure.colorbar(cells, ax=all_axes, fraction=0.05, pad=0.02, label=value_label, extend=ends)
        bar.outline.set_visible(False)  # type: ignore[operator]
        return to_svg(figure, title)


def _draw_cells(axes: "Axes", matrix: np.ndarray, scale: float, names: Names) -> None:
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    colors = colormaps["RdBu_r"].with_extremes(bad="#d0d0d0")
    axes.imshow(
        np.ma.masked_invalid(matrix),
        cmap=colors,
        vmin=-scale,
        vmax=scale,
        aspect="auto",
        interpolation="nearest",
    )
    axes.grid(visible=False)
    for axis, own in zip((axes.yaxis, axes.xaxis), names, strict=True):
        if own:
            room = ROW_NAMES if axis is axes.yaxis else COLUMN_LETTERS / (max(map(len, own)) + 1)
            every = math.ceil(len(own) / room)
            axis.set_ticks(range(0, len(own), every), own[::every])
        else:
            axis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.tick_params(length=0)
