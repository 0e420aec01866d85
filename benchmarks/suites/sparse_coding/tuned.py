"""What the iterative solvers recover best with: step sizes, weights, thresholds, tuned on other problems.

    python -m benchmarks.suites.sparse_coding.tuned

writes `tuned.json` anew for the cases of recovery of the suite `sparse_coding`.
"""

import functools
import itertools
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.suites.sparse_coding.iterative import (
    approximate_message_passing,
    fista,
    lipschitz,
    proximal_gradient,
)
from benchmarks.suites.sparse_coding.problems import RECOVERY, RECOVERY_STEPS, recovery
from learned_opt import training
from learned_opt.core import soft_threshold
from learned_opt.core.types import Array, Task
from learned_opt.tasks import SparseCoding

FILE = Path(__file__).with_name("tuned.json")
TUNING_SEED = 7
NUM_PROBLEMS = 64
# The weight of the l1 norm, and the step size in units of 1/L.
WEIGHTS = np.geomspace(1e-3, 1.0, 16).round(6).tolist()
STEP_SIZES = [0.5, 0.7, 0.85, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.25, 2.5, 3.0, 3.5, 4.0]
THRESHOLD_FACTORS = np.linspace(0.7, 3.0, 24).round(3).tolist()
GRIDS: dict[str, tuple[list[float], ...]] = {
    "ista": (WEIGHTS, STEP_SIZES),
    "fista": (WEIGHTS, STEP_SIZES),
    "amp": (THRESHOLD_FACTORS,),
}
SOLVERS = {"ista": proximal_gradient, "fista": fista}


def kind(config: Any) -> str:
    """A name for what a task's problems are like, without its penalty and loss."""
    noise = "" if config.snr_db is None else f"-snr{config.snr_db:g}"
    name = config.dictionary.replace("_", "-")
    return f"{name}-{config.num_measurements}x{config.num_atoms}{noise}"


def tuned(solver: str, config: Any, num_steps: int) -> tuple[float, ...]:
    """The best arguments of a solver for a task's kind of problems and number of steps."""
    known = _read()
    try:
        return tuple(known[kind(config)][str(num_steps)][solver]["arguments"])
    except KeyError:
        raise ValueError(
            f"{solver} is not tuned for {num_steps} steps on {kind(config)}: add the case to RECOVERY in "
            "problems.py and run python -m benchmarks.suites.sparse_coding.tuned"
        ) from None


@functools.cache
def _read() -> dict[str, Any]:
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def tune(task: Task, num_steps: int) -> dict[str, Any]:
    """The best arguments of each solver for a task of one dictionary: those with the lowest mean loss."""
    assert task.config.dictionary_seed is not None

    @jax.jit
    def draw(keys: Array, data: Any) -> SparseCoding:
        return jax.vmap(lambda key: task.batch(key, task.sample(key), data))(keys)

    problems = draw(jax.random.split(jax.random.key(TUNING_SEED), NUM_PROBLEMS), task.data)
    problems = problems._replace(dictionary=problems.dictionary[0])
    largest = lipschitz(problems.dictionary)
    found = {}
    for solver, grid in GRIDS.items():

        @jax.jit
        def losses(points: Array, problems: SparseCoding, solver: str = solver) -> Array:
            def one(arguments: Array, code: Array, measurement: Array) -> Array:
                problem = SparseCoding(problems.dictionary, code, measurement)
                x = recover(solver, problem, num_steps, arguments, largest)[-1]
                return task.loss(x, problem, problem)

            several = jax.vmap(one, (None, 0, 0))
            return jax.lax.map(lambda p: several(p, problems.code, problems.measurement).mean(), points)

        best = training.sweep(
            lambda points, losses=losses: losses(jnp.float32(points), problems),
            list(itertools.product(*grid)),
        )
        found[solver] = {
            "arguments": best.best.tolist(),
            "loss": round(best.loss, 6),
            "on_edge": best.on_edge,
        }
    return found


def recover(
    solver: str, problem: SparseCoding, num_steps: int, arguments: Any, largest: Array | None = None
) -> Array:
    """The iterates of a solver with such arguments; `largest` is the dictionary's Lipschitz constant."""
    if solver == "amp":
        return approximate_message_passing(problem, num_steps, arguments[0])
    weight, factor = arguments

    def prox(x: Array, step_size: Array) -> Array:
        return soft_threshold(x, weight * step_size)

    largest = lipschitz(problem.dictionary) if largest is None else largest
    return SOLVERS[solver](problem, num_steps, prox, factor / largest)


def main() -> None:
    """Tunes for all cases of recovery."""
    results = {}
    for task in (*map(recovery, RECOVERY), recovery("gaussian", (512, 1024))):
        name, steps = kind(task.config), RECOVERY_STEPS
        results[name] = {str(steps): tune(task, steps)}
        print(name, json.dumps(results[name]), flush=True)
        FILE.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
