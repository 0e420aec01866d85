"""The plot style: fonts and colours, and SVG text that is the same every time."""

import contextlib
import html
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from learned_opt.core.extras import needed_for

if TYPE_CHECKING:
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
    """Draws with the defaults of matplotlib and ours, whatever the user's are; `require_plots` included."""
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
    with needed_for("a figure", "plots"):
        import matplotlib  # noqa: F401


def new_figure(height: float) -> "Figure":
    """An empty figure of a page's text width and a height in inches, to be used inside `house_style`."""
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), layout="constrained")


def to_svg(figure: "Figure", title: str) -> str:
    """The `<svg>` element of a figure, the same whenever and wherever it is drawn inside `house_style`.

    The title is what a screen reader calls the figure.
    """
    buffer = io.StringIO()
    undated = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", metadata=undated)
    text = buffer.getvalue()
    label = html.escape(title, quote=True)
    return text[text.index("<svg") :].replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def to_png(figure: "Figure") -> bytes:
    """The PNG file of a figure, to be used inside `house_style`."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=200, metadata={"Software": None})
    return buffer.getvalue()
