"""LISTA and ALISTA: their start, their weights, and that training lowers the error and can be resumed."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.suites.sparse_coding import train
from benchmarks.suites.sparse_coding.unrolled import alista, analytic_weights, lista
from learned_opt.core import soft_threshold
from learned_opt.tasks import sparse_coding

TASK = sparse_coding(16, 32, dictionary_seed=0)
PROBLEMS = jax.vmap(TASK.sample)(jax.random.split(jax.random.key(0), 5))
A = PROBLEMS.dictionary[0]
SMALL = train.Settings(
    num_measurements=32,
    num_atoms=48,
    sparsity=0.05,
    num_layers=3,
    batch_size=32,
    steps_a_layer=25,
    final_steps=75,
)


def test_lista_starts_as_thresholding_with_analytic_weights():
    network = lista(A, num_layers=6)
    codes = network.codes(network.init(), network.fixed, PROBLEMS.measurement, 6)
    w = jnp.asarray(analytic_weights(A), jnp.float32)
    x = jnp.zeros((5, 32))
    for layer in codes:
        x = soft_threshold(x - (x @ A.T - PROBLEMS.measurement) @ w, 0.3)
        np.testing.assert_allclose(layer, x, atol=1e-4)


def test_analytic_weights_are_the_least_coherent():
    a = np.float64(A)
    w = analytic_weights(a)
    np.testing.assert_allclose(np.sum(w * a, axis=0), 1, rtol=1e-12)
    # Stationary: the gradient A A^T w_i is a multiple of the constraint's gradient a_i.
    gradients = a @ a.T @ w
    multipliers = np.sum(gradients * a, axis=0) / np.sum(a * a, axis=0)
    np.testing.assert_allclose(gradients, a * multipliers, atol=1e-9)
    assert np.sum((w.T @ a) ** 2) < np.sum((a.T @ a) ** 2)


def test_alista_by_hand():
    """On the identity its weights are the identity: one step of size 1 lands on y, shrunk or trusted."""
    network = alista(jnp.eye(200), num_layers=2)
    y = jnp.zeros((1, 200)).at[0, :4].set(jnp.float32([3, -2, 0.8, 0.2]))
    theta = {"log_step": jnp.zeros(2), "log_threshold": jnp.log(jnp.float32([0.5, 0.5]))}
    codes = network.codes(theta, network.fixed, y, 2)
    # 1.2 % of 200 entries are trusted in the first layer, twice as many in the second.
    np.testing.assert_allclose(codes[0, 0, :4], [3, -2, 0.3, 0], atol=1e-6)
    np.testing.assert_allclose(codes[1, 0, :4], [3, -2, 0.8, 0], atol=1e-6)


@pytest.mark.parametrize("name", ["alista", "lista"])
def test_training_lowers_the_error(name: str, tmp_path):
    settings = dataclasses.replace(SMALL, network=name, matrix_learning_rate=0.003)
    _, errors = train.train(settings, tmp_path)
    network = train.make_network(settings)
    before = train.final_errors(settings, network, network.init(), 256)
    assert errors.shape == (3,)
    assert errors[-1] < before[-1] - 1
    assert np.all(np.diff(errors) < 0)  # each layer improves on the one before
    again = train.train(settings, tmp_path)[1]  # read back
    np.testing.assert_allclose(again, errors, atol=1e-2)


def test_a_stopped_training_goes_on_to_the_same_end(tmp_path, monkeypatch):
    whole, _ = train.train(SMALL, tmp_path / "whole")
    chunks = train._run_chunk

    def stop(*args):
        if int(args[2]) == 100:  # in the last stage
            raise KeyboardInterrupt
        return chunks(*args)

    monkeypatch.setattr(train, "_run_chunk", stop)
    with pytest.raises(KeyboardInterrupt):
        train.train(SMALL, tmp_path / "stopped")
    monkeypatch.setattr(train, "_run_chunk", chunks)
    resumed, _ = train.train(SMALL, tmp_path / "stopped")
    jax.tree.map(np.testing.assert_array_equal, resumed, whole)


def test_another_networks_result_is_refused(tmp_path):
    train.train(dataclasses.replace(SMALL, num_layers=1, final_steps=25), tmp_path)
    with pytest.raises(ValueError, match="other settings"):
        train.train(SMALL, tmp_path)
