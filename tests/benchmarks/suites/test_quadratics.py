"""The references of the suite of quadratics."""

import jax
import numpy as np

from benchmarks.suites.quadratics import references
from learned_opt import evaluate, tasks

TASK = tasks.quadratic(dim=3)


def losses(solve, num_steps: int, task=TASK) -> np.ndarray:
    problem = TASK.sample(jax.random.key(0))
    iterates = jax.jit(lambda p: solve(task, p, (), num_steps))(problem)
    return np.array([TASK.loss(x, problem, ()) for x in iterates])


def test_conjugate_gradients_solve_in_as_many_steps_as_dimensions():
    found = losses(references.conjugate_gradients, 5)
    assert found[3] < 1e-6 * found[0] < found[2]
    assert np.isfinite(found).all()


def test_lbfgs_pays_for_its_line_searches():
    """After one gradient it stands where it began, and there is no loss twice as a step without a search."""
    found = losses(lambda *args: references.lbfgs_by_gradients(2, *args), 8)
    assert found[0] == found[1]
    assert np.all(np.diff(found) <= 1e-6)
    assert found[8] < 0.5 * found[0]
    assert len(np.unique(found)) < 8


def test_noise_keeps_lbfgs_from_converging():
    noisy = losses(lambda *args: references.lbfgs_by_gradients(2, *args), 60, tasks.gradient_noise(TASK))
    plain = losses(lambda *args: references.lbfgs_by_gradients(2, *args), 60)
    assert np.isfinite(noisy).all()
    assert plain[-1] < 1e-3 * noisy[-1]


def test_the_quasi_newton_step_needs_no_learning():
    curves = evaluate(references.quasi_newton(), TASK, num_steps=30, num_problems=8)
    assert np.median(curves[:, -1]) < 1e-3 * np.median(curves[:, 0])


def test_references_run_where_they_are_meant_to():
    noisy = tasks.gradient_noise(TASK)
    suited = {c.name: c.suits(TASK) for c in references.REFERENCES}
    assert all(suited.values())
    assert {c.name for c in references.REFERENCES if c.suits(noisy)} == {
        "momentum-0.5",
        "momentum-0.95",
        "momentum-0.99",
        "quasi-newton-2",
        "lbfgs-2-by-gradients",
    }
