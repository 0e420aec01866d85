import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from learned_opt.core import soft_threshold
from learned_opt.optimizers import proximal
from learned_opt.tasks import sparse_coding
from learned_opt.training import evaluate_with_metrics


def tree_soft(params, step_size):
    return jax.tree.map(lambda x: soft_threshold(x, step_size), params)


PARAMS = {"w": jnp.float32([2.0, 0.1]), "b": jnp.float32(-1.0)}
GRADIENTS = {"w": jnp.float32([1.0, 0.1]), "b": jnp.float32(1.0)}


def apply(tx, params=PARAMS, gradients=GRADIENTS, **extra_args):
    updates, _ = tx.update(gradients, tx.init(params), params, **extra_args)
    return optax.apply_updates(params, updates)


@pytest.mark.parametrize(("own", "extra"), [(tree_soft, {}), (None, {"prox": tree_soft})])
def test_step_by_hand(own, extra):
    new = apply(proximal(optax.sgd(0.5), own, step_size=0.25), **extra)
    # (2 - 0.5) - 0.25; 0.05 is below the threshold; (-1 - 0.5) + 0.25
    chex.assert_trees_all_close(new, {"w": jnp.float32([1.25, 0]), "b": jnp.float32(-1.25)})
    assert float(new["w"][1]) == 0  # exactly


def test_the_given_operator_is_preferred():
    tx = proximal(optax.sgd(0.5), tree_soft, step_size=0.25)
    chex.assert_trees_all_equal(apply(tx, prox=lambda p, s: p), apply(tx))


def test_schedules_and_steps_for_each_coordinate():
    params, gradients = jnp.float32([2, 2]), jnp.zeros(2)
    growing = optax.linear_schedule(0.25, 0.5, transition_steps=1)
    tx = proximal(optax.sgd(1.0), soft_threshold, step_size=growing)
    state = tx.init(params)
    for expected in (1.75, 1.25):
        with jax.numpy_dtype_promotion("standard"):  # which optax's schedules count on
            updates, state = tx.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
        np.testing.assert_allclose(params, expected)
    tx = proximal(optax.sgd(1.0), soft_threshold, step_size=jnp.float32([1, 0]))
    np.testing.assert_allclose(apply(tx, jnp.float32([2, 2]), gradients), [1, 2])


def test_in_a_chain_around_a_chain_and_in_wrappers():
    tx = proximal(optax.chain(optax.clip(0.5), optax.sgd(1.0)), tree_soft, step_size=0.25)
    expected = apply(tx)
    around = optax.chain(optax.clip(0.5), proximal(optax.sgd(1.0), step_size=0.25))
    chex.assert_trees_all_close(apply(around, prox=tree_soft), expected)
    masked = optax.masked(tx, {"w": True, "b": False})
    assert float(apply(masked)["b"]) == 0.0  # -1 plus the gradient, which passes unchanged
    injected = optax.inject_hyperparams(lambda s: proximal(optax.sgd(s), tree_soft, step_size=s))(s=0.5)
    assert float(injected.init(PARAMS).hyperparams["s"]) == 0.5
    chex.assert_trees_all_close(apply(injected)["w"], jnp.float32([1.0, 0.0]))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_keeps_dtype(dtype):
    params, gradients = (jax.tree.map(lambda x: x.astype(dtype), t) for t in (PARAMS, GRADIENTS))
    tx = proximal(optax.sgd(0.5), tree_soft, step_size=jnp.float32(0.25))
    updates, _ = tx.update(gradients, tx.init(params), params)
    chex.assert_trees_all_equal_shapes_and_dtypes(updates, params)


def test_steps_under_vmap_and_scan_are_those_of_a_loop():
    tx = proximal(optax.adam(0.1), soft_threshold, step_size=0.05)
    target = jax.random.normal(jax.random.key(0), (3, 4))

    def run(target):
        def step(carry, _):
            x, state = carry
            updates, state = tx.update(x - target, state, x)
            return (optax.apply_updates(x, updates), state), None

        x = jnp.zeros(4)
        return jax.lax.scan(step, (x, tx.init(x)), length=5)[0][0]

    x = jnp.zeros(4)
    state = tx.init(x)
    for _ in range(5):
        updates, state = tx.update(x - target[1], state, x)
        x = optax.apply_updates(x, updates)
    np.testing.assert_allclose(jax.jit(jax.vmap(run))(target)[1], x, rtol=1e-5)


def test_meta_gradient_reaches_step_size_and_inner_optimizer():
    def final(log_step):
        tx = proximal(optax.sgd(jnp.exp(log_step)), soft_threshold, step_size=jnp.exp(log_step))
        return jnp.sum(apply(tx, jnp.float32([2.0, 0.0]), jnp.float32([1.0, 0.0])) ** 2)

    # x = 2 - 2 s, so d(x^2)/d(log s) = -2 x 2 s
    s = 0.25
    assert float(jax.grad(final)(jnp.log(jnp.float32(s)))) == pytest.approx(-4 * (2 - 2 * s) * s, rel=1e-5)


def test_proximal_gradients_beat_subgradients_on_the_lasso():
    task = sparse_coding(10, 20, weight=0.1, optimum_steps=500)
    plain = sparse_coding(10, 20, weight=0.1, optimum_steps=500, form="subgradient")
    step = 0.15
    _, ista = evaluate_with_metrics(
        proximal(optax.sgd(step), step_size=step), task, num_steps=200, num_problems=8
    )
    _, subgradient = evaluate_with_metrics(optax.sgd(step), plain, num_steps=200, num_problems=8)
    assert ista["gap"].max() < 0.01
    assert ista["gap"].mean() < 0.1 * subgradient["gap"].mean()
    assert ista["support_f1"].mean() > subgradient["support_f1"].mean()


def test_errors_say_what_is_missing():
    with pytest.raises(ValueError, match="step_size=0"):
        proximal(optax.sgd(0.1), tree_soft, step_size=0)
    tx = proximal(optax.sgd(0.1), step_size=0.1)
    with pytest.raises(ValueError, match="no proximal operator"):
        apply(tx)
    with pytest.raises(ValueError, match="needs the params"):
        tx.update(GRADIENTS, tx.init(PARAMS), prox=tree_soft)
