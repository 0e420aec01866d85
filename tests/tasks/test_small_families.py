"""Tasks of a few hundred parameters: numbers that can be derived by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt import datasets, tasks
from learned_opt.tasks.characters import NUM_SYMBOLS
from learned_opt.tasks.image_features import principal_components
from learned_opt.tasks.low_rank_adapters import Frozen
from learned_opt.tasks.matrix_factorization import Factorization
from learned_opt.tasks.regression import Regression
from learned_opt.tasks.rosenbrock import Valley

KEY = jax.random.key(0)


def test_principal_components_are_uncorrelated_of_mean_square_one_and_keep_most_of_the_image():
    images = datasets.load("digits").images
    features = principal_components(images, 20)(images)
    covariance = np.cov(features, rowvar=False)
    np.testing.assert_allclose(covariance - np.diag(np.diagonal(covariance)), 0, atol=1e-5)
    assert np.mean(np.square(features)) == pytest.approx(1, rel=1e-2)
    assert np.all(np.diff(np.diagonal(covariance)) < 0)
    with pytest.raises(ValueError, match="num_components=65"):
        principal_components(images, 65)


def test_an_autoencoder_that_says_zero_has_the_mean_square_of_its_images():
    task = tasks.autoencoder(hidden_sizes=(4,), num_components=10, batch_size=256)
    params = jax.tree.map(jnp.zeros_like, task.init(KEY, ()))
    batch = task.batch(KEY, (), task.data)
    np.testing.assert_allclose(task.loss(params, (), batch), jnp.mean(jnp.square(batch)), rtol=1e-6)
    assert task.data.shape == (1437, 10)


def test_few_samples_are_the_problems_own_and_a_large_batch_is_all_of_them():
    task = tasks.classification("digits", num_samples=6, batch_size=6)
    one, other = (task.sample(jax.random.key(i)) for i in range(2))
    assert not np.array_equal(one.indices, other.indices)
    images, labels = task.batch(KEY, one, task.data)
    np.testing.assert_array_equal(images, task.data.images[one.indices])
    np.testing.assert_array_equal(labels, task.data.labels[one.indices])
    few = tasks.classification("digits", num_samples=6, batch_size=3)
    drawn = few.batch(KEY, one, task.data)[0]
    assert all(any(np.array_equal(a, b) for b in images) for a in drawn)


def test_noisy_labels_are_the_same_throughout_a_problem():
    task = tasks.classification("digits", num_samples=1000, batch_size=1000, label_noise=0.5)
    problem, other = task.sample(KEY), task.sample(jax.random.key(1))
    labels = task.batch(KEY, problem, task.data)[1]
    np.testing.assert_array_equal(task.batch(jax.random.key(5), problem, task.data)[1], labels)
    # A tenth of the drawn ones is right by chance.
    wrong = np.mean(np.asarray(labels) != np.asarray(task.data.labels[problem.indices]))
    assert wrong == pytest.approx(0.45, abs=0.05)
    of_other = task.batch(KEY, other._replace(indices=problem.indices), task.data)[1]
    assert not np.array_equal(of_other, labels)


def test_regression_is_the_mean_over_samples():
    problem = Regression(jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.array([1.0, 0.0]))
    params = {"w": jnp.array([1.0, 1.0]), "b": jnp.float32(1)}
    squared = tasks.regression(dim=2, num_samples=2)
    assert float(squared.loss(params, problem, problem)) == pytest.approx((1 + 9) / 4)
    logistic = tasks.regression(dim=2, num_samples=2, kind="logistic")
    expected = (np.log1p(np.exp(2)) - 2 + np.log1p(np.exp(3))) / 2
    assert float(logistic.loss(params, problem, problem)) == pytest.approx(expected, rel=1e-6)


def test_regression_without_noise_is_solved_by_some_weights_and_with_noise_is_not():
    def least(noise: float) -> float:
        problem = tasks.regression(dim=4, num_samples=40, noise=noise).sample(KEY)
        inputs, targets = np.asarray(problem.inputs, np.float64), np.asarray(problem.targets, np.float64)
        weights = np.linalg.lstsq(inputs, targets, rcond=None)[0]
        return float(np.mean(np.square(inputs @ weights - targets)))

    assert least(0.0) < 1e-10
    assert least(0.5) == pytest.approx(0.25 * 36 / 40, rel=0.4)
    labels = tasks.regression(kind="logistic", num_samples=400).sample(KEY).targets
    assert set(np.unique(labels)) == {0.0, 1.0}


def test_a_network_of_zeros_misses_the_sines_by_their_mean_square():
    task = tasks.function_fit(hidden_sizes=(3,), num_samples=50)
    problem = task.sample(KEY)
    params = jax.tree.map(jnp.zeros_like, task.init(KEY, problem))
    expected = jnp.mean(jnp.square(problem.targets))
    np.testing.assert_allclose(task.loss(params, problem, problem), expected, rtol=1e-6)
    assert float(jnp.abs(problem.targets).max()) <= 2


def test_rosenbrocks_valley_ends_at_one_over_its_scales():
    task = tasks.rosenbrock(dim=3, log_range=2.0)
    problem = task.sample(KEY)
    assert 100 * np.exp(-2) <= problem.curvature <= 100
    assert float(task.loss(1 / problem.scales, problem, ())) == pytest.approx(0, abs=1e-9)
    plain = Valley(jnp.ones(3), jnp.float32(10))
    assert float(task.loss(jnp.array([0.0, 1.0, 0.0]), plain, ())) == pytest.approx((10 + 1 + 10 + 0) / 2)


def test_factorization_counts_what_is_observed():
    task = tasks.matrix_factorization(2, 2, 1, 1)
    problem = Factorization(jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([[1.0, 1.0], [0.0, 0.0]]))
    params = {"a": jnp.array([[1.0], [1.0]]), "b": jnp.array([[1.0, 1.0]])}
    assert float(task.loss(params, problem, ())) == pytest.approx((0 + 1) / 2)
    drawn = tasks.matrix_factorization(12, 10, 2, 4).sample(KEY)
    assert np.linalg.matrix_rank(np.asarray(drawn.matrix), tol=1e-4) == 2
    assert np.all(np.asarray(drawn.observed) == 1)
    with pytest.raises(ValueError, match=r"observed=1\.5"):
        tasks.matrix_factorization(observed=1.5)


def test_adapters_at_zero_leave_the_frozen_network_as_it_is():
    task = tasks.low_rank_adapters(hidden_size=5, rank=1, num_components=4)
    problem = task.sample(KEY)
    params, (inputs, labels) = task.init(KEY, problem), task.batch(KEY, problem, task.data)
    logits = np.maximum(inputs @ problem.first, 0) @ problem.second
    expected = -jax.nn.log_softmax(logits)[np.arange(len(labels)), labels].mean()
    np.testing.assert_allclose(task.loss(params, problem, (inputs, labels)), expected, rtol=1e-5)
    moved = [{"after": jnp.ones_like(p["after"]), "before": p["before"]} for p in params]
    changed = Frozen(*(w + p["before"] @ p["after"] for w, p in zip(problem, moved, strict=True)))
    np.testing.assert_allclose(
        task.loss(tuple(moved), problem, (inputs, labels)),
        task.loss(params, changed, (inputs, labels)),
        rtol=1e-5,
    )


@pytest.mark.parametrize("network", ["attention", "gru", "lstm"])
def test_the_probabilities_of_all_continuations_of_a_character_sum_to_one(network: str):
    """As they do where what is said of a character does not depend on it or on those behind it."""
    task = tasks.characters(network, length=2, batch_size=3)
    params, batch = task.init(KEY, ()), task.batch(KEY, (), task.data)
    assert batch.shape == (3, 3)
    assert batch.max() < NUM_SYMBOLS
    symbols = jnp.arange(NUM_SYMBOLS)
    pairs = jnp.stack(jnp.meshgrid(symbols, symbols), axis=-1).reshape(-1, 1, 2)
    pieces = jnp.concatenate([jnp.full((len(pairs), 1, 1), 7), pairs], axis=2)
    losses = jax.vmap(lambda piece: task.loss(params, (), piece))(pieces)
    assert float(jnp.sum(jnp.exp(-2 * losses))) == pytest.approx(1, rel=1e-4)
