import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt.tasks import classification, gradient_noise, quadratic

KEY = jax.random.key(0)


def test_losses_are_the_same_and_gradients_have_the_noise_of_the_batch():
    plain = quadratic(dim=4, start_deviation=1.0)
    task = gradient_noise(plain, deviation=0.5)
    problem = task.sample(KEY)
    x = task.init(KEY, problem)
    batch = task.batch(KEY, problem, ())
    value, grad = jax.value_and_grad(task.loss)(x, problem, batch)
    expected, clean = jax.value_and_grad(plain.loss)(x, problem, ())
    assert value == expected
    np.testing.assert_allclose(grad - clean, batch[1], atol=1e-4)


def test_noise_has_the_deviation_and_is_new_at_every_step():
    task = gradient_noise(quadratic(dim=10), deviation=2.0)
    problem = task.sample(KEY)
    noises = jax.vmap(lambda key: task.batch(key, problem, ())[1])(jax.random.split(KEY, 2000))
    assert float(noises.std()) == pytest.approx(2.0, rel=0.02)
    assert abs(float(noises.mean())) < 0.05
    assert len(np.unique(np.asarray(noises)[:, 0])) > 1990


def test_smooth_part_has_the_same_noise():
    plain = quadratic(dim=3)._replace(smooth=lambda x, problem, batch: jnp.sum(x))
    task = gradient_noise(plain)
    problem = task.sample(KEY)
    x, batch = jnp.ones(3), task.batch(KEY, problem, ())
    assert task.smooth is not None
    assert task.smooth(x, problem, batch) == 3
    np.testing.assert_allclose(jax.grad(task.smooth)(x, problem, batch), 1 + batch[1], rtol=1e-6)


def test_data_and_metrics_are_the_given_tasks():
    plain = classification("digits", hidden_sizes=(5,), batch_size=4)
    task = gradient_noise(plain, deviation=0.0)
    assert task.data is plain.data
    assert task.metrics is plain.metrics
    params = task.init(KEY, ())
    batch = task.batch(KEY, (), task.data)
    assert jax.tree.structure(batch[1]) == jax.tree.structure(params)
    assert task.loss(params, (), batch) == plain.loss(params, (), batch[0])


@pytest.mark.parametrize("deviation", [-1.0, float("nan")])
def test_deviation_below_zero_is_quoted(deviation: float):
    with pytest.raises(ValueError, match=f"deviation={deviation}"):
        gradient_noise(quadratic(dim=2), deviation)
