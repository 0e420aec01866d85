"""The suite of sparse coding: who competes where, and that its references do what they say."""

import jax
import numpy as np
import pytest

from benchmarks.comparison.curves import solver_curves
from benchmarks.suites.sparse_coding import suite, trained, tuned
from benchmarks.suites.sparse_coding.iterative import fista, proximal_gradient
from learned_opt import tasks, training


def competing(task) -> set[str]:
    return {c.name for c in suite.optimizers("quick") if c.suits(task) and c.kind == "solver"}


def test_references_compete_where_they_suit():
    assert competing(suite.penalized("l1")) == {"ista", "fista"}
    assert competing(suite.penalized("l0")) == {"iht", "iht-k", "niht-k", "omp"}
    assert competing(suite.penalized("group")) == {"block-ista", "block-fista"}
    for kind in suite.RECOVERY:
        learned = set() if kind == "snr10" else {"lista", "alista"}  # none were trained at 10 dB
        assert competing(suite.recovery(kind)) == {"ista", "fista", "amp", "amp-prior", *learned}
    assert competing(suite.penalized("l1", "subgradient")) == set()


def test_cases_have_names_of_their_own():
    for size in ("quick", "default", "full"):
        names = [case.name for case in suite.cases(size)]
        assert len(set(names)) == len(names)


def test_best_arguments_do_not_lie_on_the_grids_edge():
    """But for the step size of message passing where it diverges: it is for Gaussian dictionaries."""
    for kind, by_steps in tuned._read().items():
        for found in by_steps.values():
            for solver, best in found.items():
                assert not best["on_edge"] or (solver == "amp" and "gaussian" not in kind)


def test_untuned_cases_say_how_to_tune():
    config = tasks.sparse_coding(7, 9, objective="recovery").config
    with pytest.raises(ValueError, match=r"benchmarks\.suites\.sparse_coding\.tuned"):
        tuned.tuned("ista", config, 16)


def test_solvers_run_on_the_problems_of_a_comparison():
    task = tasks.sparse_coding(8, 12, weight=0.1)
    by_name = {c.name: c for c in suite.optimizers("quick")}
    keys = training.evaluation_keys(0, 3)
    for name, method in (("ista", proximal_gradient), ("fista", fista)):
        curves, metrics = solver_curves(by_name[name].build, task, 20, keys, chunk=2)
        problem = task.sample(jax.random.split(keys[1], 3)[0])
        iterates = method(problem, 20, task.prox)
        expected = [float(task.loss(x, problem, problem)) for x in iterates]
        np.testing.assert_allclose(curves[1], expected, rtol=1e-4)
        assert float(metrics["objective"][1]) == pytest.approx(expected[-1], rel=1e-4)


@pytest.mark.parametrize("network", ["lista", "alista"])
def test_trained_networks_run_in_one_compiled_program_after_another(network: str):
    trained._load.cache_clear()  # so that the first program is what reads the weights
    task = suite.recovery("gaussian")
    by_name = {c.name: c for c in suite.optimizers("quick")}
    keys = training.evaluation_keys(0, 2)
    first, _ = solver_curves(by_name[network].build, task, 16, keys, chunk=1)
    second, _ = solver_curves(by_name[network].build, task, 8, keys, chunk=1)
    np.testing.assert_allclose(second, first[:, :9], rtol=1e-4)
    assert np.all(first[:, 16] < 1e-2 * first[:, 0])
