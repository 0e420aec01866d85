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
    """A figure with one pair of axes, to be used inside `house_style`.

    Args:
        title: plain text, set in several lines if it is long.
        x_label: below the horizontal axis.
        y_label: beside the vertical axis.
        height: of the figure, in inches.
        label_below: whether to leave room for a small label between the axes and the title.

    Returns:
        The figure and its axes.

    Example:
        >>> _, axes = labelled_axes("long " * 20, "step")
        >>> axes.get_title().count("long")
        20
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
    """Makes the horizontal axis one of steps: linear, with whole numbers.

    Args:
        axes: whose axis it is.
        first: step at the left end.
        last: step at the right end.

    Example:
        >>> axes = new_figure(2.0).add_subplot()
        >>> step_axis(axes, 0, 100)
        >>> axes.get_xlim()[1].item()
        100.0
    """
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_xlim(first, max(last, first + 1))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))


def loss_axis(axes: "Axes", low: float, high: float) -> None:
    """Makes the vertical axis one of losses: logarithmic, with labels as dense as its range allows.

    Args:
        axes: whose axis it is.
        low: the lowest loss to be seen; the axis is linear if it is not positive.
        high: the highest.

    Example:
        >>> axes = new_figure(2.0).add_subplot()
        >>> loss_axis(axes, 0.01, 1.0)
        >>> axes.get_yscale()
        'log'
    """
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
    """Makes the horizontal axis one of numbers: of steps if it is linear and all of them are whole.

    Args:
        axes: whose axis it is.
        x: f[n], the numbers that it spans; what is not finite does not count.
        log: whether the axis is logarithmic.

    Example:
        >>> _, axes = labelled_axes("", "width")
        >>> number_axis(axes, np.array([1.0, 10.0]), log=True)
        >>> axes.get_xscale()
        'log'
    """
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
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6))


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
    """A positive number as a power of ten, with a factor before it where it is none.

    Args:
        value: such as an axis's tick.

    Returns:
        The text, without markup.

    Example:
        >>> power(1e4), power(2e-3)
        ('10⁴', '2×10⁻³')
    """
    mantissa, exponent = f"{value:.2e}".split("e")
    tens = "10" + str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return tens if float(mantissa) == 1 else f"{float(mantissa):g}\N{MULTIPLICATION SIGN}{tens}"
