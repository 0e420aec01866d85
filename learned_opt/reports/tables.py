"""Tables: which of a result's numbers are shown and how, as text for reports and for the terminal."""

import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from learned_opt.core.extras import needed_for

if TYPE_CHECKING:
    from rich.table import Table

Rows = Sequence[Mapping[str, Any]]

FLAGS = ("on_edge", "unranked", "ranked_with")  # keys of a row that are not columns
GAP = 2  # characters between two columns in a terminal
WIDEST = 10_000  # characters of a line
MOST_DIGITS = 6  # of the ends of a narrow interval
WARNING, EN_DASH = "⚠", "\N{EN DASH}"
EDGE_WARNING = f"{WARNING} the best swept value lies on the edge of its grid: a better one may exist"


@dataclass(frozen=True)
class Column:
    """How a column of a table is shown.

    Attributes:
        label: its heading.
        best: which end of its numbers is good; the best is set in bold.
        digits: significant digits of its numbers.
        interval: the keys of the lower and the upper end of its numbers' intervals, which are shown behind
            the numbers unless both ends are equal.

    Example:
        >>> Column("mean loss", best="low").digits
        4
    """

    label: str
    best: Literal["low", "high"] | None = None
    digits: int = 4
    interval: tuple[str, str] | None = None

    def __post_init__(self):
        if self.best not in (None, "low", "high"):
            raise ValueError(f'best={self.best!r}: it must be "low", "high" or None')
        if self.digits < 1:
            raise ValueError(f"digits={self.digits!r}: it must be at least 1")


def format_value(value: Any, digits: int = 4) -> str:
    """A value as tables show it, with so many significant digits if it is a float; an en dash for `None`."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None:
        return EN_DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])  # once it is rounded
    if digits <= exponent < 7:
        return f"{value:,.0f}"
    text = f"{value:#.{digits}g}".rstrip(".")
    return re.sub(r"e([+-])0*", lambda e: "e" + e[1].strip("+"), text)


def print_table(rows: Rows, columns: Mapping[str, Column] | None = None, *, title: str | None = None) -> None:
    """Prints a table; where it is wider than the terminal even with narrow headings, it is so.

    Args:
        rows: as in `Section`.
        columns: as in `Section`.
        title: above the table.

    Example:
        >>> print_table([{"optimizer": "adam", "loss": 0.1}])
        optimizer    loss
        ...
    """
    with needed_for("a printed table", "train"):
        from rich.console import Console
        from rich.measure import Measurement

    console = Console()
    table = terminal_table(rows, columns, title=title, width=console.width)
    least = Measurement.get(console, console.options.update(max_width=WIDEST), table).minimum
    console.width = max(console.width, least)
    console.print(table)


def terminal_table(
    rows: Rows,
    columns: Mapping[str, Column] | None = None,
    *,
    title: str | None = None,
    width: int = 80,
) -> "Table":
    """A table for a rich console, with the numbers as a report shows them.

    Numbers and the rows' names are never broken: 1.77 for 1.778 would be another number.

    Args:
        rows: as in `Section`.
        columns: as in `Section`.
        title: above the table.
        width: characters of a line; the headings of a wider table are broken into lines.

    Returns:
        The table. `print_table` prints it; so does `rich.console.Console().print`, which cuts off
        what is wider than the console.

    Example:
        >>> table = terminal_table([{"optimizer": "adam", "loss": 0.1}])
        >>> [list(column.cells)[0].plain for column in table.columns]
        ['adam', '0.1000']
    """
    with needed_for("a printed table", "train"):
        from rich import box
        from rich.table import Table
        from rich.text import Text

    cells = table_cells(rows, columns)
    table = Table(
        title=Text(title) if title else None,
        title_justify="left",
        caption=Text(EDGE_WARNING) if cells.on_edge else None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    for i, (label, numeric) in enumerate(_narrow(cells, width)):
        whole = numeric or i == 0
        table.add_column(Text(label), justify="right" if numeric else "left", overflow="fold", no_wrap=whole)
    for row in cells.body:
        table.add_row(*(Text(text, style="bold" if best else "") for text, best in row))
    return table


def _narrow(cells: "Cells", width: int) -> list[tuple[str, bool]]:
    """The head, its labels in several lines where the table would be wider than so many characters."""
    contents = [max((len(row[i][0]) for row in cells.body), default=0) for i in range(len(cells.head))]
    whole = sum(max(len(label), most) + GAP for (label, _), most in zip(cells.head, contents, strict=True))
    if whole - GAP <= width:
        return cells.head
    head = []
    for (label, numeric), most in zip(cells.head, contents, strict=True):
        least = max(most, *map(len, re.findall(r"[^\s-]*-?", label)))  # a line breaks behind a hyphen too
        head.append((textwrap.fill(label, least, break_long_words=False), numeric))
    return head


class Cells(NamedTuple):
    """A table as text: (label, numeric) for each column, and (text, best) for each cell of each row."""

    head: list[tuple[str, bool]]
    body: list[list[tuple[str, bool]]]
    on_edge: bool


def table_cells(rows: Rows, columns: Mapping[str, Column] | None) -> Cells:
    """A table's cells as text, and which are the best of their columns; arguments as in `Section`."""
    if columns is None:
        keys = dict.fromkeys(key for row in rows for key in row if key not in FLAGS)
        columns = {key: Column(key.replace("_", " ")) for key in keys}
    if rows and not columns:
        raise ValueError("the table has rows and no columns; name at least one column")
    head = []
    for key, column in columns.items():
        values = [row.get(key) for row in rows]
        head.append((column.label, all(v is None or _is_number(v) for v in values)))
    texts = [_column_cells(rows, key, column) for key, column in columns.items()]
    body = [list(cells) for cells in zip(*texts, strict=True)]
    for row, cells in zip(rows, body, strict=True):
        if row.get("on_edge"):
            cells[0] = (f"{cells[0][0]} {WARNING}", cells[0][1])
    return Cells(head, body, any(row.get("on_edge") for row in rows))


def _column_cells(rows: Rows, key: str, column: Column) -> list[tuple[str, bool]]:
    shown = [(row, format_value(row.get(key), column.digits)) for row in rows]
    # Compared as shown: a difference that cannot be seen is none.
    ranked: dict[Any, dict[str, float]] = {}
    for row, text in shown:
        if column.best and _is_finite_number(row.get(key)) and not row.get("unranked"):
            ranked.setdefault(row.get("ranked_with"), {})[text] = row[key]
    best = {
        group: (min if column.best == "low" else max)(texts, key=texts.__getitem__)
        for group, texts in ranked.items()
        if len(texts) > 1
    }
    return [
        (
            text + _interval(row, key, column) if _is_finite_number(row.get(key)) else text,
            text == best.get(row.get("ranked_with")) and not row.get("unranked"),
        )
        for row, text in shown
    ]


def _interval(row: Mapping[str, Any], key: str, column: Column) -> str:
    """The ends, in fewer digits than the number unless they would be equal then, or not around it."""
    ends = [row[end] for end in column.interval or () if row.get(end) is not None]
    if len(ends) < 2:
        return ""
    shown = _rounded(row[key], column.digits)
    for digits in range(max(column.digits - 1, 2), max(column.digits, MOST_DIGITS) + 1):
        low, high = (_rounded(end, digits) for end in ends)
        if low != high and (digits >= column.digits or low <= shown <= high):
            return f" [{format_value(ends[0], digits)}, {format_value(ends[1], digits)}]"
    return ""


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits - 1}e}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _is_finite_number(value: Any) -> bool:
    return _is_number(value) and math.isfinite(value)
