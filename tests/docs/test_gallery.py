"""Every notebook of the gallery runs, and shows what its cells have computed."""

import json
import re
from pathlib import Path

import jax
import matplotlib.pyplot
import pytest

GALLERY = Path(__file__).parents[2] / "docs" / "gallery"
NOTEBOOKS = sorted(GALLERY.glob("*.ipynb"))


def _cells(notebook: Path) -> list[dict]:
    cells = json.loads(notebook.read_text())["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    """With the small numbers that the first cell has for this; it prints what it found."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    names: dict = {}
    # A reader's own code runs with jax's own promotion rules.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for number, cell in enumerate(_cells(notebook)):
            source = cell["metadata"].get("quick", "".join(cell["source"]))
            exec(compile(source, f"{notebook.name}, cell {number}", "exec"), names)
    assert re.search(r"\d", capsys.readouterr().out)
    matplotlib.pyplot.close("all")


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_was_run_as_it_stands(notebook: Path):
    cells = _cells(notebook)
    assert "quick" in cells[0]["metadata"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    kinds = {kind for output in outputs for kind in output.get("data", ())}
    assert kinds & {"image/svg+xml", "image/png"}


def test_all_are_in_the_table_of_contents():
    listed = re.search(r"\{toctree\}\n.*?\n\n(.*?)```", (GALLERY / "index.md").read_text(), re.DOTALL)
    assert listed is not None
    assert sorted(listed[1].split()) == [notebook.stem for notebook in NOTEBOOKS]
