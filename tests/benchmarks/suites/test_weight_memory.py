"""The suite of weight memories: its baselines on problems whose answer is known, and its table."""

import jax
import numpy as np
import pytest

from benchmarks.harness.suite import Request
from benchmarks.suites.weight_memory import classifiers, perceptrons, suite
from learned_opt import in_context


def separable(num: int = 3):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(num, 60, 2))
    return x, (x[:, :, 0] > 0).astype(np.float64), np.full(num, 40)


@pytest.mark.parametrize("name", list(classifiers.CLASSIFIERS))
def test_classifiers_learn_what_a_line_separates(name):
    losses = classifiers.losses(name, *separable())
    assert losses.shape == (3,)
    # Half of the samples of either class: log 2, and much less for whoever learns.
    assert (
        losses.mean() == pytest.approx(np.log(2), abs=0.05) if "frequencies" in name else losses.mean() < 0.3
    )


@pytest.mark.parametrize("name", list(classifiers.CLASSIFIERS))
def test_classifiers_without_two_classes_predict_frequencies(name):
    x, y, _ = separable(1)
    y = np.zeros_like(y)
    # (0 + 1) / (10 + 2) for class 1.
    assert classifiers.losses(name, x, y, np.array([10])) == pytest.approx(-np.log(11 / 12))


@pytest.mark.parametrize("optimizer", list(perceptrons.OPTIMIZERS))
@pytest.mark.parametrize("one_pass", [True, False])
def test_perceptrons_learn_and_do_not_see_test_targets(optimizer, one_pass, monkeypatch):
    monkeypatch.setattr(perceptrons, "FULL_BATCH_STEPS", 40)
    memory = in_context.weight_memory(num_inputs=2, num_hidden=8, learner_sizes=(2,))
    x, y, num_train = separable()
    data = in_context.Dataset(np.float32(x), np.float32(y))
    rate = 0.05 if optimizer == "adam" else 0.5
    key = jax.random.key(0)
    curves = np.asarray(perceptrons.curves(memory, optimizer, one_pass, rate, key, data, num_train))
    assert curves.shape == (3, 60 if one_pass else 40)
    assert curves[:, -1].mean() < 0.6 * curves[:, 0].mean()
    if one_pass:
        np.testing.assert_array_equal(curves[:, 39], curves[:, -1])
    # With the targets of the test samples turned round, p becomes 1 - p: what was learned is the same.
    turned = data._replace(targets=np.where(np.arange(60) < 40, data.targets, 1 - data.targets))
    other = np.asarray(perceptrons.curves(memory, optimizer, one_pass, rate, key, turned, num_train))
    assert np.all(other[:, -1] > curves[:, -1] + 0.5)


def test_the_sweep_says_when_the_best_is_on_the_edge():
    memory = in_context.weight_memory(num_inputs=2, num_hidden=8, learner_sizes=(2,))
    x, y, num_train = separable()
    data = in_context.Dataset(np.float32(x), np.float32(y))
    grid = (1e-6, 0.1, 1e6)
    means = perceptrons.sweep(memory, "sgd", True, jax.random.key(0), data, num_train, grid)
    assert means.shape == (3, 60)
    assert perceptrons.best(means, False, grid) == (0.1, 59, False)
    assert perceptrons.best(means[:2], False, grid[:2]).on_edge
    early = np.array([[0.6, 0.5, 0.7], [0.6, 0.6, 0.6]])
    assert perceptrons.best(early, True, grid[:2]) == (1e-6, 1, True)
    assert perceptrons.best(early, False, grid[:2]) == (0.1, 2, True)


def test_rows_are_paired_with_the_memory():
    rng = np.random.default_rng(0)
    base = rng.uniform(0.3, 0.9, 200)
    losses = {suite.MEMORY: base, "worse": base + rng.normal(0.05, 0.02, 200), "same": base}
    rows = {
        row["name"]: row
        for row in suite.rows(losses, {"worse": {"learning_rate": 1, "step": 2, "on_edge": False}})
    }
    assert rows["worse"]["difference_low"] < 0.05 < rows["worse"]["difference_high"]
    assert rows["worse"]["p"] < 1e-6
    assert rows["same"]["difference"] == 0
    assert rows["same"]["p"] == 1
    assert rows["worse"]["learning_rate"] == 1


def test_plan_has_a_cell_an_algorithm_and_the_memory_beats_lines():
    jobs = {job.key.optimizer: job for job in suite.plan(Request(size="quick"))}
    assert list(jobs) == list(suite.NAMES)
    assert [j.key.optimizer for j in suite.plan(Request(optimizers=("RBF SVM",)))] == ["RBF SVM"]
    memory, frequencies = (
        np.mean(jobs[n].run(lambda key: {})["losses"]) for n in (suite.MEMORY, "class frequencies")
    )
    assert memory < frequencies - 0.07
