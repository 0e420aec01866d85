"""Results as one HTML file that needs nothing else.

A report holds its data as JSON too, so that `read_report` gives back what was written.
"""

import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from learned_opt.core.extras import needed_for
from learned_opt.core.paths import user_path
from learned_opt.reports.tables import EDGE_WARNING, Column, Rows, table_cells
from learned_opt.runs.files import write_atomically

DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)
CONTENTS_FROM = 5  # sections; with more a list of them comes first


@dataclass(frozen=True)
class Section:
    """A part of a report; whatever is left out is not shown.

    Attributes:
        heading: its title.
        prose: text; an empty line starts a new paragraph.
        rows: a dictionary for each row of the table. A row with a true "on_edge" gets a warning sign, one
            with a true "unranked" is never the best, and those with the same "ranked_with" are ranked among
            themselves.
        columns: which keys of the rows are shown, and how; all but these by default.
        figures: `<svg>` elements, such as `loss_curves` returns.
        captions: one for each figure, or none at all.
        command: that reproduces these results.

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


def write_report(path: str | Path, *, title: str, summary: str, sections: Sequence[Section]) -> None:
    """Writes a report: one HTML file with everything in it, no scripts, nothing loaded from elsewhere.

    Args:
        path: of the file; its directory is made if there is none, and an older file replaced.
        title: of the report.
        summary: text below the title.
        sections: what follows; where there are many, behind a list of their headings.

    Raises:
        TypeError: naming a section whose rows JSON cannot hold.
        OSError: if the file cannot be written.

    Example:
        >>> rows = [{"optimizer": "adam", "loss": 0.1}, {"optimizer": "sgd", "loss": 0.2}]
        >>> write_report("report.html", title="Two", summary="", sections=[Section("All", rows=rows)])
        >>> read_report("report.html")["sections"][0]["rows"][1]
        {'optimizer': 'sgd', 'loss': 0.2}
    """
    with needed_for("a report", "train"):
        import jinja2
        from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["with_code"] = _with_code
    data = {"title": title, "summary": summary, "sections": [_data(s) for s in sections]}
    # Inside a script nothing is unescaped, so that a "<" must not be there at all.
    text = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
    number = itertools.count(1)
    views = [
        {
            "section": section,
            "table": table_cells(section.rows, section.columns) if section.rows else None,
            "figures": [
                (Markup(_with_own_ids(svg, next(number))), caption)
                for svg, caption in itertools.zip_longest(section.figures, section.captions, fillvalue="")
            ],
        }
        for section in sections
    ]
    page = environment.get_template("report.html.j2").render(
        title=title,
        summary=summary,
        views=views,
        contents_from=CONTENTS_FROM,
        edge_warning=EDGE_WARNING,
        data=Markup(text),
    )
    path = user_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page.encode())


def _with_code(text: str) -> Any:
    """Text for HTML, what stands in backticks as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def read_report(path: str | Path) -> dict[str, Any]:
    """The data of a report.

    Args:
        path: of a file that `write_report` wrote.

    Returns:
        "title", "summary" and "sections", each of them a dictionary of "heading", "prose", "rows" and
        "command"; numbers that were not finite are `None`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is no report.

    Example:
        >>> write_report("empty.html", title="Nothing <yet>", summary="", sections=[])
        >>> read_report("empty.html")
        {'title': 'Nothing <yet>', 'summary': '', 'sections': []}
    """
    found = DATA.search(user_path(path).read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{path} holds no data: it is no report, or it was cut off")
    return json.loads(found[1])


def _data(section: Section) -> dict[str, Any]:
    rows = [{key: _json_value(value) for key, value in row.items()} for row in section.rows]
    try:
        json.dumps(rows)
    except TypeError as error:
        raise TypeError(
            f"the rows of section {section.heading!r} cannot be stored as JSON: {error}; "
            "use text, numbers, booleans and None"
        ) from error
    return {"heading": section.heading, "prose": section.prose, "rows": rows, "command": section.command}


def _json_value(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _with_own_ids(svg: str, number: int) -> str:
    """The figure with ids that no other figure of the page has."""
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>figure{number}-", svg)
