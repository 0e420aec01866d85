"""What every learned optimizer must do as an optax transformation, alone and inside what wraps one."""

import functools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.conformance.under_test import (
    UNDER_TEST,
    assert_close,
    build,
    every,
    run,
    small,
    stack,
    standard_promotion,
    theta_of,
)


class Layer(NamedTuple):
    w: jax.Array
    b: jax.Array


def params_like(dtype=jnp.float32):
    """A matrix, a vector, a scalar, a leaf without elements, and no leaf at all; in containers."""
    return {
        "layer": Layer(jnp.ones((3, 2), dtype), -jnp.ones(2, dtype)),
        "rest": [jnp.ones((), dtype), (jnp.zeros((0, 3), dtype), None)],
    }


def gradients_like(params, seed: int = 1):
    leaves, treedef = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    return treedef.unflatten(
        [jax.random.normal(k, p.shape).astype(p.dtype) for k, p in zip(keys, leaves, strict=True)]
    )


# The contract of an optax transformation.


def weak_types(tree):
    return jax.tree.map(lambda leaf: leaf.weak_type, tree)


@every
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_updates_look_like_the_gradients_and_states_like_states(name: str, dtype: str):
    with jax.enable_x64(dtype == "float64"):
        tx, params = build(name), params_like(jnp.dtype(dtype))
        state = jax.eval_shape(tx.init, params)
        updates, new_state = jax.eval_shape(tx.update, params, state, params)
        chex.assert_trees_all_equal_shapes_and_dtypes(updates, params)
        chex.assert_trees_all_equal_shapes_and_dtypes(new_state, state)
        # A weak type that comes or goes would be a recompilation on the second call.
        assert weak_types(new_state) == weak_types(state)
        assert not any(jax.tree.leaves(weak_types(updates)))


@every
def test_updates_of_half_precision_are_those_of_float32_rounded(name: str):
    gradients = gradients_like(params_like(jnp.bfloat16))
    ((half,), _) = run(build(name), params_like(jnp.bfloat16), [gradients])
    single = jax.tree.map(lambda g: g.astype(jnp.float32), gradients)
    ((full,), _) = run(build(name), params_like(), [single])
    rounded = jax.tree.map(lambda u: u.astype(jnp.bfloat16), full)
    assert_close(half, rounded, rtol=2**-7)


@every
def test_updates_move_every_coordinate(name: str):
    params = params_like()
    ((updates,), _) = run(build(name), params, [gradients_like(params)])
    assert all(np.all(np.asarray(u) != 0) for u in jax.tree.leaves(updates))


@every
def test_extra_arguments_are_accepted_and_params_are_optional(name: str):
    tx, params = build(name), small()
    assert isinstance(tx, optax.GradientTransformationExtraArgs)
    state, gradients = tx.init(params), small(1)
    expected = tx.update(gradients, state, params)
    assert_close(tx.update(gradients, state), expected, rtol=0, atol=0)
    assert_close(tx.update(gradients, state, None), expected, rtol=0, atol=0)
    given = tx.update(gradients, state, params, value=jnp.float32(3), something_unheard_of=1)
    assert_close(given, expected, rtol=0, atol=0)


@every
def test_second_call_does_not_recompile_and_buffers_may_be_donated(name: str):
    tx, traces = build(name), []

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state):
        traces.append(None)
        updates, state = tx.update(jax.tree.map(lambda p: 2 * p, params), state, params)
        return optax.apply_updates(params, updates), state

    params = jax.tree.map(jnp.copy, small())
    state = tx.init(params)
    for _ in range(3):
        params, state = step(params, state)
    assert len(traces) == 1
    assert step._cache_size() == 1
    chex.assert_tree_all_finite(params)


@every
def test_jitted_and_eager_updates_agree(name: str):
    tx, params, gradients = build(name), small(), small(1)
    eager = tx.update(gradients, tx.init(params), params)
    jitted = jax.jit(tx.update)(gradients, jax.jit(tx.init)(params), params)
    assert_close(jitted, eager, rtol=1e-3 if "bfloat16" in name else 1e-5, atol=1e-6)


@every
def test_state_counts_updates(name: str):
    _, state = run(build(name), small(), [small(1), small(2), small(3)])
    count = optax.tree.get(state, "count", default=None)
    if UNDER_TEST[name].counts:
        assert count.dtype == jnp.int32
        assert count == 3
    else:
        assert count is None


@every
def test_map_params_reaches_the_params_shaped_state_alone(name: str):
    tx, params = build(name), small()
    state = jax.jit(tx.init)(params)
    mapped = optax.tree.map_params(tx, lambda leaf: leaf + leaf.dtype.type(1), state)
    chex.assert_trees_all_equal_shapes_and_dtypes(mapped, state)
    moved = jax.tree.map(lambda new, old: bool(jnp.all(new == old + old.dtype.type(1))), mapped, state)
    floating = jax.tree.map(lambda leaf: jnp.issubdtype(leaf.dtype, jnp.floating), state)
    assert moved == floating  # the counts are integers, all else is params-shaped
    assert any(jax.tree.leaves(floating))


# What wraps a transformation, and what it is wrapped in.


@every
def test_inside_chain(name: str):
    params, gradients = small(), [small(1), small(2)]
    plain, _ = run(build(name), params, gradients)
    chained = optax.chain(optax.scale(2.0), build(name), optax.scale(-3.0))
    halved = jax.tree.map(lambda g: g / 2, gradients)
    assert_close(run(chained, params, halved)[0], jax.tree.map(lambda u: -3 * u, plain))


@every
def test_masked_leaves_are_left_alone(name: str):
    params, gradients = small(), [small(1), small(2)]
    masked, state = run(optax.masked(build(name), {"b": False, "w": True}), params, gradients)
    alone, _ = run(build(name), {"w": params["w"]}, [{"w": g["w"]} for g in gradients])
    assert_close([u["w"] for u in masked], [u["w"] for u in alone])
    assert_close([u["b"] for u in masked], [g["b"] for g in gradients])
    shapes = {leaf.shape for leaf in jax.tree.leaves(state)}
    assert not any(shape[:1] == (3,) for shape in shapes)  # no state for the masked leaf


@every
def test_inside_partition(name: str):
    params, gradients = small(), [small(1), small(2)]
    transforms = {"learned": build(name), "sgd": optax.sgd(0.5)}
    tx = optax.partition(transforms, {"b": "sgd", "w": "learned"})
    parted, _ = run(tx, params, gradients)
    alone, _ = run(build(name), {"w": params["w"]}, [{"w": g["w"]} for g in gradients])
    assert_close([u["w"] for u in parted], [u["w"] for u in alone])
    assert_close([u["b"] for u in parted], [-0.5 * g["b"] for g in gradients])


@every
def test_inside_inject_hyperparams(name: str):
    params, gradients = small(), [small(1), small(2)]

    @optax.inject_hyperparams
    def scaled(num_steps, scale):
        tx = UNDER_TEST[name].lopt.build(theta_of(name), num_steps=num_steps)
        return optax.chain(tx, optax.scale(scale))

    plain, _ = run(build(name, num_steps=10), params, gradients)
    injected, state = run(scaled(num_steps=10, scale=2.0), params, gradients)
    assert_close(injected, jax.tree.map(lambda u: 2 * u, plain))
    assert state.hyperparams["num_steps"] == 10


@every
@standard_promotion
def test_inside_multi_steps(name: str):
    params, gradients = small(), [small(1), small(2)]
    accumulated, _ = run(optax.MultiSteps(build(name), every_k_schedule=2), params, gradients)
    mean = jax.tree.map(lambda a, b: (a + b) / 2, *gradients)
    ((expected,), _) = run(build(name), params, [mean])
    assert_close(accumulated[0], jax.tree.map(jnp.zeros_like, params))
    assert_close(accumulated[1], expected)


@every
def test_inside_apply_if_finite(name: str):
    params, gradients = small(), small(1)
    bad = jax.tree.map(lambda g: jnp.full_like(g, jnp.nan), gradients)
    updates, _ = run(optax.apply_if_finite(build(name), 5), params, [gradients, bad, gradients])
    plain, _ = run(build(name), params, [gradients, gradients])
    assert_close(updates[0], plain[0])
    assert_close(updates[1], jax.tree.map(jnp.zeros_like, params))
    assert_close(updates[2], plain[1])  # the bad step left the state as it was


@every
@standard_promotion
def test_inside_lookahead(name: str):
    fast, gradients = small(), [small(1), small(2)]
    plain, walked, state = [], fast, build(name).init(fast)
    for g in gradients:  # some rules look at where they are
        updates, state = jax.jit(build(name).update)(g, state, walked)
        walked = optax.apply_updates(walked, updates)
        plain.append(updates)
    tx = optax.lookahead(build(name), sync_period=2, slow_step_size=0.5)
    params = optax.LookaheadParams.init_synced(fast)
    state = tx.init(params)
    for g in gradients:
        updates, state = jax.jit(tx.update)(g, state, params)
        params = optax.apply_updates(params, updates)
    half_way = jax.tree.map(lambda p, u, v: p + 0.5 * (u + v), fast, *plain)
    assert_close(params.slow, half_way)
    assert_close(params.fast, half_way)


@every
def test_under_vmap(name: str):
    tx, first, second = build(name), small(1), small(2)
    stacked = stack([first, second])
    state = jax.vmap(tx.init)(stacked)
    updates, _ = jax.jit(jax.vmap(tx.update))(stacked, state, stacked)
    ((one,), _), ((other,), _) = (run(tx, g, [g]) for g in (first, second))
    assert_close(updates, stack([one, other]))


@every
def test_under_scan(name: str):
    tx, params, gradients = build(name), small(), [small(1), small(2), small(3)]
    expected, last = run(tx, params, gradients)
    stacked = stack(gradients)

    def body(state, g):
        updates, state = tx.update(g, state, params)
        return state, updates

    state, updates = jax.jit(lambda s: jax.lax.scan(body, s, stacked))(tx.init(params))
    tolerance = 1e-2 if "bfloat16" in name else 1e-5
    assert_close(updates, stack(expected), rtol=tolerance, atol=1e-6)
    assert_close(state, last, rtol=tolerance, atol=1e-3 if "bfloat16" in name else 1e-6)


@every
def test_coordinates_are_treated_alike(name: str):
    gradients = [jax.random.normal(jax.random.key(i), (6,)) for i in range(3)]
    order = jnp.array([3, 0, 5, 1, 4, 2])
    plain, _ = run(build(name), jnp.zeros(6), gradients)
    permuted, _ = run(build(name), jnp.zeros(6), [g[order] for g in gradients])
    assert_close(permuted, [u[order] for u in plain])
    if not UNDER_TEST[name].factored:
        reshaped, _ = run(build(name), jnp.zeros((2, 3)), [g.reshape(2, 3) for g in gradients])
        assert_close([u.reshape(6) for u in reshaped], plain)
