"""A tiny suite, written as a user writes one, in a single file; and its results."""

import shutil
from pathlib import Path

import pytest

from benchmarks.harness import discovery, runner
from benchmarks.harness.suite import Request

USERS_SUITE = '''
import jax.numpy as jnp
import optax

from benchmarks.comparison.baselines import solver, swept, untuned
from benchmarks.comparison.suite import Budget, Case, comparison
from learned_opt import tasks
from learned_opt.reports import Column

TASK = tasks.quadratic(dim=2)._replace(
    metrics=lambda params, problem, data: {"norm": jnp.sum(jnp.square(params))}
)


def newton(task, problem, batch, num_steps):
    """Zero, then the solution."""
    solution = jnp.linalg.solve(problem.w, problem.y)
    return jnp.concatenate([jnp.zeros((1, 2)), jnp.tile(solution, (num_steps, 1))])


SUITE = comparison(
    "mine",
    lambda size: [Case("two", lambda: TASK, horizons=(8,), summary="Two dimensions.")],
    version=3,
    summary="A user's suite.",
    budgets={size: Budget(seeds=2, problems=4, tuning_problems=4) for size in ("quick", "default", "full")},
    optimizers=lambda size: (
        swept("sgd", optax.sgd),
        untuned("still", optax.set_to_zero),
        solver("newton", newton),
    ),
    metrics={"norm": Column("squared norm", best="low")},
)
'''


@pytest.fixture(scope="session")
def users_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("user") / "mine.py"
    path.write_text(USERS_SUITE)
    return path


@pytest.fixture(scope="session")
def measured(users_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the user's suite, to be copied by whoever changes them."""
    out = tmp_path_factory.mktemp("results")
    assert runner.run([discovery.find(str(users_file))], Request("quick"), out, command="c", quiet=True) == 10
    return out


@pytest.fixture
def directory(measured: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(measured, tmp_path / "results"))
