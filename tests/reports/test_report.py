"""Tables and reports: what they show, that they are self-contained, and that they do not change."""

import html.parser
import io
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from learned_opt.reports.figures import loss_curves
from learned_opt.reports.meta_figures import meta_training_curve
from learned_opt.reports.report import Section, read_report, write_report
from learned_opt.reports.tables import EN_DASH, WARNING, Column, print_table, terminal_table

LOADING = {"src", "href", "xlink:href", "srcset", "data", "poster", "action"}


# --- tables ---


ROWS = [
    {"optimizer": "<mine>", "loss": 0.10001, "accuracy": 0.9, "on_edge": False, "rate": None},
    {"optimizer": "adam", "loss": 0.1, "accuracy": 0.95, "on_edge": True, "rate": 0.01},
    {"optimizer": "sgd", "loss": float("nan"), "accuracy": 0.2, "on_edge": False, "rate": 1.0},
    {"optimizer": "nag", "loss": 0.2, "accuracy": None, "on_edge": False, "rate": 123},
]
COLUMNS = {
    "optimizer": Column("optimizer"),
    "loss": Column("mean loss", best="low"),
    "accuracy": Column("accuracy", best="high"),
    "rate": Column("swept rate", digits=3),
}


class Cells(html.parser.HTMLParser):
    """The cells of the tables of a page, the bold ones with stars; and what the page would load."""

    def __init__(self, page: str):
        super().__init__()
        self.cells: list[str] = []
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]):
        self.loaded += [v for k, v in attrs if k in LOADING and v and not v.startswith("#")]
        self.loaded += [tag] if tag in ("link", "iframe", "img", "object", "embed") else []
        self.ids += [v for k, v in attrs if k == "id" and v]
        if tag in ("td", "th"):
            self._inside = True
            self.cells.append("")
        elif tag == "strong":
            self.cells[-1] += "*"

    def handle_endtag(self, tag: str):
        if tag in ("td", "th"):
            self._inside = False

    def handle_data(self, data: str):
        if self._inside:
            self.cells[-1] += data


def test_report_table(tmp_path: Path):
    path = tmp_path / "report.html"
    section = Section("Results", rows=ROWS, columns=COLUMNS)
    write_report(path, title="t", summary="s", sections=[section])
    page = path.read_text()
    cells = Cells(page).cells
    assert [cells[i : i + 4] for i in range(0, len(cells), 4)] == [
        ["optimizer", "mean loss", "accuracy", "swept rate"],
        # 0.10001 and 0.1 look the same, so both are best.
        ["<mine>", "*0.1000", "0.9000", EN_DASH],
        [f"adam {WARNING}", "*0.1000", "*0.9500", "0.0100"],
        ["sgd", "nan", "0.2000", "1.00"],
        ["nag", "0.2000", EN_DASH, "123"],
    ]
    assert "edge of its grid" in page
    assert "<mine>" not in page


def test_terminal_table_has_the_same_cells():
    table = terminal_table(ROWS, COLUMNS, title="[red]t")
    cells = [[(text.plain, text.style) for text in c.cells] for c in table.columns]
    assert cells[0][:2] == [("<mine>", ""), (f"adam {WARNING}", "")]
    assert cells[1] == [("0.1000", "bold"), ("0.1000", "bold"), ("nan", ""), ("0.2000", "")]
    assert cells[2] == [("0.9000", ""), ("0.9500", "bold"), ("0.2000", ""), (EN_DASH, "")]
    console = Console(file=io.StringIO(), width=80)
    console.print(table)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[red]t" in printed
    assert "lies on the edge" in printed


@pytest.mark.parametrize("width", [80, 60, 25])
def test_a_narrow_terminal_breaks_headings_and_no_number(width: int, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    rows = [{"optimizer": "general-lite"} | {f"a very long name {i}": 0.001 / 7 for i in range(5)}]
    print_table(rows)
    head, _, body = capsys.readouterr().out.rpartition("─\n")
    assert body.split() == ["general-lite", *["0.0001429"] * 5]
    assert len(body.splitlines()) == 1
    names = " ".join(f"a very long name {i}" for i in range(5))
    assert sorted(head.replace("─", "").split()) == sorted(["optimizer", *names.split()])


def test_headings_break_at_hyphens_too(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "20")
    print_table([{"optimizer": "adam", "Bayes-optimal": 0.25}])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines[:2]] == ["Bayes-", "optimal"]
    assert max(map(len, lines)) <= 20


def test_a_table_that_fits_keeps_its_headings_in_one_line(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    print_table([{"optimizer": "adam", "a loss of eleven": 0.1, "another": 0.2}])
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_wrong_tables_and_sections_are_named(tmp_path: Path):
    with pytest.raises(ValueError, match="best='max'"):
        Column("loss", best="max")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="digits=0"):
        Column("loss", digits=0)
    with pytest.raises(ValueError, match="give an <svg> element"):
        Section("s", figures=["<script>"])
    with pytest.raises(ValueError, match="2 captions for 1 figures"):
        Section("s", figures=["<svg></svg>"], captions=["a", "b"])
    with pytest.raises(ValueError, match="no columns"):
        terminal_table(ROWS, {})
    bad = Section("Bad rows", rows=[{"loss": object()}])
    with pytest.raises(TypeError, match="'Bad rows' cannot be stored as JSON"):
        write_report(tmp_path / "r.html", title="t", summary="", sections=[bad])
    assert not list(tmp_path.iterdir())


# --- reports ---


@pytest.fixture(scope="module")
def sections() -> list[Section]:
    losses = np.geomspace(1, 0.01, 101)[None]
    curves = {"<adam>": losses, "sgd": np.sqrt(losses)}
    figure = loss_curves(curves, title="Loss <curves>", step_marker=50)
    rows = [{"step": i, "validation_loss": 1 / i, "meta_loss": 0.1} for i in range(1, 5)]
    return [
        Section("R&D", prose="One.\n\nTwo </script><b>.", rows=ROWS, command="run --x '<y>'"),
        Section("Figures", figures=[figure, figure], captions=["first <i>", ""]),
        Section("Training", figures=[meta_training_curve(rows, title="Meta")]),
    ]


def test_report_is_self_contained_and_escaped(tmp_path: Path, sections: list[Section]):
    path = tmp_path / "new" / "directory" / "report.html"
    write_report(path, title="<T>", summary="A & B", sections=sections)
    page = path.read_text()
    seen = Cells(page)
    assert seen.loaded == []
    assert not re.search(r"@import|url\((?!#)", page)
    assert page.count("<script") == page.count("</script>") == 1
    assert len(seen.ids) == len(set(seen.ids))
    references = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', page))
    assert {a or b for a, b in references} <= set(seen.ids)
    for literal in ("<T>", "<b>", "<i>", "<y>", "<adam>", "<mine>"):
        assert literal not in page
    for escaped in ("<title>&lt;T&gt;</title>", "<p>One.</p>", "R&amp;D", "<pre>run --x"):
        assert escaped in page
    assert page.count("<figcaption>") == 1
    assert page.count("<svg ") == 3
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_report_gives_its_data_back(tmp_path: Path, sections: list[Section]):
    path = tmp_path / "report.html"
    write_report(path, title="<T>", summary="é </script>", sections=sections)
    data = read_report(path)
    assert (data["title"], data["summary"]) == ("<T>", "é </script>")
    first = data["sections"][0]
    assert first["prose"] == sections[0].prose
    assert first["command"] == sections[0].command
    assert first["rows"][:2] == ROWS[:2]
    assert first["rows"][2] == ROWS[2] | {"loss": None}
    assert data["sections"][1]["rows"] == []

    once = path.read_bytes()
    write_report(path, title="<T>", summary="é </script>", sections=sections)
    assert path.read_bytes() == once
    path.write_bytes(once[:2000])
    with pytest.raises(ValueError, match="holds no data"):
        read_report(path)


def test_a_long_report_begins_with_its_contents(tmp_path: Path):
    path = tmp_path / "report.html"
    sections = [Section(f"Part <{n}>") for n in range(6)]
    write_report(path, title="T", summary="", sections=sections[:5])
    assert "<nav" not in path.read_text()
    write_report(path, title="T", summary="", sections=sections)
    page = path.read_text()
    assert re.findall(r'<a href="#section-(\d)">Part &lt;(\d)&gt;</a>', page) == [
        (str(n + 1), str(n)) for n in range(6)
    ]
    assert set(re.findall(r'<section id="section-(\d)">', page)) == set("123456")


def test_a_failed_write_keeps_the_old_report(
    tmp_path: Path, sections: list[Section], monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "report.html"
    write_report(path, title="old", summary="", sections=sections)

    def fail(*_: object) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        write_report(path, title="new", summary="", sections=[])
    assert read_report(path)["title"] == "old"
    assert len(list(tmp_path.iterdir())) == 1
