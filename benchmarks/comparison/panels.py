"""Figures of many tasks at once: small multiples of curves, and points of every task in a row."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from learned_opt.reports.axes import loss_axis, plain_ticks
from learned_opt.reports.lines import LineStyle, line_styles
from learned_opt.reports.style import FAINT, INK, SMALL, house_style, new_figure, to_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 3
DEEP = 1e-9  # losses below this share of the first are not followed


def curve_panels(
    panels: Mapping[str, Mapping[str, np.ndarray]],
    *,
    title: str,
    x_label: str,
    highlight: Sequence[str] = (),
    columns: int = COLUMNS,
) -> str:
    """Axes for each task, as an `<svg>`: by task and name f[4, n], steps, losses and the ends of a band."""
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    styles = line_styles(names, highlight)
    rows = math.ceil(len(panels) / columns)
    with house_style():
        figure = new_figure(0.9 + 1.45 * rows)
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes, (task, lines) in zip(grid.flat, panels.items(), strict=False):
            axes.set_title(task, fontsize=SMALL, pad=3)
            axes.set_xscale("log")
            loss_axis(axes, *_range(lines))
            axes.tick_params(labelsize=SMALL - 1.5)
            for name, table in lines.items():
                steps, middle, low, high = np.asarray(table, np.float64)[:, 1:]
                style = styles[name]
                if style.strong or not highlight:  # more bands would hide each other
                    axes.fill_between(steps, low, high, color=style.color, alpha=0.16, lw=0, zorder=1.5)
                axes.plot(steps, middle, **style.stroke | {"lw": 1.4 if style.strong else 0.9})
            shown = np.concatenate([np.asarray(table)[0, 1:] for table in lines.values()])
            axes.set_xlim(shown.min(), shown.max())
            plain_ticks(axes, log=True)
        for axes in grid.flat[max(0, len(panels) - columns) : len(panels)]:
            axes.set_xlabel(x_label, fontsize=SMALL)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        _legend(figure, styles, {})
        figure.suptitle(title, x=0.01, ha="left", fontsize=SMALL + 2)
        return to_svg(figure, title)


def _range(lines: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """What an axis shows: from the first losses, or a little above, down to the lowest."""
    tables = [np.asarray(table, np.float64) for table in lines.values()]
    first = max(float(table[1, 0]) for table in tables)
    values = np.concatenate([table[1, 1:] for table in tables])
    values = values[np.isfinite(values) & (values > DEEP * first)]
    if not values.size:
        return 0.5 * first, 2 * first
    high = min(float(values.max()), 1.5 * first)
    return float(min(values.min(), 0.9 * high)), high


def strip_plot(
    rows: Mapping[str, Mapping[str, float]],
    *,
    title: str,
    x_label: str,
    level: float = 1.0,
    highlight: Sequence[str] = (),
) -> str:
    """A row for each task and in it a point for each name, as an `<svg>`; zeros are at the left end."""
    names = list(dict.fromkeys(name for points in rows.values() for name in points))
    styles = line_styles(names, highlight)
    values = np.array([v for points in rows.values() for v in points.values() if 0 < v < np.inf] or [level])
    low, high = min(values.min(), level) / 1.3, max(values.max(), level) * 1.3
    zero, end = low / 1.6, high
    with house_style():
        figure = new_figure(1.3 + 0.17 * len(rows))
        axes = figure.subplots()
        axes.set_xscale("log")
        axes.set_xlim(zero / 1.25, end)
        axes.axvline(level, color=FAINT, lw=0.9, zorder=1)
        axes.axvline(low, color=FAINT, lw=0.6, dashes=(1, 2), zorder=1)
        offsets = np.linspace(0.24, -0.24, len(names)) if len(names) > 1 else np.zeros(1)
        order = list(rows)[::-1]
        for name, offset in zip(names, offsets, strict=True):
            style = styles[name]
            found = [(rows[task][name], y) for y, task in enumerate(order) if name in rows[task]]
            x = np.clip([max(v, zero) for v, _ in found], zero, end)
            y = np.array([y for _, y in found]) + offset
            axes.plot(
                x,
                y,
                "o",
                color=style.color,
                ms=4.2 if style.strong else 3.2,
                mew=0,
                label=name,
                clip_on=False,
            )
        axes.set_yticks(range(len(order)), order, fontsize=SMALL - 1)
        axes.set_ylim(-0.7, len(order) - 0.3)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(x_label)
        ticks = [m * 10**k for k in range(-3, 6) for m in (1, 2, 5) if low <= m * 10**k <= high]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.annotate(
            "never",
            (zero, 1),
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=SMALL - 1,
            color=FAINT,
        )
        _legend(figure, styles, {"marker": "o", "ls": "none", "ms": 4})
        figure.suptitle(title, x=0.01, ha="left", fontsize=SMALL + 2)
        return to_svg(figure, title)


def _legend(figure: "Figure", styles: Mapping[str, LineStyle], mark: Mapping[str, Any]) -> None:
    """Names below the axes, each with a line or with the given mark."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], label=name, **({"color": style.color, **mark} if mark else style.stroke))
        for name, style in styles.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), labelcolor=INK)
