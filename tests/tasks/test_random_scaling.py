import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt.tasks import classification, quadratic, random_scaling, sparse_coding

KEY = jax.random.key(0)


def test_losses_are_the_same_and_gradients_are_scaled():
    plain = quadratic(dim=4, start_deviation=1.0)
    task = random_scaling(plain)
    problem, scales, _ = scaled = task.sample(KEY)
    x = task.init(KEY, scaled)
    np.testing.assert_allclose(x * scales, plain.init(KEY, problem), rtol=1e-6)
    z = scales * x
    np.testing.assert_allclose(task.loss(x, scaled, ()), plain.loss(z, problem, ()), rtol=1e-5)
    expected = scales * jax.grad(plain.loss)(z, problem, ())
    np.testing.assert_allclose(jax.grad(task.loss)(x, scaled, ()), expected, rtol=1e-4)


def test_scales_are_log_uniform():
    _, scales, _ = jax.vmap(random_scaling(quadratic(dim=10), log_range=2.0).sample)(
        jax.random.split(KEY, 500)
    )
    logs = jnp.log(scales)
    assert float(jnp.abs(logs).max()) <= 2.0 + 1e-6
    assert float(jnp.abs(logs).max()) > 1.95
    assert abs(float(logs.mean())) < 0.05
    assert float(logs.std()) == pytest.approx(4 / 12**0.5, rel=0.03)  # of a uniform of width 4


def test_no_range_is_no_scaling():
    task = random_scaling(quadratic(dim=3), log_range=0.0)
    _, scales, loss_scale = task.sample(KEY)
    np.testing.assert_array_equal(scales, np.ones(3))
    assert loss_scale == 1


def test_data_batches_and_metrics_are_the_given_tasks():
    plain = classification("digits", hidden_sizes=(5,), batch_size=4)
    task = random_scaling(plain)
    assert task.data is plain.data
    problem, scales, _ = scaled = task.sample(KEY)
    ours, theirs = task.batch(KEY, scaled, task.data), plain.batch(KEY, problem, plain.data)
    np.testing.assert_array_equal(ours[0], theirs[0])
    x = task.init(KEY, scaled)
    z = jax.tree.map(jnp.multiply, x, scales)
    ours, theirs = task.metrics(x, scaled, task.data), plain.metrics(z, problem, plain.data)
    np.testing.assert_allclose(ours["test_loss"], theirs["test_loss"], rtol=1e-5)
    assert random_scaling(quadratic(dim=2)).metrics is None
    # Every leaf has scales of its own.
    assert len(np.unique([float(jnp.ravel(s)[0]) for s in jax.tree.leaves(scales)])) == 4


def test_a_scaled_loss_is_what_the_optimizer_sees_and_not_what_is_measured():
    plain = random_scaling(quadratic(dim=3), log_range=1.0)
    task = random_scaling(quadratic(dim=3), log_range=1.0, loss_log_range=4.0)
    factors = []
    for seed in range(50):
        scaled = task.sample(jax.random.key(seed))
        x = jnp.float32([1, -2, 3])
        assert task.loss(x, scaled, ()) == plain.loss(x, scaled, ())
        gradient = jax.grad(plain.loss)(x, scaled, ())
        seen = jax.grad(task.smooth)(x, scaled, ())
        np.testing.assert_allclose(seen, scaled.loss_scale * gradient, rtol=1e-5)
        factors.append(float(scaled.loss_scale))
    logs = np.log(factors)
    assert np.abs(logs).max() <= 4
    assert logs.std() == pytest.approx(8 / 12**0.5, rel=0.25)  # of a uniform of width 8, 50 draws
    assert plain.smooth is None


@pytest.mark.parametrize("name", ["log_range", "loss_log_range"])
@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_range_below_zero_is_quoted(name: str, value: float):
    with pytest.raises(ValueError, match=f"{name}={value}"):
        random_scaling(quadratic(dim=2), **{name: value})


def test_a_proximal_operator_is_refused():
    with pytest.raises(ValueError, match="proximal operator cannot be scaled"):
        random_scaling(sparse_coding(4, 8))


@pytest.mark.parametrize("level", ["coordinate", "tensor", "all"])
def test_what_shares_a_scale(level: str):
    plain = classification("digits", hidden_sizes=(5,), batch_size=4)
    task = random_scaling(plain, level=level)
    problem, scales, _ = scaled = task.sample(KEY)
    params = task.init(KEY, scaled)
    whole = jax.tree.map(lambda x, c: jnp.broadcast_to(c, x.shape), params, scales)
    values = [np.unique(np.asarray(c)) for c in jax.tree.leaves(whole)]
    sizes = [x.size for x in jax.tree.leaves(params)]
    distinct = len(np.unique(np.concatenate(values)))
    assert distinct == {"coordinate": sum(sizes), "tensor": len(sizes), "all": 1}[level] or (
        level == "coordinate" and distinct > 0.99 * sum(sizes)  # two of many floats may be equal
    )
    batch = task.batch(KEY, scaled, task.data)
    moved = jax.tree.map(jnp.multiply, params, whole)
    np.testing.assert_allclose(task.loss(params, scaled, batch), plain.loss(moved, problem, batch), rtol=1e-5)


def test_unknown_level_is_refused():
    with pytest.raises(ValueError, match="level='layer'"):
        random_scaling(quadratic(dim=2), level="layer")
