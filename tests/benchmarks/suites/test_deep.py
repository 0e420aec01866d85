"""The suite of deep networks: what is held out, and what its sizes plan."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.harness import results
from benchmarks.harness.results import Cell
from benchmarks.harness.suite import Key
from benchmarks.release.readme import RESULTS
from benchmarks.suites.deep import held_out, levels, table
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
    assert row["test"] == f"wrong bits{table.NO_BREAK}0.250"


def test_levels_of_linear_models_and_of_counts():
    train, test = (np.asarray(part) for part in held_out.autoencoder().data)
    centred, others = train - train.mean(0), test - train.mean(0)
    components = np.linalg.svd(centred, full_matrices=False)[2][:6]
    left = others - others @ components.T @ components
    assert np.mean(left**2) == pytest.approx(levels.LEVELS["autoencoder"].bound, abs=5e-4)

    train, test = (np.asarray(part, int) for part in held_out.characters(text=None, length=8).data)
    counts = np.full((32, 32, 32), 0.1)
    np.add.at(counts, (train[:-2], train[1:-1], train[2:]), 1)
    chances = counts / counts.sum(axis=2, keepdims=True)
    nats = -np.log(chances[test[:-2], test[1:-1], test[2:]]).mean()
    for name in ("character-lstm", "transformer"):
        # The text is the documentation of the Python that runs, the bound that of 3.11's.
        assert nats == pytest.approx(levels.LEVELS[name].bound, rel=5e-3)


def test_committed_results_reach_the_levels_but_for_one():
    cells = [cell for cell in results.load(RESULTS)[1] if cell.key.suite == "deep"]
    rows = levels.rows(cells, METRICS)
    assert {row["task"] for row in rows} == levels.LEVELS.keys()
    assert [row["task"] for row in rows if row["reached"] == "no"] == ["neural-programmer"]


def test_no_level_of_other_data():
    cell = results.read(results.path_of(RESULTS, Key("deep", "vae", "adam", 1000, 0, "losses")))
    other = dataclasses.replace(cell, settings={**cell.settings, "summary": "of CIFAR-10"})
    assert len(levels.rows([cell], METRICS)) == 1
    assert levels.rows([other], METRICS) == []
