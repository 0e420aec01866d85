"""Runs in directories of any name, and homes that are written as a tilde."""

import os
import shutil

import numpy as np
import pytest

from learned_opt import cli, meta, optimizers, runs, tasks, zoo

ALL = "[/b] [red]s=[20,20]*?\\{x}~ 100% #1 $a$ é"
SETTINGS = {
    "horizon": 4,
    "truncation": 2,
    "num_problems": 2,
    "num_validation_problems": 2,
    "num_meta_steps": 4,
    "validate_every": 2,
    "quiet": True,
}


def train(directory):
    lopt = optimizers.hyperparameters("sgd", {"learning_rate": 0.01})
    return meta.meta_train(lopt, tasks.quadratic(dim=2), directory=directory, **SETTINGS)


@pytest.fixture(scope="module")
def theta(tmp_path_factory):
    return train(tmp_path_factory.mktemp("plain") / "run").theta


@pytest.mark.parametrize("name", ["sizes=[20,20]", "back\\slash", "~", ALL])
def test_a_run_of_any_name_is_resumed_and_loaded(name, tmp_path, theta):
    path = tmp_path / name / "run"
    assert train(path).theta == theta
    newest = max((path / "checkpoints").iterdir())
    shutil.rmtree(newest)
    assert meta.resume(path, quiet=True).theta == theta
    assert zoo.load(path).theta == theta
    assert runs.Checkpoints(path / "checkpoints").steps() == [2, 4]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home directory, and a working directory in which nothing may be made."""
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    yield tmp_path / "home"
    assert not os.listdir(tmp_path / "here")


def test_a_tilde_is_the_home_directory(home, theta):
    run = train("~/run")
    assert run.directory == home / "run"
    assert meta.resume("~/run", quiet=True).theta == theta
    assert zoo.load("~/run").theta == theta
    assert "validations" in meta.doctor_run("~/run").measured
    lopt = zoo.load("~/run").lopt
    zoo.save("~/mine.safetensors", lopt, run.theta)
    assert zoo.load("~/mine.safetensors").theta == theta
    assert zoo.pretrained("~/mine.safetensors")
    again = meta.meta_train(lopt, tasks.quadratic(dim=2), start="~/mine.safetensors", **SETTINGS)
    assert np.isfinite(again.validation_loss)


def test_the_home_of_nobody_is_refused_before_training(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"no home directory ~nobody-at-all; write ./~nobody-at-all/run"):
        train("~nobody-at-all/run")
    assert not os.listdir(tmp_path)


def test_commands_take_directories_of_any_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    train(ALL)
    capsys.readouterr()
    for words in (
        ["show", ALL],
        ["resume", ALL],
        ["evaluate", ALL, "--num-problems", "2", "--out", f"{ALL}.html"],
        ["watch", ALL],
        ["watch", ALL, "--png", f"{ALL}.png"],
        ["doctor", ALL, "--num-seeds", "2"],
    ):
        cli.main(words)
        shown = capsys.readouterr().out
        assert shown
        assert ALL in shown or words[0] == "show"
    with pytest.raises(SystemExit):
        cli.main(["train", "lstm-quadratic", "--directory", ALL])
    assert f"learned-opt resume '{ALL}'" in capsys.readouterr().err


def test_commands_expand_a_tilde(home, capsys):
    train("~/run")
    for words in (
        ["show", "~/run"],
        ["resume", "~/run"],
        ["evaluate", "~/run", "--num-problems", "2", "--out=~/report.html"],
        ["watch", "~/run", "--png=~/curve.png"],
    ):
        cli.main(words)
    with pytest.raises(SystemExit):
        cli.main(["train", "lstm-quadratic", "--directory=~/run"])
    assert "holds a run already" in capsys.readouterr().err
    assert {"run", "report.html", "curve.png"} <= set(os.listdir(home))
