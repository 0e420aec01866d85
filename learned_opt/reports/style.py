"""The paper that figures are drawn on: fonts, axes, and SVG text that is the same every time."""

import contextlib
import html
import io
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 5.6  # inches: a page's text width, and still readable when a phone scales it down
SIZE, SMALL = 9.0, 8.0  # points
INK, FAINT = "#222222", "#8a8a8a"
STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # shipped with matplotlib, so the same everywhere
    "font.size": SIZE,
    "axes.titlesize": SIZE + 1,
    "axes.titlelocation": "left",
    "axes.labelsize": SIZE,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "text.parse_math": False,  # a name with dollars is a name
    "legend.frameon": False,
    "legend.fontsize": SMALL,
    "legend.handlelength": 2.4,
    "legend.handletextpad": 0.6,
    "legend.borderpad": 0.2,
    "legend.labelspacing": 0.45,
    "svg.fonttype": "path",
    "svg.hashsalt": "learned_opt",
}


@contextlib.contextmanager
def house_style() -> Iterator[None]:
    """Draws with the defaults of matplotlib and ours, whatever the user's are.

    Yields:
        Nothing; figures are made and written inside.

    Raises:
        ImportError: naming the extra, if matplotlib is not installed.

    Example:
        >>> with house_style():
        ...     figure = new_figure(2.0)
    """
    require_plots()
    from matplotlib import style

    with style.context(["default", STYLE]):  # type: ignore[arg-type]
        yield


def require_plots() -> None:
    """Raises `ImportError` naming the extra to install, where matplotlib is missing.

    A long job that ends in a figure calls it first.

    Raises:
        ImportError: if there is no matplotlib.

    Example:
        >>> require_plots()
    """
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        raise ImportError("figures are drawn with matplotlib: pip install 'learned-opt[plots]'") from error


def new_figure(height: float) -> "Figure":
    """An empty figure of a page's text width, to be used inside `house_style`.

    Args:
        height: in inches.

    Returns:
        The figure.

    Example:
        >>> new_figure(2.0).get_size_inches().tolist()
        [5.6, 2.0]
    """
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), layout="constrained")


def set_title(axes: "Axes", title: str, label_below: bool = False) -> None:
    """Sets a title, in several lines if it is long.

    Args:
        axes: below the title.
        title: plain text.
        label_below: whether to leave room for a small label between the axes and the title.

    Example:
        >>> axes = new_figure(2.0).add_subplot()
        >>> set_title(axes, "long " * 20)
        >>> axes.get_title().count("long")
        20
    """
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
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    if low <= 0:
        margin = 0.05 * (high - low) or 1.0
        axes.set_ylim(low - margin, high + margin)
        return
    decades = np.log10(high / low)
    margin = 10 ** max(0.05 * decades, 0.02)
    axes.set_yscale("log")
    axes.set_ylim(low / margin, high * margin)
    if decades < 0.9:
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    else:
        subs = (1, 2, 5) if decades < 2.2 else (1,)
        axes.yaxis.set_major_locator(LogLocator(subs=subs, numticks=9))
        axes.yaxis.set_minor_locator(LogLocator(subs=range(2, 10), numticks=9))
    plain = low >= 5e-4 and high < 2e4
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}" if plain else power(v)))
    axes.yaxis.set_minor_formatter(NullFormatter())


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


def to_svg(figure: "Figure", title: str) -> str:
    """The SVG text of a figure, without anything that depends on when or where it is drawn.

    Args:
        figure: to be used inside `house_style`.
        title: what a screen reader calls the figure.

    Returns:
        An `<svg>` element.

    Example:
        >>> with house_style():
        ...     svg = to_svg(new_figure(2.0), "nothing")
        >>> svg.startswith('<svg role="img" aria-label="nothing"')
        True
    """
    buffer = io.StringIO()
    undated = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", metadata=undated)
    text = buffer.getvalue()
    label = html.escape(title, quote=True)
    return text[text.index("<svg") :].replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def to_png(figure: "Figure") -> bytes:
    """The PNG file of a figure.

    Args:
        figure: to be used inside `house_style`.

    Returns:
        The file's bytes.

    Example:
        >>> with house_style():
        ...     to_png(new_figure(2.0))[1:4]
        b'PNG'
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=200, metadata={"Software": None})
    return buffer.getvalue()
