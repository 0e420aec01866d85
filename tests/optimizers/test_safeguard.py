"""The safeguard against optimizers that do harm, and that it leaves good ones alone."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from learned_opt.optimizers import safeguard, tensor_controller

CURVATURE = jnp.logspace(0, 1, 12).reshape(3, 4)
PARAMS = {"w": jnp.ones((3, 4)), "b": jnp.full(4, -1.0)}
FALLBACK = optax.adam(0.02)


def quadratic(p, key=None, shift=0.0):
    """Zero at the shift; batches differ by noise in the gradient and in the loss."""
    noise = 0.0 if key is None else jax.random.normal(key, ())
    loss = 0.5 * jnp.sum(CURVATURE * jnp.square(p["w"] - shift)) + 0.5 * jnp.sum(jnp.square(p["b"] - shift))
    return loss * (1 + 0.2 * noise)


def follow(tx, num_steps, *, with_value=True, noisy=False, loss=quadratic, params=PARAMS):
    """The losses before each step, the updates, and the last params and state."""

    def step(carry, i):
        params, state = carry
        key = jax.random.fold_in(jax.random.key(0), i) if noisy else None
        value, grads = jax.value_and_grad(functools.partial(loss, key=key))(params)
        extra = {"value": value} if with_value else {}
        updates, state = tx.update(grads, state, params, **extra)
        return (optax.apply_updates(params, updates), state), (loss(params), updates)

    with jax.numpy_dtype_promotion("standard"):  # for optax's schedules
        run = jax.jit(lambda c: jax.lax.scan(step, c, jnp.arange(num_steps)))
        (params, state), (losses, updates) = run((params, tx.init(params)))
    return np.asarray(losses), updates, params, state


def after(num_steps, change):
    """Gradient descent whose updates are changed from some step on."""

    def init(params):
        del params
        return jnp.zeros([], jnp.int32)

    def update(updates, state, params=None):
        del params
        plain = jax.tree.map(lambda g: -0.05 * g, updates)
        changed = jax.tree.map(change, plain)
        return jax.tree.map(lambda a, b: jnp.where(state >= num_steps, b, a), plain, changed), state + 1

    return optax.GradientTransformation(init, update)


with_and_without = pytest.mark.parametrize("with_value", [True, False], ids=["value", "no-value"])
ADVERSARIES = {
    "nan": after(20, lambda u: jnp.full_like(u, jnp.nan)),
    "infinite": after(20, lambda u: jnp.full_like(u, jnp.inf)),
    "explodes": after(20, lambda u: -30 * u),
    "explodes-at-once": optax.sgd(100.0),
    "climbs": optax.sgd(-0.05),
    "frozen": optax.set_to_zero(),
    "freezes": after(20, jnp.zeros_like),
}


@pytest.mark.parametrize("name", ADVERSARIES)
@with_and_without
def test_runs_end_well_whatever_the_optimizer_does(name: str, with_value: bool):
    losses, updates, params, state = follow(
        safeguard(ADVERSARIES[name], FALLBACK), 1500, with_value=with_value
    )
    chex.assert_tree_all_finite((updates, params))
    assert state.hold > 100
    if with_value or name != "climbs":  # slowly, and without a loss that is seen late
        assert losses[-1] < 1e-2 * losses[0]


@with_and_without
def test_steps_that_are_a_hundred_times_too_long_are_shortened(with_value: bool):
    """The largest curvature is 10, so that steps above 0.2 diverge."""
    losses, _, _, state = follow(safeguard(optax.sgd(5.0)), 1500, with_value=with_value)
    assert state.trusted
    assert state.scale == pytest.approx(0.01)
    assert losses[-1] < 1e-6 * losses[0]


GOOD = {
    "sgd": optax.sgd(0.05),
    "adam": optax.adam(0.05),
    "warm-up": optax.adam(optax.warmup_cosine_decay_schedule(0.0, 0.1, 300, 1500)),
    "controller": tensor_controller().build(tensor_controller().init(jax.random.key(0))),
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("noisy", [False, True])
@with_and_without
def test_good_optimizers_are_left_alone(name: str, noisy: bool, with_value: bool):
    _, plain, _, _ = follow(GOOD[name], 1500, noisy=noisy, with_value=with_value)
    _, guarded, _, state = follow(safeguard(GOOD[name]), 1500, noisy=noisy, with_value=with_value)
    assert state.hold == 100
    # Rounding errors grow along the controller's trajectory.
    start = slice(30 if name == "controller" else None)
    assert_close = functools.partial(chex.assert_trees_all_close, rtol=1e-4, atol=1e-5)
    assert_close(*(jax.tree.map(lambda u: u[start], updates) for updates in (guarded, plain)))


def test_one_bad_batch_changes_nothing():
    def loss(p, key=None):
        return quadratic(p) + (0.0 if key is None else jnp.where(jax.random.uniform(key) < 0.02, 1e6, 0.0))

    _, _, _, state = follow(safeguard(optax.sgd(0.05)), 1000, noisy=True, loss=loss)
    assert state.hold == 100


def test_loss_that_changes_is_not_blamed_on_the_optimizer():
    tx = safeguard(optax.sgd(0.05), FALLBACK)
    state, params = tx.init(PARAMS), PARAMS

    @jax.jit
    def step(params, state, shift):
        value, grads = jax.value_and_grad(quadratic)(params, shift=shift)
        updates, state = tx.update(grads, state, params, value=value)
        return optax.apply_updates(params, updates), state, value

    for shift in (0.0, 30.0, -30.0, 100.0):
        for _ in range(200):
            params, state, value = step(params, state, shift)
        assert value < 1e-2
    assert state.trusted
    assert state.scale == 1


def test_gradients_that_are_not_finite_once_are_passed_over():
    tx = safeguard(optax.sgd(0.1))
    bad = jax.tree.map(lambda p: jnp.full_like(p, jnp.nan), PARAMS)
    state = tx.init(PARAMS)
    updates, state = tx.update(bad, state, PARAMS, value=jnp.float32(jnp.nan))
    assert all(np.all(np.asarray(u) == 0) for u in jax.tree.leaves(updates))
    updates, state = tx.update(PARAMS, state, PARAMS, value=jnp.float32(1))
    chex.assert_trees_all_close(updates, jax.tree.map(lambda p: -0.1 * p, PARAMS))
    assert state.trusted


def test_a_run_that_diverges_goes_back_to_its_best_params():
    losses, _, _, _ = follow(safeguard(ADVERSARIES["explodes"], optax.set_to_zero()), 60)
    assert losses.max() > losses[0]
    assert losses[-1] <= 1.01 * losses.min()


def test_under_vmap_each_member_is_judged_by_itself():
    tx = safeguard(optax.sgd(0.05), FALLBACK)
    both = jax.tree.map(lambda p: jnp.stack([p, p]), PARAMS)

    def run(params, sign):
        def step(carry, _):
            params, state = carry
            value, grads = jax.value_and_grad(quadratic)(params)
            grads = jax.tree.map(lambda g: sign * g, grads)
            updates, state = tx.update(grads, state, params, value=value)
            return (optax.apply_updates(params, updates), state), value

        (_, state), values = jax.lax.scan(step, (params, tx.init(params)), length=300)
        return state.hold, values

    holds, _ = jax.jit(jax.vmap(run))(both, jnp.array([1.0, -1.0]))
    assert holds[0] == 100
    assert holds[1] > 100


def test_settings_and_missing_params_are_refused():
    with pytest.raises(ValueError, match="patience=0"):
        safeguard(optax.sgd(0.1), patience=0)
    with pytest.raises(ValueError, match="hold=0"):
        safeguard(optax.sgd(0.1), hold=0)
    tx = safeguard(optax.sgd(0.1))
    with pytest.raises(ValueError, match="params"):
        tx.update(PARAMS, tx.init(PARAMS))
