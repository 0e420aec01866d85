"""Results as a table in the terminal and as one HTML file that needs nothing else.

A report holds its data as JSON too, so that `read_report` gets back what was written.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from learned_opt.runs.files import write_atomically

if TYPE_CHECKING:
    from rich.table import Table

Rows = Sequence[Mapping[str, Any]]

FLAGS = ("on_edge", "unranked")  # keys of a row that are not columns
WARNING, EN_DASH = "⚠", "\N{EN DASH}"
EDGE_NOTE = f"{WARNING} the best swept value lies on the edge of its grid: a better one may exist"
DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)


@dataclass(frozen=True)
class Column:
    """How a column of a table is shown.

    Attributes:
        label: its heading.
        best: which end of its numbers is good; the best is set in bold.
        digits: significant digits of its numbers.
        interval: the keys of the lower and the upper end of its numbers' intervals, which are shown behind
            them unless they are the same.

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


@dataclass(frozen=True)
class Section:
    """A part of a report; whatever is left out is not shown.

    Attributes:
        heading: its title.
        prose: text; an empty line starts a new paragraph.
        rows: a dictionary a row of the table; a true "on_edge" puts a warning sign on its row, and one with a
            true "unranked" is never the best.
        columns: which keys of the rows are shown, and how; all but these two by default.
        figures: `<svg>` elements, as those of `loss_curves`.
        captions: one a figure, or none at all.
        command: that gives these results again.

    Example:
        >>> Section("Results", rows=[{"optimizer": "adam", "loss": 0.1}]).heading
        'Results'
    """

    heading: str
    prose: str = ""
    rows: Rows = ()
    columns: Mapping[str, Column] | None = None
    figures: Sequence[str] = ()
    captions: Sequence[str] = ()
    command: str = ""

    def __post_init__(self):
        for figure in self.figures:
            if not figure.startswith("<svg"):
                raise ValueError(
                    f"a figure starts with {figure[:20]!r}; give an <svg> element, such as "
                    "loss_curves returns"
                )
        if len(self.captions) not in (0, len(self.figures)):
            raise ValueError(
                f"{len(self.captions)} captions for {len(self.figures)} figures; give one each, or none"
            )


def format_value(value: Any, digits: int = 4) -> str:
    """A value as tables show it.

    Args:
        value: a number, text, boolean or `None`.
        digits: significant digits of a number that is not whole by type.

    Returns:
        The text; an en dash for `None`.

    Example:
        >>> [format_value(v) for v in (0.25, 12345.6, 1.2e-7, 2000, None, True, float("inf"))]
        ['0.2500', '12,346', '1.200e-7', '2,000', '–', 'yes', '∞']
    """
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


def terminal_table(
    rows: Rows, columns: Mapping[str, Column] | None = None, *, title: str | None = None
) -> "Table":
    """A table for a rich console, with the numbers as a report shows them.

    Args:
        rows: as in `Section`.
        columns: as in `Section`.
        title: above the table.

    Returns:
        The table; print it with `rich.console.Console().print`.

    Example:
        >>> table = terminal_table([{"optimizer": "adam", "loss": 0.1}])
        >>> [list(column.cells)[0].plain for column in table.columns]
        ['adam', '0.1000']
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    cells = _cells(rows, columns)
    table = Table(
        title=Text(title) if title else None,
        title_justify="left",
        caption=Text(EDGE_NOTE) if cells.on_edge else None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    for i, (label, numeric) in enumerate(cells.head):
        table.add_column(
            Text(label),
            justify="right" if numeric else "left",
            # Folded, not cut off: 1.77 for 1.778 would be another number. The rows' names stay whole.
            overflow="fold",
            no_wrap=i == 0 and not numeric,
        )
    for row in cells.body:
        table.add_row(*(Text(text, style="bold" if best else "") for text, best in row))
    return table


def write_report(path: str | Path, *, title: str, summary: str, sections: Sequence[Section]) -> None:
    """Writes a report: one HTML file with everything in it, no scripts, nothing loaded from elsewhere.

    Args:
        path: of the file; its directory is made if there is none, and an older file replaced.
        title: of the report.
        summary: text below the title.
        sections: what follows.

    Raises:
        TypeError: naming a section whose rows JSON cannot hold.
        OSError: if the file cannot be written.

    Example:
        >>> rows = [{"optimizer": "adam", "loss": 0.1}, {"optimizer": "sgd", "loss": 0.2}]
        >>> write_report("report.html", title="Two", summary="", sections=[Section("All", rows=rows)])
        >>> read_report("report.html")["sections"][0]["rows"][1]
        {'optimizer': 'sgd', 'loss': 0.2}
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    data = {"title": title, "summary": summary, "sections": [_data(s) for s in sections]}
    # Inside a script nothing is unescaped, so that a "<" must not be there at all.
    text = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
    number = 0
    views = []
    for section in sections:
        figures = []
        for svg, caption in zip(
            section.figures, section.captions or [""] * len(section.figures), strict=True
        ):
            number += 1
            figures.append((Markup(_own_ids(svg, number)), caption))
        table = _cells(section.rows, section.columns) if section.rows else None
        views.append({"section": section, "table": table, "figures": figures})
    page = environment.get_template("report.html.j2").render(
        title=title, summary=summary, views=views, edge_note=EDGE_NOTE, data=Markup(text)
    )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(Path(path), page.encode())


def read_report(path: str | Path) -> dict[str, Any]:
    """The data of a report.

    Args:
        path: of a file that `write_report` wrote.

    Returns:
        "title", "summary" and "sections", a dictionary each with "heading", "prose", "rows" and
        "command"; numbers that were not finite are `None`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is no report.

    Example:
        See `write_report`.

        >>> write_report("empty.html", title="Nothing <yet>", summary="", sections=[])
        >>> read_report("empty.html")
        {'title': 'Nothing <yet>', 'summary': '', 'sections': []}
    """
    found = DATA.search(Path(path).read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{path} holds no data: it is no report, or it was cut off")
    return json.loads(found[1])


class _Cells(NamedTuple):
    """A table as text: (label, numeric) a column, and (text, best) a cell."""

    head: list[tuple[str, bool]]
    body: list[list[tuple[str, bool]]]
    on_edge: bool


def _cells(rows: Rows, columns: Mapping[str, Column] | None) -> _Cells:
    if columns is None:
        keys = dict.fromkeys(key for row in rows for key in row if key not in FLAGS)
        columns = {key: Column(key.replace("_", " ")) for key in keys}
    if rows and not columns:
        raise ValueError("the table has rows and no columns; name at least one column")
    head, texts = [], []
    for key, column in columns.items():
        values = [row.get(key) for row in rows]
        shown = [format_value(value, column.digits) for value in values]
        numbers: dict[str, Any] = {
            text: v
            for text, v, row in zip(shown, values, rows, strict=True)
            if _is_finite_number(v) and not row.get("unranked")
        }
        best = None
        if column.best and len(numbers) > 1:
            # Compared as shown: a difference that cannot be seen is none.
            best = (min if column.best == "low" else max)(numbers, key=numbers.__getitem__)
        head.append((column.label, all(v is None or _is_number(v) for v in values)))
        texts.append(
            [
                (
                    text + _interval(row, column) if _is_finite_number(value) else text,
                    text == best and not row.get("unranked"),
                )
                for text, value, row in zip(shown, values, rows, strict=True)
            ]
        )
    body = [list(cells) for cells in zip(*texts, strict=True)]
    for row, cells in zip(rows, body, strict=True):
        if row.get("on_edge"):
            cells[0] = (f"{cells[0][0]} {WARNING}", cells[0][1])
    return _Cells(head, body, any(row.get("on_edge") for row in rows))


def _interval(row: Mapping[str, Any], column: Column) -> str:
    if column.interval is None or any(row.get(key) is None for key in column.interval):
        return ""
    if len({row[key] for key in column.interval}) == 1:
        return ""
    low, high = (format_value(row[key], max(column.digits - 1, 2)) for key in column.interval)
    return f" [{low}, {high}]"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _is_finite_number(value: Any) -> bool:
    return _is_number(value) and math.isfinite(value)


def _data(section: Section) -> dict[str, Any]:
    rows = [{key: _plain(value) for key, value in row.items()} for row in section.rows]
    try:
        json.dumps(rows)
    except TypeError as error:
        raise TypeError(
            f"the rows of section {section.heading!r} cannot be stored as JSON: {error}; "
            "use text, numbers, booleans and None"
        ) from error
    return {
        "heading": section.heading,
        "prose": section.prose,
        "rows": rows,
        "command": section.command,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _own_ids(svg: str, number: int) -> str:
    """The figure with ids that no other figure of the page has."""
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>figure{number}-", svg)
