"""Every Python example in the README and the docs runs, page by page, as a reader would run it."""

import os
import re
import subprocess
import sys
import types
from pathlib import Path
from unittest import mock

import jax
import pytest

from learned_opt import meta, optimizers, tasks
from learned_opt.cli import main
from learned_opt.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if "_build" not in page.parts]

# A process fixes its number of devices when it first uses jax.
OWN_PROCESS = ("sharding.md", "scale.md")

FENCE = re.compile(r"^```(?P<language>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"python", "console", "text", "bibtex", "{eval-rst}", "{toctree}"}
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)")


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _program(page: Path) -> str:
    """A page with everything but its Python blanked out, so that line numbers are the page's."""
    text = page.read_text()
    lines = [""] * text.count("\n")
    for fence in FENCE.finditer(text):
        if fence["language"] == "python":
            first = text.count("\n", 0, fence.start("text"))
            code = fence["text"].splitlines()
            lines[first : first + len(code)] = code
    return "\n".join(lines) + "\n"


def _commands(page: Path) -> list[str]:
    """The shell commands of a page, without prompts, comments and output."""
    blocks = [f["text"] for f in FENCE.finditer(page.read_text()) if f["language"] == "console"]
    lines = [line for block in blocks for line in block.splitlines()]
    return [re.sub(r"\s+#.*", "", line[2:]) for line in lines if line.startswith("$ ")]


def _flags() -> list[tuple[str, str, str]]:
    """(command, target, flag) for every option that a page passes to `learned-opt`.

    The target has the estimator or the wrapper with it, where the page names one, since those have options of
    their own.
    """
    used = set()
    for page in PAGES:
        for line in _commands(page):
            match = re.match(r"learned-opt (\S+)(?: ([^-\s]\S*))?", line)
            if match is not None:
                part = re.search(r" --(?:estimator|wrap) \w+", line)
                target = (match[2] or "") + (part[0] if part else "")
                for flag in re.findall(r"\s(--[\w.-]+)", line):
                    used.add((match[1], target, flag))
    return sorted(used)


PROGRAMS = [page for page in PAGES if _program(page).strip()]


@pytest.mark.parametrize("page", PROGRAMS, ids=_name)
def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = _program(page)
    if page.name in OWN_PROCESS:
        (tmp_path / "page.py").write_text(program)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "page.py"], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return

    monkeypatch.chdir(tmp_path)
    # What a page registers is gone after it.
    for registry in (optimizers.registry, tasks.registry):
        monkeypatch.setattr(registry, "configs", dict(registry.configs))
    module = types.ModuleType(f"docs_{page.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    # A reader's own code runs with jax's own promotion rules.
    monkeypatch.setattr(sys, "path", list(sys.path))
    with (
        mock.patch.dict(meta.RECIPES),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        exec(compile(program, str(page), "exec"), module.__dict__)


@pytest.mark.parametrize("page", PROGRAMS, ids=_name)
def test_examples_assert_something(page: Path):
    assert re.search(r"^\s*assert ", _program(page), re.MULTILINE), f"{_name(page)} asserts nothing"


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_block_is_of_a_known_kind(page: Path):
    text = page.read_text()
    found = {fence["language"] for fence in FENCE.finditer(text)}
    assert found <= LANGUAGES, f"{_name(page)} has blocks that nothing checks: {found - LANGUAGES}"
    assert text.count("```") == 2 * len(FENCE.findall(text)), f"{_name(page)}: a fence is not closed"


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_relative_links_lead_somewhere(page: Path):
    # Links inside a fence are code.
    targets = LINK.findall(FENCE.sub("", page.read_text()))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing, f"{_name(page)} links to {missing}"


def test_every_page_is_reachable():
    """Sphinx warns of a page outside every table of contents; so does this, without Sphinx."""
    listed = set()
    for page in PAGES:
        for fence in FENCE.finditer(page.read_text()):
            if fence["language"] == "{toctree}":
                entries = [line for line in fence["text"].split() if not line.startswith(":")]
                listed |= {(page.parent / f"{entry}.md").resolve() for entry in entries}
    docs = {page for page in PAGES if page.parent != ROOT and page.name != "index.md"}
    assert docs <= listed, f"in no table of contents: {sorted(map(_name, docs - listed))}"


def test_architecture_shows_the_packages_that_there_are():
    page = (ROOT / "docs" / "architecture.md").read_text()
    shown = set(re.findall(r"^  (\w+)/ +L\d ", page, re.MULTILINE))
    assert shown == {path.parent.name for path in (ROOT / "learned_opt").glob("*/__init__.py")}


def test_commands_exist():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for line in _commands(page):
            words = line.split()
            if words[0] == "learned-opt":
                assert words[1] in COMMANDS, f"{_name(page)}: {line}"
            elif words[0] == "make":
                assert words[1] in targets, f"{_name(page)}: {line}"


@pytest.mark.parametrize(("command", "target", "flag"), _flags())
def test_options_exist(command: str, target: str, flag: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main([command, *target.split(), "--help"])
    assert ended.value.code == 0
    assert flag in capsys.readouterr().out
