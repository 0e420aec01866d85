"""The suite of deep networks: what is held out, and what its sizes plan."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.harness.results import Cell
from benchmarks.harness.suite import Key
from benchmarks.suites.deep import held_out, table
from benchmarks.suites.deep.suite import METRICS, cases
from learned_opt import datasets


def test_a_tenth_of_the_data_is_held_out():
    task = held_out.characters(text=None, length=8)
    np.testing.assert_array_equal(np.concatenate(task.data), datasets.docstrings())
    assert len(task.data.test) == pytest.approx(0.1 * len(datasets.docstrings()), abs=1)
    params = jax.tree.map(jnp.zeros_like, task.init(jax.random.key(0), ()))
    # Without any weights every one of the 32 symbols is as likely.
    assert task.metrics(params, (), task.data)["test_loss"] == pytest.approx(np.log(32), rel=1e-5)
    task = held_out.autoencoder()
    params = jax.tree.map(jnp.zeros_like, task.init(jax.random.key(0), ()))
    expected = jnp.mean(task.data.test**2)
    assert task.metrics(params, (), task.data)["test_loss"] == pytest.approx(expected)


def test_every_task_is_measured_in_test_by_a_column_of_the_report():
    for case in cases("quick"):
        task = case.make()
        problem = jax.eval_shape(task.sample, jax.random.key(0))
        params = jax.eval_shape(task.init, jax.random.key(0), problem)
        found = jax.eval_shape(task.metrics, params, problem, task.data)
        assert found.keys() <= METRICS.keys(), case.name


def test_a_long_run_on_data_of_ones_own(tmp_path):
    images = tmp_path / "mine.npz"
    arrays = {f"{split}_images": np.zeros((4, 8, 8, 3), np.uint8) for split in ("train", "test")}
    labels = {f"{split}_labels": np.arange(4) for split in ("train", "test")}
    np.savez(images, **arrays, **labels)
    found = {case.name: case for case in cases("full", images=str(images))}
    assert {case.horizons for case in found.values()} == {(5000,)}
    assert found["resnet"].make().data.images.shape == (4, 8, 8, 3)


def test_a_row_says_what_was_measured_in_test():
    def cell(seed: int, errors: float) -> Cell:
        settings = {"kind": "swept", "window": 1, "summary": "", "shift": None}
        result = {
            "final": [0.5],
            "finite": [True],
            "initial": [1.0],
            "learning_rate": 0.1,
            "on_edge": False,
            "mean_steps": [0, 10],
            "mean_curve": [1.0, 0.5],
            "metrics": {"bit_errors": [errors]},
        }
        return Cell(Key("deep", "dnc-copy", "nag", 10, seed, "losses"), settings, result, {}, 1.0)

    (row,) = table.rows([cell(0, 0.25), cell(1, 0.25)], METRICS)
    assert (row["task"], row["optimizer"], row["loss"]) == ("dnc-copy", "nag", 0.5)
    assert row["test"] == "wrong bits 0.250"
