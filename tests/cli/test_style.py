"""`learned-opt demo style`, as a user types it."""

import jax
import numpy as np
import pytest

from learned_opt import cli, datasets, networks, reports
from learned_opt.networks.vgg import random_layers
from tests.cli.failing import fails


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("style") / "net.safetensors"
    networks.save_layers(path, random_layers(jax.random.key(0), (2, 2)))
    return str(path)


def test_pictures_curves_and_a_report_are_written(tmp_path, capsys, weights):
    options = f"--optimizer adam --weights {weights} --num-steps 4 --size 16 --no-reference".split()
    cli.main(["demo", "style", "china", "flower", *options, "--directory", str(tmp_path / "out")])
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"adam.png", "content.png", "style.png", "report.html"}
    painted, content = (datasets.load_picture(tmp_path / "out" / f"{n}.png", 16) for n in ("adam", "content"))
    assert painted.shape == content.shape
    assert not np.array_equal(painted, content)
    found = reports.read_report(tmp_path / "out" / "report.html")
    (row,) = found["sections"][1]["rows"]
    assert row["optimizer"] == "adam"
    assert row["loss"] == pytest.approx(row["content_loss"] + row["style_loss"], rel=1e-4)
    assert (tmp_path / "out" / "report.html").read_text().count("data:image/png;base64,") == 3
    assert "adam.png" in capsys.readouterr().out


def test_what_cannot_be_is_told_before_anything_runs(tmp_path, capsys):
    assert "did you mean 'adam'" in fails(capsys, "demo", "style", "china", "flower", "--optimizer", "adm")
    message = fails(capsys, "demo", "style", "nowhere.jpg", "flower", "--directory", str(tmp_path / "out"))
    assert "nowhere.jpg: there is no such picture" in message
    assert not (tmp_path / "out").exists()
    words = ["demo", "style", "none", "flower", "--dataset", "digits", "--directory", str(tmp_path / "out")]
    assert "its images have 1 channel" in fails(capsys, *words)


def test_help_has_the_options(capsys):
    with pytest.raises(SystemExit) as e:
        cli.main(["demo", "style", "--help"])
    assert e.value.code == 0
    out = capsys.readouterr().out
    assert "learned-opt demo style china flower" in out
    assert "--style-weight" in out
    with pytest.raises(SystemExit) as e:
        cli.main(["demo", "style", "china"])
    assert e.value.code == 2
