"""A run that is killed at any moment and resumed is the run that was not."""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import chex
import pytest

from learned_opt import optimizers, runs, tasks
from learned_opt.meta import Run, meta_train, resume
from learned_opt.meta.job import open_run
from learned_opt.meta.starts import first_state

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "horizon": 4,
    "truncation": 2,
    "num_problems": 2,
    "validate_every": 1,
    "num_validation_problems": 2,
}
# What changes a directory, or puts a change on the disk.
WRITES = ("fsync", "rename", "replace", "unlink", "rmdir")


def train(directory: Path | None, num_meta_steps: int) -> Run:
    lopt = optimizers.hyperparameters("sgd", {"learning_rate": 0.1, "momentum": 0.5})
    settings = {**SETTINGS, "num_meta_steps": num_meta_steps}
    return meta_train(lopt, tasks.quadratic(dim=2), directory=directory, quiet=True, **settings)


def assert_same(run: Run, undisturbed: Run) -> None:
    chex.assert_trees_all_equal(run.theta, undisturbed.theta)
    chex.assert_trees_all_equal(run.last_theta, undisturbed.last_theta)
    assert run.validation_loss == undisturbed.validation_loss
    assert [row["step"] for row in run.metrics] == list(range(1, len(undisturbed.metrics) + 1))
    for ours, theirs in zip(run.metrics, undisturbed.metrics, strict=True):
        assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}


def copies_at_writes(directory: Path, copies: Path, rows: int, patch: pytest.MonkeyPatch) -> None:
    """Has a run's directory copied before each write, once it has so many rows of metrics.

    Such a copy is what a kill leaves that comes just there.
    """
    metrics = directory / "metrics.jsonl"

    def copying(write: Callable, *args, **kwargs):
        if metrics.exists() and metrics.read_bytes().count(b"\n") >= rows:
            shutil.copytree(directory, copies / f"{sum(1 for _ in copies.iterdir()):03d}")
        return write(*args, **kwargs)

    copies.mkdir()
    for name in WRITES:
        patch.setattr(os, name, functools.partial(copying, getattr(os, name)))


def test_killed_at_any_write_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    directory, steps = tmp_path / "run", 5  # more than there are checkpoints kept
    with monkeypatch.context() as patch:
        copies_at_writes(directory, tmp_path / "copies", steps - 1, patch)
        undisturbed = train(directory, steps)

    like = first_state(open_run(runs.RunDirectory.open(directory)))
    states, torn = {}, 0
    for index, copy in enumerate(sorted((tmp_path / "copies").iterdir())):
        # The newest is whole: a warning of a damaged one is an error here.
        step, state = runs.Checkpoints(copy / "checkpoints").restore(like)
        chex.assert_trees_all_equal(state, states.setdefault(step, state))
        metrics = copy / "metrics.jsonl"
        assert len(runs.read_metrics(metrics)) >= step
        torn += any((copy / "checkpoints").glob(".unfinished_*"))
        if index % 20 == 0:
            if len(runs.read_metrics(metrics)) > step:
                metrics.write_bytes(metrics.read_bytes()[:-9])  # nor is the last line whole
            assert_same(resume(copy, quiet=True), undisturbed)
    assert set(states) == {steps - 2, steps - 1, steps}
    assert torn > 40


KILLS, NUM_META_STEPS = 4, 40
# Forks before any backend of jax runs, so that starting Python is paid for once.
KILLED = f"""
import os, random, signal, sys, threading, time, traceback, warnings
from pathlib import Path
import orbax.checkpoint
from tests.meta.test_kill import resume, train

directory = Path(sys.argv[1])
metrics, checkpoints = directory / "metrics.jsonl", directory / "checkpoints"

def go_on():
    try:
        warnings.simplefilter("error")  # such as that a checkpoint is damaged
        if (directory / "config.json").exists():
            resume(directory, quiet=True)
        else:
            train(directory, {NUM_META_STEPS})
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)

def wait(child, condition):
    while not condition():
        assert os.waitpid(child, os.WNOHANG) == (0, 0), "it ended by itself"
        time.sleep(0.001)

def num_rows():
    return metrics.read_bytes().count(b"\\n") if metrics.exists() else 0

def newest():
    return max((path.name for path in checkpoints.glob("step_*")), default="")

torn = 0
for kill in range({KILLS}):
    assert threading.active_count() == 1
    if (child := os.fork()) == 0:
        go_on()
    # Once while it starts, then while it writes the second of its checkpoints.
    wait(child, (directory / "config.json").exists)
    if kill == 0:
        time.sleep(random.Random(0).uniform(0, 2))
    else:
        before = newest()
        wait(child, lambda: newest() > before)
        wait(child, lambda: any(checkpoints.glob(".unfinished_*")))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    torn += any(checkpoints.glob(".unfinished_*"))
print(torn, num_rows())
"""


def test_killed_processes_are_resumed(tmp_path: Path):
    directory = tmp_path / "run"
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "OPENBLAS_NUM_THREADS": "1",  # a process of one thread forks safely
    }
    command = [sys.executable, "-c", KILLED, str(directory)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    torn, num_rows = map(int, done.stdout.split())
    assert torn > 0  # some fell into the writing of a checkpoint
    assert 0 < num_rows < NUM_META_STEPS
    assert_same(resume(directory, quiet=True), train(None, NUM_META_STEPS))
