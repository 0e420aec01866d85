"""Reports and pages in a browser: at 1280 and 400 pixels, light and dark; where one is installed."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from learned_opt.reports import Section, loss_curves, write_report
from tests.docs.browser import BROWSER, Look, look

pytestmark = pytest.mark.skipif(not BROWSER, reason="no browser")
ROOT = Path(__file__).parents[2]
WIDTHS = (1280, 400)


def looks_of(pages: dict[str, Path], folder: Path) -> dict[tuple[str, int, bool], Look]:
    return {
        (*key, dark): seen
        for dark in (False, True)
        for key, seen in look(pages, folder, WIDTHS, dark).items()
    }


def assert_sound(looks: dict[tuple[str, int, bool], Look], pages: dict[str, Path]) -> None:
    """Every page was seen in every way; nothing is cut off, and nothing is missing."""
    assert set(looks) == {(page, width, dark) for page in pages for width in WIDTHS for dark in (False, True)}
    for (page, width, dark), seen in looks.items():
        assert (seen.width, seen.dark) == (width, dark)
        assert seen.overflow <= 0, seen.widest
        assert seen.broken == seen.missing == []
        there = [link.split("#")[0] for link in seen.links if not link.startswith(("http", "mailto:"))]
        assert [link for link in there if link and not (pages[page].parent / link).exists()] == []
        red, green, blue = map(int, seen.paper.removeprefix("rgb(").rstrip(")").split(","))
        assert (max(red, green, blue) < 50) == dark


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a table that is wider than the window, a long word, and figures."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    steps = np.arange(1.0, 101.0)
    curves = {name: np.stack([k / steps, (k + 1) / steps]) for k, name in enumerate(("mine", "adam"), 1)}
    row = {f"a column {i}": 1.0 / (i + 1) for i in range(30)}
    sections = [
        Section("Results", "See `python -m " + 80 * "long" + "`.", rows=[row, row], command=200 * "x"),
        Section("Curves", figures=2 * [loss_curves(curves, title="Losses")], captions=["one", "two"]),
    ]
    write_report(path, title="A report", summary="What is in it.", sections=sections)
    return path


def test_a_report_fits_the_window(report: Path, tmp_path: Path):
    pages = {"report": report}
    looks = looks_of(pages, tmp_path)
    assert_sound(looks, pages)
    assert {seen.figures for seen in looks.values()} == {2}


def test_a_picture_is_seen_whole_in_a_narrow_window(tmp_path: Path):
    picture = '<svg viewBox="0 0 64 43" width="128"><image width="64" height="43"/></svg>'
    page = tmp_path / "picture.html"
    write_report(page, title="A picture", summary="", sections=[Section("Pictures", figures=[picture])])
    (seen,) = look({"picture": page}, tmp_path, (400,), dark=False).values()
    assert (seen.figures, seen.widest) == (1, [])


def test_what_is_wrong_is_seen(tmp_path: Path):
    page = tmp_path / "wrong.html"
    page.write_text(
        "<!doctype html><body><img src='none.png'><div style='width: 700px'>wide</div>"
        "<a href='#nowhere'>there</a><a href='none.html'>away</a>"
    )
    looks = looks_of({"wrong": page}, tmp_path)
    seen = looks["wrong", 400, True]
    assert seen.overflow >= 300
    assert (seen.broken, seen.missing) == (["none.png"], ["#nowhere"])
    assert looks["wrong", 1280, True].overflow == 0


@pytest.mark.skipif(not importlib.util.find_spec("furo"), reason="the site's theme is not installed")
def test_pages_of_the_site_fit_the_window(tmp_path: Path):
    site = tmp_path / "site"
    build = [sys.executable, "-m", "sphinx", "-q", "-W", ROOT / "docs", site]
    subprocess.run(build, check=True)
    names = ("index", "results", "papers", "api", "recipes/default_optimizer")
    pages = {name: site / f"{name}.html" for name in names}
    assert_sound(looks_of(pages, tmp_path), pages)
