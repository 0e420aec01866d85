"""Axes of figures: titles, ranges and ticks."""

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from learned_opt.reports.style import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


def labelled_axes(
    title: str, x_label: str, y_label: str = "", *, height: float = 3.3, label_below: bool = False
) -> tuple["Figure", "Axes"]:
    """A figure, `height` inches high, with one pair of axes, to be used inside `house_style`.

    `label_below` leaves room for a small label between the axes and the title.
    """
    figure = new_figure(height)
    axes = figure.add_subplot()
    set_title(axes, title, label_below)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return figure, axes


def set_title(axes: "Axes", title: str, label_below: bool = False) -> None:
    """Sets a title, in several lines if it is long, with room for a small label below it if asked for."""
    axes.set_title(textwrap.fill(title, 62), pad=15 if label_below else 6)


def step_axis(axes: "Axes", first: float, last: float) -> None:
    """Makes the horizontal axis one of steps: linear, with whole numbers."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_xlim(first, max(last, first + 1))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))


def loss_axis(axes: "Axes", low: float, high: float) -> None:
    """Makes the vertical axis one of losses: logarithmic, unless `low` is not positive."""
    from matplotlib.ticker import LogLocator

    if low <= 0:
        margin = 0.05 * (high - low) or 1.0
        axes.set_ylim(low - margin, high + margin)
        return
    decades = np.log10(high / low)
    margin = 10 ** max(0.05 * decades, 0.02)
    axes.set_yscale("log")
    axes.set_ylim(low / margin, high * margin)
    if decades >= 0.9:
        axes.yaxis.set_minor_locator(LogLocator(subs=range(2, 10), numticks=9))
    _log_ticks(axes.yaxis, low, high, "g", smallest=5e-4)


def number_axis(axes: "Axes", x: np.ndarray, log: bool) -> None:
    """Makes the horizontal axis one of the numbers x, f[n]; of steps if it is linear and all are whole."""
    x = x[np.isfinite(x)]
    first, last = (x.min(), x.max()) if x.size else (0.0, 1.0)
    if not log and np.all(x == np.round(x)):
        step_axis(axes, float(first), float(last))
        return
    if log:
        axes.set_xscale("log")
    axes.set_xlim(float(first), float(last if last > first else first + abs(first) * 0.1 + 1e-9))
    plain_ticks(axes, log)


def plain_ticks(axes: "Axes", log: bool) -> None:
    """Gives the horizontal axis ticks that suit its present range."""
    from matplotlib.ticker import MaxNLocator

    if log:
        _log_ticks(axes.xaxis, *axes.get_xlim(), ",g", smallest=1e-3)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))


def _log_ticks(axis: "Axis", low: float, high: float, spec: str, smallest: float) -> None:
    """Ticks as dense as a logarithmic range allows: plain numbers, or powers of ten where those are long."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    decades = np.log10(high / low)
    if decades < 0.9:
        axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    else:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2.2 else (1,), numticks=9))
    plain = low >= smallest and high < 2e4
    axis.set_major_formatter(FuncFormatter(lambda v, _: format(v, spec) if plain else power(v)))
    axis.set_minor_formatter(NullFormatter())


def power(value: float) -> str:
    """A positive number as a power of ten, with a factor before it where it is none: 2×10⁻³."""
    mantissa, exponent = f"{value:.2e}".split("e")
    tens = "10" + str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return tens if float(mantissa) == 1 else f"{float(mantissa):g}\N{MULTIPLICATION SIGN}{tens}"
