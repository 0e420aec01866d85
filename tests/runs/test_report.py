"""Figures and reports: what they show, that they are self-contained, and that they do not change."""

import html.parser
import io
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from learned_opt.runs.figures import loss_curves, meta_training_curve
from learned_opt.runs.report import (
    EN_DASH,
    WARNING,
    Column,
    Section,
    format_value,
    read_report,
    terminal_table,
    write_report,
)

STEPS = np.arange(101)
LOADING = {"src", "href", "xlink:href", "srcset", "data", "poster", "action"}


def decay(end: float, num_problems: int = 8) -> np.ndarray:
    """Losses that fall from about 1 to about `end` in 100 steps."""
    spread = np.linspace(0.8, 1.25, num_problems)[:, None]
    return spread * end ** (STEPS / 100)


def texts(svg: str) -> list[str]:
    """What is written in a figure, in drawing order; letters are paths, with the text as a comment."""
    return re.findall(r"<!-- (.*?) -->", svg)


def strokes(svg: str) -> dict[str, str]:
    """The colour of a legend's line by its text."""
    legend = svg[svg.index('id="legend_1"') :]
    colors = re.findall(r"stroke: (#[0-9a-f]{6})", legend)
    return dict(zip(texts(legend), colors, strict=True))


def path_points(svg: str, color: str) -> int:
    """The number of points of the longest line of a colour."""
    paths = re.findall(rf'<path d="([^"]*)"[^>]*stroke: {color}', svg)
    return max(len(re.findall("[ML]", path)) for path in paths)


# --- loss curves ---


def test_direct_labels_stand_where_the_lines_end():
    curves = {"low": decay(1e-3), "high": decay(1e-1), "middle": decay(1e-2)}
    svg = loss_curves(curves, title="t", highlight=["middle"])
    assert 'id="legend_1"' not in svg
    assert [t for t in texts(svg) if t in curves] == ["high", "middle", "low"]


def test_legend_is_ordered_as_the_curves_end():
    curves = {f"o{i}": decay(end) for i, end in enumerate((0.011, 0.03, 0.01, 0.02))}
    svg = loss_curves(curves, title="t", step_marker=50)
    assert list(strokes(svg)) == ["o1", "o3", "o0", "o2"]
    assert "step 50" in texts(svg)


def test_diverged_curves_are_cut_off_and_named():
    gone, some = decay(0.01), decay(0.02)
    gone[:, 20:] = np.inf
    some[3, 60:] = np.nan
    from_the_start = np.full((8, 101), np.nan)
    curves = {"gone": gone, "some": some, "fine": decay(0.1), "nothing": from_the_start}
    svg = loss_curves(curves, title="t", highlight=["fine", "gone", "some"])
    assert list(strokes(svg))[-1] == "fine"
    assert set(strokes(svg)) == {
        "gone (8 of 8 diverged)",
        "some (1 of 8 diverged)",
        "nothing (8 of 8 diverged)",
        "fine",
    }
    colors = strokes(svg)
    # matplotlib merges points on a straight line, as these are on a logarithmic axis.
    ends = {
        name: re.findall(r"[ML] ([\d.]+)", path)[-1]
        for name, color in colors.items()
        for path in re.findall(rf'<path d="(M[^"]*)" clip-path="[^"]*" style="[^"]*{color}', svg)
        if " L " in path.replace("\n", " ")
    }
    left, right = float(ends["gone (8 of 8 diverged)"]), float(ends["fine"])
    assert left < float(ends["some (1 of 8 diverged)"]) < right


def test_everything_diverged_still_gives_a_picture():
    svg = loss_curves({"sgd": np.full((2, 11), np.nan)}, title="t")
    assert "sgd (2 of 2 diverged)" in texts(svg)


def test_an_exploding_curve_does_not_squeeze_the_others():
    exploding = 10.0 ** np.minimum(STEPS, 30) * decay(1.0)
    labels = texts(loss_curves({"sgd": exploding, "adam": decay(0.05)}, title="t"))
    assert {"0.1", "1"} <= set(labels)
    assert not any("⁰" in label for label in labels)  # no 10³⁰


@pytest.mark.parametrize(
    "losses",
    [
        np.zeros((3, 11)),
        np.ones((3, 11)),
        -np.ones((3, 11)),
        np.ones((1, 1)),
        np.geomspace(1.0, [1e-38, 0.5], 11).T,
        np.full((3, 11), 1e30),
    ],
    ids=["zero", "constant", "negative", "one loss", "many decades", "huge"],
)
def test_unusual_losses_give_a_picture(losses: np.ndarray):
    svg = loss_curves({"adam": losses, "zero": losses * 0}, title="t", step_marker=0)
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert "adam" in texts(svg)


def test_colours_belong_to_names():
    names = ("adam", "sgd", "mine", "custom")
    curves = {name: decay(0.01) for name in names}
    first = strokes(loss_curves(curves, title="t", highlight=["mine"]))
    second = strokes(loss_curves({n: curves[n] for n in ("custom", "mine")}, title="u", highlight=["mine"]))
    assert second == {name: first[name] for name in ("custom", "mine")}
    assert len(set(first.values())) == 4


def test_highlights_are_thicker():
    widths = [
        float(w)
        for w in re.findall(
            r"stroke: #d7301f; stroke-width: ([\d.]+)",
            loss_curves({"a": decay(0.1), "b": decay(0.01)}, title="t", highlight=["a"]),
        )
    ]
    assert max(widths) == 2.0


def test_long_curves_are_thinned_and_windows_smooth():
    rng = np.random.default_rng(0)
    noisy = np.exp(rng.normal(size=(2, 5001)))
    svg = loss_curves({"a": noisy}, title="t", highlight=["a"])
    assert path_points(svg, "#d7301f") <= 500
    short = {"a": np.exp(rng.normal(size=(1, 401)))}

    def roughness(window: int) -> float:
        svg = loss_curves(short, title="t", highlight=["a"], window=window)
        path = max(re.findall(r'<path d="([^"]*)"[^>]*stroke: #d7301f', svg), key=len)
        heights = [float(y) for y in re.findall(r"[ML] [\d.-]+ ([\d.-]+)", path)]
        return float(np.abs(np.diff(heights)).mean())

    assert roughness(21) < 0.3 * roughness(1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"curves": {}}, "no curves"),
        ({"curves": {"a": np.ones(3)}}, r"curves of 'a' have shape \(3,\)"),
        ({"curves": {"a": np.ones((0, 3))}}, r"shape \(0, 3\)"),
        ({"curves": {"a": np.ones((2, 3))}, "window": 2}, "window=2"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict, message: str):
    with pytest.raises(ValueError, match=message):
        loss_curves(title="t", **arguments)


def test_names_are_taken_literally():
    names = ["_hidden", "a$x$b", "<b> & --> 'q'"]
    svg = loss_curves({name: decay(0.01) for name in names}, title='<i>&"$t$')
    ElementTree.fromstring(svg)
    assert "<b>" not in svg
    assert {"_hidden", "a$x$b"} <= set(texts(svg))
    assert ElementTree.fromstring(svg).get("aria-label") == '<i>&"$t$'


def test_same_data_gives_the_same_bytes_under_any_style():
    import matplotlib

    curves = {"adam": decay(0.01), "mine": decay(0.02)}
    rows = [{"step": 10, "validation_loss": 0.5, "meta_loss": 0.4, "adam_loss": 0.3}]

    def draw() -> tuple[str, str]:
        return loss_curves(curves, title="t"), meta_training_curve(rows, title="t")

    first = draw()
    with matplotlib.rc_context({"font.size": 20, "svg.hashsalt": "x", "axes.grid": False}):
        before = dict(matplotlib.rcParams)
        assert draw() == first
        assert dict(matplotlib.rcParams) == before
    assert not re.search(r"\d{4}-\d\d-\d\d|<metadata", "".join(first))


def test_missing_matplotlib_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'learned-opt\[plots\]'"):
        loss_curves({"a": decay(0.1)}, title="t")
    with pytest.raises(ImportError, match=r"pip install 'learned-opt\[plots\]'"):
        meta_training_curve([{"step": 1}], title="t")


# --- meta-training ---


def test_meta_training_marks_the_best_and_adam():
    losses = [0.9, None, 0.25, float("inf"), 0.4]
    rows = [
        {"step": 100 * i, "validation_loss": loss, "meta_loss": -1.0 if i == 2 else None,
         "adam_loss": 0.3}
        for i, loss in enumerate(losses, start=1)
    ]  # fmt: skip
    written = texts(meta_training_curve(rows, title="Meta-training"))
    assert {"best: 0.25 at meta-step 300", "tuned Adam: 0.3", "meta-loss"} <= set(written)


def test_meta_training_without_anything_finite():
    written = texts(meta_training_curve([{"step": 5, "validation_loss": None}], title="t"))
    assert not any(text.startswith(("best", "tuned")) for text in written)
    with pytest.raises(ValueError, match="no metrics"):
        meta_training_curve([], title="t")


# --- tables ---


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.012345, "0.01235"),
        (1.0, "1.000"),
        (0.0, "0"),
        (9999.9, "10,000"),
        (123456.7, "123,457"),
        (-12.3456, "-12.35"),
        (1.5e-9, "1.500e-9"),
        (2.5e12, "2.500e12"),
        (np.float32(0.5), "0.5000"),
        (np.int64(12345), "12,345"),
        (False, "no"),
        (np.bool_(True), "yes"),
        (None, EN_DASH),
        (float("nan"), "nan"),
        (float("-inf"), "-∞"),
        ("adam", "adam"),
    ],
)
def test_format_value(value: object, text: str):
    assert format_value(value) == text


def test_digits():
    assert [format_value(v, digits=2) for v in (0.12345, 123.4)] == ["0.12", "123"]


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


@pytest.mark.parametrize("width", [60, 25])
def test_a_narrow_terminal_cuts_no_number_off(width: int):
    rows = [{f"a very long name {i}": 0.001 / 7 for i in range(5)}]
    console = Console(file=io.StringIO(), width=width)
    console.print(terminal_table(rows))
    body = console.file.getvalue().rpartition("─\n")[2]  # type: ignore[attr-defined]
    assert max(map(len, body.splitlines())) <= width
    assert sorted("".join(body.split())) == sorted("0.0001429" * 5)


def test_nothing_is_best_where_all_are_equal_or_alone():
    columns = {"loss": Column("loss", best="low")}

    def styles(*losses: float | None) -> list[str]:
        table = terminal_table([{"loss": loss} for loss in losses], columns)
        return [text.style for text in table.columns[0].cells]

    assert styles(0.1, None) == ["", ""]
    assert styles(0.1, 0.1, float("inf")) == ["", "", ""]
    assert styles(0.2, 0.1, -float("inf")) == ["", "bold", ""]


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
    curves = {"<adam>": decay(0.01), "sgd": decay(0.1)}
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
