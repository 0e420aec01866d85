"""A run that is killed at any moment and resumed is the run that was not."""

import os
import subprocess
import sys
from pathlib import Path

import chex

from learned_opt import runs
from learned_opt.meta import meta_train, resume
from learned_opt.meta.trainer import open_run

ROOT = Path(__file__).parents[2]
KILLS, NUM_META_STEPS = 20, 110
SETTINGS = {
    "horizon": 4,
    "truncation": 2,
    "num_problems": 2,
    "num_meta_steps": NUM_META_STEPS,
    "validate_every": 1,
    "num_validation_problems": 2,
}
# Forks before any backend of jax runs, so that starting Python is paid for once.
KILLED = f"""
import os, random, signal, sys, threading, time, traceback, warnings
from pathlib import Path
import orbax.checkpoint
from learned_opt import optimizers, tasks
from learned_opt.meta import meta_train, resume

directory = Path(sys.argv[1])
metrics = directory / "metrics.jsonl"

def go_on():
    try:
        warnings.simplefilter("error")  # such as that a checkpoint is damaged
        if (directory / "config.json").exists():
            resume(directory, quiet=True)
        else:
            lopt = optimizers.hyperparameters("sgd", {{"learning_rate": 0.1, "momentum": 0.5}})
            meta_train(lopt, tasks.quadratic(dim=2), directory=directory, quiet=True, **{SETTINGS})
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)

def num_rows():
    return metrics.read_bytes().count(b"\\n") if metrics.exists() else 0

def wait_for_rows(child, number):
    '''The time between the last two of so many more rows.'''
    first, times = num_rows(), []
    while len(times) < number:
        # A resumed run first drops the rows beyond its checkpoint.
        first = min(first, now := num_rows())
        times += [time.monotonic()] * (now - first - len(times))
        assert os.waitpid(child, os.WNOHANG) == (0, 0), "it ended by itself"
        time.sleep(0.005)
    return times[-1] - times[-2]

rng, torn = random.Random(0), 0
for kill in range({KILLS}):
    assert threading.active_count() == 1
    if (child := os.fork()) == 0:
        go_on()
    # Every fifth time while it starts, else while rows and checkpoints come and go.
    if kill % 5 == 0:
        while not (directory / "config.json").exists():
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 2))
    else:
        time.sleep(rng.random() * wait_for_rows(child, rng.randint(2, 4)))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    torn += any((directory / "checkpoints").glob(".unfinished_*"))
print(torn, num_rows())
"""


def test_killed_at_random_moments_and_resumed_twenty_times(tmp_path: Path):
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

    run = resume(directory, quiet=True)
    lopt, task, _ = open_run(runs.RunDirectory.open(directory))
    undisturbed = meta_train(lopt, task, quiet=True, **SETTINGS)
    chex.assert_trees_all_equal(run.theta, undisturbed.theta)
    chex.assert_trees_all_equal(run.last_theta, undisturbed.last_theta)
    assert run.validation_loss == undisturbed.validation_loss
    rows = runs.read_metrics(directory / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, NUM_META_STEPS + 1))
    for ours, theirs in zip(rows, undisturbed.metrics, strict=True):
        assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}
