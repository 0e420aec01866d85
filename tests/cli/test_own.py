"""Tasks and recipes of a user's own, from the command line."""

import contextlib
import sys
from unittest import mock

import pytest

from learned_opt import cli, meta, tasks, zoo
from learned_opt.cli import common
from tests.cli.failing import fails

OWN = """\
import jax.numpy as jnp
from learned_opt import Task, meta, optimizers, tasks
from learned_opt.training.estimators import Bptt

@tasks.registry.register
def parabola(scale: float = 1.0) -> Task:
    return Task(
        lambda key: (), lambda key, problem: jnp.ones(2), lambda *_: (), lambda x, *_: scale * jnp.sum(x**2)
    )

estimator = Bptt(horizon=4, truncation=2, num_problems=2, num_validation_problems=2)
sgd = optimizers.hyperparameters("sgd", {"learning_rate": 0.01})
meta.register_recipes({
    "parabola": meta.Recipe(
        summary="down a parabola",
        model=sgd.config,
        task=parabola().config,
        settings=meta.Settings(estimator=estimator, num_meta_steps=4, validate_every=2),
    )
})
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with a module of the user's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "parabola.py").write_text(OWN)
    return tmp_path


@contextlib.contextmanager
def process():
    """As in a process of its own: what is imported and registered is forgotten."""
    with contextlib.ExitStack() as stack:
        for registered in (sys.modules, tasks.registry.configs, meta.RECIPES, common._registered):
            stack.enter_context(mock.patch.dict(registered))
        yield


def test_a_recipe_file_is_trained_resumed_and_measured(folder, capsys):
    with process():
        cli.main(["train", "parabola.py", "--directory", "run", "--task.scale", "2"])
        assert "next: learned-opt evaluate run --import parabola.py" in capsys.readouterr().out
    with process():
        for command in ("evaluate", "resume", "doctor"):
            error = fails(capsys, command, "run")
            assert "unknown task 'parabola'" in error
            assert "--import MODULE" in error
    with process():
        cli.main(["resume", "run", "--import", "parabola"])
        assert "next: learned-opt evaluate run --import parabola" in capsys.readouterr().out
        cli.main(["evaluate", "--import=parabola.py", "run", "--num-problems", "2"])
        assert "Loss at step 4, 2 fresh problems of parabola(scale=2.0)" in capsys.readouterr().out
        assert zoo.load("run").config.task.scale == 2.0


def test_own_recipes_and_tasks_are_named_beside_the_others(folder, capsys):
    with process():
        cli.main(["list", "--import", "parabola.py"])
        assert "down a parabola" in capsys.readouterr().out
        with pytest.raises(SystemExit):
            cli.main(["evaluate", "lstm-quadratic", "--task", "parabola", "--help", "--import", "parabola"])
        assert "--task.scale" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list", "--import", "nothing.py"], "nothing.py: there is no such file"),
        (["list", "--import", "nothing"], "--import nothing: there is no such module"),
        (["list", "--import"], "--import needs a module"),
        (["list", "--import", "json.py"], "is called json; rename the file"),
        (["train", "empty.py"], "empty.py registers 0 recipes; register one"),
        (["list", "--import", "broken.py"], "broken, line 2: ModuleNotFoundError"),
        (["list", "--import", "wrong"], "wrong, line 1: NameError: name 'nothing' is not defined"),
        (["list", "--import", "unread"], "unread: SyntaxError: '(' was never closed (unread.py, line 1)"),
    ],
)
def test_bad_modules_are_named(words, said, folder, capsys):
    for name in ("json.py", "empty.py"):
        (folder / name).write_text("")
    for name, text in {
        "broken": "\nimport nothing_of_that_name",
        "wrong": "nothing()",
        "unread": "nothing(",
    }.items():
        (folder / f"{name}.py").write_text(text)
    with process():
        assert said in fails(capsys, *words)


def test_entry_points_are_known_to_every_command_and_broken_ones_are_left_out(folder, capsys):
    (folder / "mine-1.0.dist-info").mkdir()
    (folder / "mine-1.0.dist-info" / "METADATA").write_text("Name: mine\nVersion: 1.0\n")
    points = "[learned_opt.tasks]\nparabola = parabola\n[learned_opt.optimizers]\nbroken = nothing_of_mine\n"
    (folder / "mine-1.0.dist-info" / "entry_points.txt").write_text(points)
    sys.path.insert(0, str(folder))
    with process():
        cli.main(["list"])
        out, error = capsys.readouterr()
    assert "down a parabola" in out
    left_out = "learned-opt: left out: nothing_of_mine of learned_opt.optimizers: "
    assert error == f"{left_out}No module named 'nothing_of_mine'\n"
