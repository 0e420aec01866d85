"""What every learned optimizer must do with theta and its configuration, and what our own rules promise."""

import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from learned_opt.optimizers import registry
from tests.conformance.under_test import (
    UNDER_TEST,
    assert_close,
    build,
    every,
    every_own,
    gradient_of_update_size,
    run,
    small,
    stack,
    standard_promotion,
    theta_of,
)

SIZES = jnp.array([0.0, 1e-45, 1e-38, 1e-20, 1.0, 1e10, 1e20, 1e30, 3e38], jnp.float32)
SIZES = jnp.stack([SIZES, -SIZES])


def test_every_registered_family_is_under_test():
    tested = {case.lopt.config.name for case in UNDER_TEST.values()}
    assert tested == set(registry.names()), "put every registered family into UNDER_TEST"


# theta.


@every
@standard_promotion
def test_gradient_with_respect_to_theta_is_finite_and_nowhere_missing(name: str):
    params, gradients = small(), stack([small(1), small(2), small(3)])

    def meta_loss(theta, params, gradients):
        tx = UNDER_TEST[name].lopt.build(theta)

        def body(carry, g):
            updates, state = tx.update(g, carry[1], carry[0])
            return (optax.apply_updates(carry[0], updates), state), None

        (x, _), _ = jax.lax.scan(body, (params, tx.init(params)), gradients)
        return optax.tree.sum(jax.tree.map(jnp.square, x))

    grad = jax.jit(jax.grad(meta_loss))(theta_of(name), params, gradients)
    chex.assert_trees_all_equal_shapes_and_dtypes(grad, theta_of(name))
    chex.assert_tree_all_finite(grad)
    assert all(np.any(np.asarray(g) != 0) for g in jax.tree.leaves(grad))


@every
def test_theta_is_an_argument(name: str):
    lopt, params, gradients, traces = UNDER_TEST[name].lopt, small(), small(1), []

    def one_update(theta):
        traces.append(None)
        tx = lopt.build(theta)
        return tx.update(gradients, tx.init(params), params)[0]

    thetas = [jax.tree.map(lambda x, i=i: x + jnp.float32(i) / 10, theta_of(name)) for i in range(3)]
    jitted = jax.jit(one_update)
    separate = [jitted(theta) for theta in thetas]
    assert len(traces) == 1  # new weights, no recompilation
    assert not np.allclose(separate[0]["w"], separate[1]["w"], rtol=1e-4, atol=0)

    stacked = stack(thetas)
    together = jax.jit(jax.vmap(one_update))(stacked)
    assert_close(together, stack(separate), rtol=1e-4)


@every
def test_init_depends_on_its_key_alone(name: str):
    lopt = UNDER_TEST[name].lopt
    assert_close(lopt.init(jax.random.key(0)), theta_of(name), rtol=0, atol=0)
    assert {leaf.dtype for leaf in jax.tree.leaves(theta_of(name))} == {jnp.dtype("float32")}
    with jax.enable_x64(True):
        wide = jax.eval_shape(lopt.init, jax.random.key(0))
    chex.assert_trees_all_equal_shapes_and_dtypes(wide, theta_of(name))


@every
def test_theta_of_another_structure_is_refused(name: str):
    lopt, theta = UNDER_TEST[name].lopt, theta_of(name)
    missing = sorted(theta)[0]
    with pytest.raises(ValueError, match=missing):
        lopt.build({k: v for k, v in theta.items() if k != missing})
    with pytest.raises(ValueError, match="surplus"):
        lopt.build({**theta, "surplus": jnp.zeros(())})


@every
def test_config_makes_the_same_optimizer(name: str):
    lopt = UNDER_TEST[name].lopt
    again = registry.from_json(json.loads(json.dumps(registry.to_json(lopt.config)))).make()
    assert again.config == lopt.config
    assert_close(again.init(jax.random.key(0)), theta_of(name), rtol=0, atol=0)
    params, gradients = small(), [small(1), small(2)]
    ours, _ = run(build(name), params, gradients)
    theirs, _ = run(again.build(theta_of(name)), params, gradients)
    assert_close(theirs, ours, rtol=0, atol=0)


# What our own rules promise beyond optax's contract.


@every_own
@pytest.mark.parametrize("dtype", ["int32", "bool", "complex64"])
def test_leaves_that_are_not_real_numbers_are_refused_by_name(name: str, dtype: str):
    tx = build(name)
    with pytest.raises(TypeError, match=rf"params\['steps'\] has dtype {dtype}"):
        tx.init({"w": jnp.ones(2), "steps": jnp.zeros(2, dtype)})
    state = tx.init({"w": jnp.ones(2), "steps": jnp.zeros(2)})
    with pytest.raises(TypeError, match=rf"gradients\['steps'\] has dtype {dtype}.*optax.set_to_zero"):
        tx.update({"w": jnp.ones(2), "steps": jnp.zeros(2, dtype)}, state)


@every_own
def test_gradients_of_other_shapes_are_refused_by_name(name: str):
    tx = build(name)
    state = tx.init({"w": jnp.ones((2, 3))})
    with pytest.raises(ValueError, match=r"gradients\['w'\] has shape \(3, 2\) but params\['w'\]"):
        tx.update({"w": jnp.ones((3, 2))}, state)
    with pytest.raises(ValueError, match=r"only in gradients: \[\"\['v'\]\"\]"):
        tx.update({"w": jnp.ones((2, 3)), "v": jnp.ones(2)}, state)


@every_own
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_coordinate_without_a_finite_gradient_stands_still(name: str, bad: float):
    tx, params, gradients = build(name), small(), [small(1), small(2), small(3)]
    broken = {**gradients[1], "w": gradients[1]["w"].at[0, 1].set(bad)}
    before = run(tx, params, gradients[:1])[1]
    updates, after = run(tx, params, [gradients[0], broken])
    plain_updates, plain = run(tx, params, gradients[:2])

    assert updates[1]["w"][0, 1] == 0
    others = jnp.ones((2, 2), bool).at[0, 1].set(False)
    states = zip(jax.tree.leaves_with_path(after), *map(jax.tree.leaves, (before, plain)), strict=True)
    for (path, new), old, undisturbed in states:
        if UNDER_TEST[name].factored and "'w'" in jax.tree_util.keystr(path) and new.shape[:2] != (2, 2):
            continue  # the means of a row and a column with one coordinate less
        if new.shape[:2] == (2, 2):  # the state of this leaf
            assert_close(new[0, 1], old[0, 1], rtol=0, atol=0)
            if UNDER_TEST[name].lopt.coordinatewise:
                assert_close(new[others], undisturbed[others])
        elif UNDER_TEST[name].apart:
            assert_close(new, undisturbed)
    if UNDER_TEST[name].lopt.coordinatewise:
        assert_close(updates[1]["w"][others], plain_updates[1]["w"][others])
    assert np.all(np.isfinite(updates[1]["w"]))
    if UNDER_TEST[name].apart:
        assert_close(updates[1]["b"], plain_updates[1]["b"])

    # It goes on where it stood, and the meta-gradient does not see the number either.
    recovered, _ = run(tx, params, [gradients[0], broken, gradients[2]])
    assert recovered[2]["w"][0, 1] != 0
    params = jax.random.normal(jax.random.key(0), SIZES.shape)
    gradients = jax.random.normal(jax.random.key(1), SIZES.shape).at[0, 1].set(bad)
    chex.assert_tree_all_finite(gradient_of_update_size(name)(theta_of(name), params, gradients))


@every_own
def test_gradients_of_any_size_give_finite_updates(name: str):
    ones = jnp.ones_like(SIZES)
    updates, state = run(build(name), SIZES, [SIZES, ones, -SIZES, ones])
    chex.assert_tree_all_finite((updates, state))
    chex.assert_tree_all_finite(gradient_of_update_size(name)(theta_of(name), SIZES, SIZES))


@every_own
def test_updates_decay_to_zero_over_num_steps(name: str):
    params, gradients = small(), [small(i) for i in range(1, 7)]
    constant, _ = run(build(name), params, gradients)
    decaying, _ = run(build(name, num_steps=4), params, gradients)
    factors = [(1 + np.cos(np.pi * min(t / 4, 1))) / 2 for t in range(6)]
    assert factors[4:] == [0.0, 0.0]
    expected = [
        jax.tree.map(lambda u, f=f: u * np.float32(f), us) for f, us in zip(factors, constant, strict=True)
    ]
    if not UNDER_TEST[name].cosine:
        assert all(np.all(np.asarray(u) != 0) for u in jax.tree.leaves(decaying[:4]))
        decaying, expected = decaying[4:], expected[4:]
    assert_close(decaying, expected, rtol=1e-4)
    for num_steps in (0, -3):
        with pytest.raises(ValueError, match=f"num_steps={num_steps}"):
            build(name, num_steps=num_steps)
