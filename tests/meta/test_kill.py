"""A run that is killed at any moment and resumed is the run that was not."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import chex

from learned_opt import optimizers, runs, tasks
from learned_opt.meta import meta_train, resume

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "horizon": 4,
    "truncation": 2,
    "num_problems": 2,
    "num_meta_steps": 300,
    "validate_every": 3,
    "num_validation_problems": 2,
    "steps_per_call": 2,
}
GO_ON = f"""
import sys
from pathlib import Path
from learned_opt import optimizers, tasks
from learned_opt.meta import meta_train, resume

if Path(sys.argv[1]).exists():
    resume(sys.argv[1], quiet=True)
else:
    lopt, task = optimizers.lstm(hidden_sizes=(2,)), tasks.quadratic(dim=2)
    meta_train(lopt, task, directory=sys.argv[1], quiet=True, **{SETTINGS})
"""


def go_on_and_kill(directory: Path, ready, delay: float) -> None:
    """Starts or resumes the run in another process and kills it some time after it is `ready`."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", GO_ON, str(directory)], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 120
        while not ready():
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(delay)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL  # it was not done yet


def num_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_killed_and_resumed_several_times(tmp_path: Path):
    rng = random.Random(0)
    directory = tmp_path / "run"
    metrics = directory / "metrics.jsonl"
    # Once before there is any checkpoint, and then while checkpoints come and go.
    go_on_and_kill(directory, (directory / "config.json").exists, rng.uniform(0, 1))
    for _ in range(3):
        before = num_lines(metrics)
        go_on_and_kill(directory, lambda n=before: num_lines(metrics) > n, rng.uniform(0, 0.3))
    assert 0 < num_lines(metrics) < 100

    run = resume(directory, quiet=True)
    undisturbed = meta_train(
        optimizers.lstm(hidden_sizes=(2,)), tasks.quadratic(dim=2), quiet=True, **SETTINGS
    )
    chex.assert_trees_all_equal(run.theta, undisturbed.theta)
    chex.assert_trees_all_equal(run.last_theta, undisturbed.last_theta)
    assert run.validation_loss == undisturbed.validation_loss
    rows = runs.read_metrics(metrics)
    assert [row["step"] for row in rows] == list(range(3, 301, 3))
    for ours, theirs in zip(rows, undisturbed.metrics, strict=True):
        assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}
