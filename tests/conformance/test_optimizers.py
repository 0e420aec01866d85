"""What every family of learned optimizers must do. A family takes part by being in the table."""

import functools
import json
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from learned_opt.core.types import LearnedOptimizer, Theta
from learned_opt.optimizers import hyperparameters, lstm, mlp_rule, proximal_lstm, registry, secant_lstm


class Case(NamedTuple):
    """An optimizer under test.

    Attributes:
        lopt: the learned optimizer.
        own: whether the rule is ours; what optax's rules do with leaves that are no real numbers and
            with numbers that are not finite is up to optax.
        counts: whether its state counts updates.
        coordinatewise: whether a coordinate's update depends on its own gradients alone, and not on its
            tensor's.
        factored: whether a coordinate's update depends on its row and column, and the state has leaves for
            those.
    """

    lopt: LearnedOptimizer
    own: bool = True
    counts: bool = True
    coordinatewise: bool = True
    factored: bool = False


UNDER_TEST = {
    "lstm": Case(lstm()),
    "lstm-one-layer": Case(lstm(hidden_sizes=(4,))),
    "lstm-normalized": Case(lstm(hidden_sizes=(4, 3), inputs="normalized")),
    "lstm-normalized-and-size": Case(lstm(hidden_sizes=(4,), inputs="normalized_and_size")),
    "lstm-bfloat16-state": Case(lstm(hidden_sizes=(4,), inputs="normalized", state_dtype="bfloat16")),
    "secant-lstm": Case(secant_lstm(hidden_sizes=(4, 3)), coordinatewise=False),
    "proximal-lstm": Case(proximal_lstm(hidden_sizes=(4, 3)), coordinatewise=False),
    "proximal-lstm-free": Case(proximal_lstm(hidden_sizes=(4,), tied=False), coordinatewise=False),
    "mlp-rule": Case(mlp_rule(), coordinatewise=False, factored=True),
    "hyperparameters-adam": Case(
        hyperparameters("adam", {"learning_rate": 0.1, "b1": 0.9, "b2": 0.99}), own=False
    ),
    "hyperparameters-sgd": Case(
        hyperparameters("sgd", {"learning_rate": 0.1, "momentum": 0.5}), own=False, counts=False
    ),
}
OWN = [name for name, case in UNDER_TEST.items() if case.own]

every = pytest.mark.parametrize("name", UNDER_TEST)
# What some of optax's own arithmetic, and its derivatives, need of jax.
standard_promotion = jax.numpy_dtype_promotion("standard")
every_own = pytest.mark.parametrize("name", OWN)


@functools.cache
def theta_of(name: str) -> Theta:
    return UNDER_TEST[name].lopt.init(jax.random.key(0))


@functools.cache  # the same transformation, so that jit knows it again
def build(name: str, **kwargs) -> optax.GradientTransformationExtraArgs:
    return UNDER_TEST[name].lopt.build(theta_of(name), **kwargs)


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


def small(seed: int = 0):
    """A tree of two leaves, where the containers do not matter."""
    keys = jax.random.split(jax.random.key(seed))
    return {"b": jax.random.normal(keys[0], (3,)), "w": jax.random.normal(keys[1], (2, 2))}


def stack(trees):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def run(tx, params, gradients):
    """The updates and the state after some gradients in a row."""
    state, all_updates = tx.init(params), []
    for g in gradients:
        updates, state = jax.jit(tx.update)(g, state, params)
        all_updates.append(updates)
    return all_updates, state


def assert_close(a, b, rtol=1e-5, atol=1e-7):
    chex.assert_trees_all_close(a, b, rtol=rtol, atol=atol)


def test_every_registered_family_is_under_test():
    tested = {case.lopt.config.name for case in UNDER_TEST.values()}
    assert tested == set(registry.names()), "put every registered family into UNDER_TEST"


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


# theta.


@every
@standard_promotion
def test_gradient_with_respect_to_theta_is_finite_and_nowhere_missing(name: str):
    params, gradients = small(), stack([small(1), small(2), small(3)])

    def meta_loss(theta):
        tx = UNDER_TEST[name].lopt.build(theta)

        def body(carry, g):
            updates, state = tx.update(g, carry[1], carry[0])
            return (optax.apply_updates(carry[0], updates), state), None

        (x, _), _ = jax.lax.scan(body, (params, tx.init(params)), gradients)
        return optax.tree.sum(jax.tree.map(jnp.square, x))

    grad = jax.jit(jax.grad(meta_loss))(theta_of(name))
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
    ours, _ = run(lopt.build(theta_of(name)), params, gradients)
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
    with pytest.raises(TypeError, match=rf"gradients\['steps'\] has dtype {dtype}.*optax.masked"):
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
            if UNDER_TEST[name].coordinatewise:
                assert_close(new[others], undisturbed[others])
        else:
            assert_close(new, undisturbed)
    if UNDER_TEST[name].coordinatewise:
        assert_close(updates[1]["w"][others], plain_updates[1]["w"][others])
    assert np.all(np.isfinite(updates[1]["w"]))
    assert_close(updates[1]["b"], plain_updates[1]["b"])

    # It goes on where it stood, and the meta-gradient does not see the number either.
    recovered, _ = run(tx, params, [gradients[0], broken, gradients[2]])
    assert recovered[2]["w"][0, 1] != 0

    def update_size(theta):
        tx = UNDER_TEST[name].lopt.build(theta)
        return optax.tree.norm(tx.update(broken, tx.init(params))[0])

    chex.assert_tree_all_finite(jax.jit(jax.grad(update_size))(theta_of(name)))


@every_own
def test_gradients_of_any_size_give_finite_updates(name: str):
    sizes = jnp.array([0.0, 1e-45, 1e-38, 1e-20, 1.0, 1e10, 1e20, 1e30, 3e38], jnp.float32)
    gradients = jnp.stack([sizes, -sizes])
    ones = jnp.ones_like(gradients)
    updates, state = run(build(name), gradients, [gradients, ones, -gradients, ones])
    chex.assert_tree_all_finite((updates, state))

    def update_size(theta):
        tx = UNDER_TEST[name].lopt.build(theta)
        return optax.tree.norm(tx.update(gradients, tx.init(gradients))[0])

    chex.assert_tree_all_finite(jax.jit(jax.grad(update_size))(theta_of(name)))


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
    assert_close(decaying, expected, rtol=1e-4)
    for num_steps in (0, -3):
        with pytest.raises(ValueError, match=f"num_steps={num_steps}"):
            build(name, num_steps=num_steps)
