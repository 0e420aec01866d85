"""Memory of the estimators over the horizon: scratch of the compiled program, and the peak of a process."""

import functools
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.harness.results import Cell
from benchmarks.harness.suite import Job, Key, Load
from learned_opt import optimizers, tasks
from learned_opt.core.types import Estimator
from learned_opt.reports import Column, Section, line_plot
from learned_opt.training.estimators import Bptt, Es, Full, Pes

PART = "memory"
HORIZONS = {"quick": (100, 1000), "default": (100, 1000, 10_000, 100_000)}
HORIZONS["full"] = HORIZONS["default"]
QUICK = ("tbptt", "full")  # a process for each takes long to start
# Peaks of equal processes differ by a tenth, with the threads that compile: the least of several counts.
NUM_PROCESSES = {"quick": 1, "default": 5, "full": 5}
TRUNCATION, PROBLEMS, DIM = 20, 8, 64
STATE_BYTES = 4 * 2 * DIM  # of one problem: its params and their momentum
LOPT = optimizers.hyperparameters("sgd", {"learning_rate": 0.01, "momentum": 0.5})


def estimators(horizon: int) -> dict[str, Callable[[], Estimator]]:
    """What is compared, by name; each makes an estimator."""
    whole: dict[str, Any] = {"horizon": horizon, "num_problems": PROBLEMS}
    parts: dict[str, Any] = whole | {"truncation": TRUNCATION}
    chosen = {
        "tbptt": Bptt(**parts),
        "bptt": Bptt(**whole, truncation=horizon),
        "full": Full(**whole),
        "es, truncated": Es(**parts),
        "pes": Pes(**parts),
    }
    task = tasks.quadratic(dim=DIM)
    return {name: functools.partial(settings.make, LOPT, task) for name, settings in chosen.items()}


def jobs(suite: str, size: str) -> list[Job]:
    """A cell for each estimator and horizon."""
    processes = NUM_PROCESSES[size]
    settings = {"truncation": TRUNCATION, "problems": PROBLEMS, "dim": DIM, "processes": processes}
    return [
        Job(
            Key(suite, PART, name, horizon, None, PART),
            settings,
            functools.partial(_measure, name, horizon, processes),
        )
        for horizon in HORIZONS[size]
        for name in (QUICK if size == "quick" else estimators(horizon))
    ]


def _measure(name: str, horizon: int, processes: int, load: Load) -> dict[str, Any]:
    estimator, key = estimators(horizon)[name](), jax.random.key(0)
    theta = LOPT.init(key)
    state = jax.eval_shape(estimator.init, key, theta, ())
    memory = jax.jit(estimator.estimate).lower(key, theta, state, ()).compile().memory_analysis()
    scratch = None if memory is None else memory.temp_size_in_bytes / PROBLEMS
    measurable = name == "tbptt" and sys.platform == "linux"
    return {"bytes": scratch, "peak_bytes": _peak(horizon, processes) if measurable else None}


def _peak(horizon: int, processes: int) -> int:
    """Peak resident memory of a process of its own that makes a whole trajectory's estimates; of several."""
    command = [sys.executable, "-m", __name__, str(horizon)]
    runs = [subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(processes)]
    return min(int(run.stdout) for run in runs)


def _estimate_whole_trajectory(horizon: int) -> None:
    estimator, key = estimators(horizon)["tbptt"](), jax.random.key(0)
    theta = LOPT.init(key)
    state, estimate = jax.jit(estimator.init)(key, theta, ()), jax.jit(estimator.estimate)
    for step in range(horizon // TRUNCATION):
        meta_gradient, state = estimate(jax.random.fold_in(key, step), theta, state, ())
    assert bool(meta_gradient.ends_trajectory)


def _own_peak() -> int:
    """Peak resident memory of this process, in bytes; `getrusage` counts a child's from its parent's."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    return 1024 * int(line.split()[1])


def section(cells: Sequence[Cell]) -> Section:
    """The table and the figure of the report."""
    points: dict[str, list[tuple[int, float]]] = {}
    rows = []
    for c in sorted(cells, key=lambda c: (c.key.optimizer, c.key.horizon)):
        scratch, peak = c.result["bytes"], c.result["peak_bytes"]
        row = {"estimator": c.key.optimizer, "horizon": c.key.horizon, "bytes": scratch}
        if scratch is not None:
            row["states"] = scratch / STATE_BYTES
            points.setdefault(c.key.optimizer, []).append((c.key.horizon, scratch))
        rows.append(row | {"peak": None if peak is None else peak / 1e6})
    lines = {name: np.array(own, np.float64).T for name, own in points.items()}
    return Section(
        "memory over the horizon",
        prose=f"Scratch memory of one compiled estimate, for one of {PROBLEMS} problems, on quadratics "
        f"in {DIM} dimensions with momentum: the state of a problem is {STATE_BYTES} bytes. Truncations have "
        f"{TRUNCATION} steps; `bptt` is one truncation as long as the horizon, `full` the same in segments. "
        "The peak is the resident memory of a process that makes the estimates of a whole trajectory, Python "
        f"and compilation included; the least of {cells[0].settings['processes']}.",
        rows=rows,
        columns={
            "estimator": Column("estimator"),
            "horizon": Column("horizon"),
            "bytes": Column("scratch bytes", digits=3),
            "states": Column("in states", digits=3),
            "peak": Column("peak of a process, MB", digits=3),
        },
        figures=[
            line_plot(
                lines,
                title="Scratch memory of an estimate",
                x_label="horizon",
                y_label="bytes a problem",
                log="xy",
                highlight=["tbptt", "full"],
            )
        ]
        if lines
        else [],
    )


if __name__ == "__main__":
    _estimate_whole_trajectory(int(sys.argv[1]))
    print(_own_peak())
