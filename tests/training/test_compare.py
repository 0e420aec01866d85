import json

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from learned_opt.core import Task
from learned_opt.tasks import quadratic
from learned_opt.training import Comparison, Entry, compare, evaluate, tune

SETTINGS = {"num_steps": 10, "num_problems": 8}
TASK = quadratic(dim=3, start_deviation=1.0)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    optimizers = {"slow": optax.sgd(1e-6), "broken": optax.sgd(1e20)}
    baselines = {"adam": optax.adam, "sgd": optax.sgd}
    return compare(optimizers, TASK, baselines=baselines, extra_steps=3, seed=5, **SETTINGS)


def test_all_run_on_the_same_problems(comparison: Comparison):
    assert [e.name for e in comparison.entries] == ["slow", "broken", "adam", "sgd"]
    for entry in comparison.entries:
        assert entry.curves.shape == (8, 14)
        np.testing.assert_array_equal(entry.curves[:, 0], comparison["slow"].curves[:, 0])
    rate = comparison["adam"].learning_rate
    expected = evaluate(optax.adam(rate), TASK, num_steps=13, num_problems=8, seed=5)
    np.testing.assert_allclose(comparison["adam"].curves, expected, rtol=1e-4)


def test_baselines_are_swept_on_other_problems(comparison: Comparison):
    best = tune(optax.adam, TASK, seed=6, **SETTINGS)
    assert comparison["adam"].learning_rate == best.learning_rate
    assert comparison["adam"].on_edge == best.on_edge
    assert comparison["slow"].learning_rate is None


def test_rows_are_sorted_and_json_able(comparison: Comparison):
    rows = comparison.rows()
    assert json.loads(json.dumps(rows)) is not None
    assert [row["optimizer"] for row in rows][2:] == ["slow", "broken"]
    assert rows[0]["mean_loss"] <= rows[1]["mean_loss"] < rows[2]["mean_loss"]
    by_name = {row["optimizer"]: row for row in rows}
    final = comparison.final_losses("adam")
    np.testing.assert_array_equal(final, comparison["adam"].curves[:, 10].astype(np.float64))
    row = by_name["adam"]
    assert row["mean_loss"] == final.mean()
    assert row["standard_error"] == pytest.approx(final.std(ddof=1) / 8**0.5)
    assert row["median_loss"] == np.median(final)
    assert row["first_quartile"] < row["median_loss"] < row["third_quartile"]
    assert row["diverged"] == 0
    assert row["steps_to_adam"] <= 10
    assert by_name["slow"]["steps_to_adam"] is None
    assert by_name["broken"]["diverged"] == 1
    assert comparison.best_baseline() == rows[0]["optimizer"]


def by_hand(**curves: list[list[float]]) -> Comparison:
    entries = [Entry(name, np.float32(c), {}, learning_rate=0.1) for name, c in curves.items()]
    return Comparison(tuple(entries), num_steps=3, window=1, seed=0)


def test_steps_to_a_loss():
    comparison = by_hand(adam=[[8, 6, 4, 2], [8, 4, 2, 0]], fast=[[8, 1, 9, 0], [8, 1, 9, 0]])
    assert comparison.steps_to("adam", 8) == 0
    assert comparison.steps_to("adam", 3) == 2
    assert comparison.steps_to("adam", 1) == 3
    assert comparison.steps_to("adam", 0.5) is None
    assert comparison.steps_to("fast", 1) == 1
    assert {row["optimizer"]: row["steps_to_adam"] for row in comparison.rows()} == {"fast": 1, "adam": 3}


def test_window_is_centred():
    entry = Entry("adam", np.float32([[9, 9, 0, 3, 3, 0]]), {}, learning_rate=0.1)
    comparison = Comparison((entry,), num_steps=3, window=3, seed=0)
    assert comparison.final_losses("adam") == 2.0  # of steps 2, 3 and 4
    assert comparison.steps_to("adam", 4) == 2  # (9 + 0 + 3) / 3
    assert comparison.steps_to("adam", 2) == 3


def test_baselines_that_diverged_are_not_the_best():
    comparison = by_hand(adam=[[1, 1, 1, np.nan]], sgd=[[1, 1, 1, 5]])
    assert comparison.best_baseline() == "sgd"
    assert [row["optimizer"] for row in comparison.rows()] == ["sgd", "adam"]
    assert comparison.rows()[0]["standard_error"] is None  # of one problem


def test_rows_of_losses_that_are_not_finite():
    comparison = by_hand(adam=[[1, 1, 1, np.nan], [1, 1, 1, np.inf]], sgd=[[1, 1, 1, np.inf], [1, 1, 1, 1]])
    rows = comparison.rows()  # without a warning
    assert not any(np.isfinite(row["mean_loss"]) for row in rows)
    assert [row["diverged"] for row in rows] == [1.0, 0.5]
    assert [row["first_quartile"] for row in rows] == [np.inf, np.inf]
    assert [row["third_quartile"] for row in rows] == [np.inf, np.inf]
    assert json.loads(json.dumps(rows)) is not None


def test_without_adam_there_are_no_steps_to_it():
    assert by_hand(sgd=[[1, 1, 1, 1]]).rows()[0]["steps_to_adam"] is None


def test_metrics_are_in_the_rows_and_progress_is_told():
    def metrics(x, problem, data):
        return {"test_accuracy": jnp.exp(-x[0])}

    task, names = TASK._replace(metrics=metrics), []
    result = compare(
        {"mine": optax.adam(0.1)},
        task,
        num_steps=2,
        num_problems=2,
        baselines={"sgd": optax.sgd},
        on_progress=names.append,
    )
    assert names == ["mine", "sgd"]
    for row in result.rows():
        expected = result[row["optimizer"]].metrics["test_accuracy"].mean()
        assert row["test_accuracy"] == pytest.approx(float(expected))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"num_steps": -5}, "num_steps=-5: it must be at least 1"),
        ({"num_steps": 0}, "num_steps=0: it must be at least 1"),
        ({"num_steps": 5, "num_problems": 0}, "num_problems=0: it must be at least 1"),
        ({"num_steps": 5, "extra_steps": -1}, "extra_steps=-1: it must be at least 0"),
        ({"num_steps": 5, "window": 4}, "window=4: give a positive odd number"),
        ({"num_steps": 5, "window": 13}, "window=13: .* give at most 11"),
    ],
)
def test_bad_numbers_are_refused_before_anything_runs(numbers, message):
    started = []
    with pytest.raises(ValueError, match=message):
        compare({"a": optax.sgd(0.1)}, quadratic(dim=2), on_progress=started.append, **numbers)
    assert not started


def test_optimizers_alone_can_be_compared():
    task = Task(
        sample=lambda key: (),
        init=lambda key, problem: jnp.float32(1),
        batch=lambda key, problem, data: (),
        loss=lambda x, problem, batch: x**2,
    )
    result = compare(
        {"a": optax.sgd(0.1), "b": optax.sgd(0.2)}, task, num_steps=2, num_problems=2, baselines={}
    )
    assert [row["optimizer"] for row in result.rows()] == ["b", "a"]
    np.testing.assert_allclose(result.final_losses("b"), 0.6**4, rtol=1e-5)
