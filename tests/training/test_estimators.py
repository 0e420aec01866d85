"""The estimators beside each other: identities, analytic gradients, bias over truncations."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from learned_opt import LearnedOptimizer, Task
from learned_opt.optimizers import hyperparameters
from learned_opt.tasks import quadratic
from learned_opt.training import (
    blend,
    convergence_rate,
    es,
    full_unroll,
    nres,
    pes,
    truncated_bptt,
    weighted_sum,
)
from learned_opt.training.estimators.blend import inverse_variance_mean
from learned_opt.training.estimators.evolution import evolution_gradient

KEY = jax.random.key(0)
BY_EVOLUTION = {"es": es, "pes": pes, "nres": nres}
IN_TRUNCATIONS = {"tbptt": truncated_bptt, "blend": blend, **BY_EVOLUTION}

# A problem of its own seed, a rule with a state, and an objective that looks back over the seams.
TASK = quadratic(dim=2, start_deviation=1.0)
OBJECTIVE = weighted_sum("linear") - 0.1 * convergence_rate()
LOPT = hyperparameters("sgd", {"learning_rate": 0.02, "momentum": 0.5})
THETA = LOPT.init(KEY)
ARGUMENTS = {"horizon": 6, "num_problems": 3}


def drift() -> LearnedOptimizer:
    """Steps of theta, whatever the gradient: after t of them x is t theta."""

    def build(theta, *, num_steps=None):
        def update(gradients, state, params=None, **extra_args):
            return theta, state

        return optax.GradientTransformationExtraArgs(lambda params: (), update)

    return LearnedOptimizer(lambda key: jnp.float32([0.5, -1.0]), build)


def landscape(loss) -> Task:
    """The same problem at every draw, from 0."""
    return Task(
        sample=lambda key: (),
        init=lambda key, problem: jnp.zeros(2),
        batch=lambda key, problem, data: (),
        loss=lambda x, problem, batch: loss(x),
    )


BOWL = landscape(lambda x: jnp.sum(jnp.float32([2.0, 1.0]) * jnp.square(x)))
DRIFT = drift()
SLOPE = np.array([4.0, 2.0]) * np.array([0.5, -1.0])  # of the bowl, at theta


def trajectory_gradient(make, num_problems: int, **kwargs):
    """The sum of the estimates over one trajectory of four truncations of one step, theta held fixed."""
    estimator = make(
        DRIFT, BOWL, weighted_sum("uniform"), horizon=4, truncation=1, num_problems=num_problems, **kwargs
    )
    theta, estimate = DRIFT.init(KEY), jax.jit(estimator.estimate)
    state, total = jax.jit(estimator.init)(KEY, theta, ()), jnp.zeros(2)
    for key in jax.random.split(jax.random.key(1), 4):
        meta_gradient, state = estimate(key, theta, state, ())
        total = total + meta_gradient.grad
    assert meta_gradient.ends_trajectory
    return total


# Identities.


@pytest.mark.parametrize("second_order", [False, True], ids=["first order", "second order"])
@pytest.mark.parametrize("segment", [None, 2])
def test_full_unroll_is_one_truncation_as_long_as_the_horizon(second_order: bool, segment: int | None):
    arguments = ARGUMENTS | {"second_order": second_order, "problem_clip_norm": 1.0 if segment else None}
    plain = truncated_bptt(LOPT, TASK, OBJECTIVE, truncation=6, **arguments)
    expected, _ = jax.jit(plain.estimate)(KEY, THETA, plain.init(KEY, THETA, ()), ())
    full = full_unroll(LOPT, TASK, OBJECTIVE, segment=segment, **arguments)
    actual, state = jax.jit(full.estimate)(KEY, THETA, full.init(KEY, THETA, ()), ())
    assert optax.tree.norm(expected.grad) > 1e-3
    chex.assert_trees_all_close(actual, expected, rtol=1e-4, atol=1e-6)
    assert actual.ends_trajectory
    assert state == ()


def test_pes_in_one_truncation_is_es():
    results = []
    for make in (es, pes):
        # Of the difference of two losses most digits are rounding's, where sigma is small or the rate counts.
        estimator = make(LOPT, TASK, weighted_sum("linear"), truncation=6, sigma=0.1, **ARGUMENTS)
        first = estimator.init(KEY, THETA, ())
        estimate = jax.jit(estimator.estimate)
        one, state = estimate(jax.random.key(1), THETA, first, ())
        other, _ = estimate(
            jax.random.key(2), THETA, state, ()
        )  # with new problems, and no noise from before
        results.append((one, other))
    assert optax.tree.norm(results[0][0].grad) > 1e-3
    chex.assert_trees_all_close(*results, rtol=1e-5, atol=1e-7)
    assert not np.isclose(results[0][0].loss, results[0][1].loss)


def test_nres_over_a_trajectory_sums_to_es_of_the_whole():
    """With the same noise; the rate sees no seam."""
    whole = es(LOPT, TASK, OBJECTIVE, truncation=6, **ARGUMENTS)
    problem_key, _ = jax.random.split(KEY)
    state = whole.init(problem_key, THETA, ())
    expected, _ = jax.jit(whole.estimate)(KEY, THETA, state, ())

    parts = nres(LOPT, TASK, OBJECTIVE, truncation=2, **ARGUMENTS)
    estimate, state = jax.jit(parts.estimate), jax.jit(parts.init)(KEY, THETA, ())
    noise, found = state.noise, []
    for i in range(3):
        meta_gradient, state = estimate(jax.random.key(i), THETA, state, ())
        chex.assert_trees_all_equal(state.noise, noise)
        found.append(meta_gradient)
    total = jax.tree.map(lambda *g: sum(g), *(m.grad for m in found))
    chex.assert_trees_all_close(total, expected.grad, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(sum(m.loss for m in found), expected.loss, rtol=1e-5)
    assert [bool(m.ends_trajectory) for m in found] == [False, False, True]
    _, state = estimate(jax.random.key(3), THETA, state, ())
    assert not np.any(np.isclose(state.noise["momentum"], noise["momentum"]))


def test_pairs_share_all_but_theta_and_the_noise_adds_up():
    estimator = pes(LOPT, TASK, OBJECTIVE, truncation=2, **ARGUMENTS)
    state, estimate = jax.jit(estimator.init)(KEY, THETA, ()), jax.jit(estimator.estimate)
    sizes = []
    for i in range(4):
        _, state = estimate(jax.random.key(i), THETA, state, ())
        w = np.asarray(state.unrolls.problems.w)
        assert len(np.unique(w[:, 0, 0])) == 3
        assert np.all(state.unrolls.inner.params[:, 0] != state.unrolls.inner.params[:, 1])
        sizes.append(np.asarray(state.noise["momentum"]))
    assert len(np.unique(np.stack(sizes))) == 12
    # The fourth truncation is the first of a new trajectory: its noise is no sum with the old.
    _, noise_key = jax.random.split(jax.random.key(3))
    fresh = jax.vmap(lambda k: optax.tree.random_like(k, THETA, jax.random.normal))(
        jax.random.split(noise_key, 3)
    )
    np.testing.assert_allclose(sizes[3], 0.01 * fresh["momentum"], rtol=1e-5)


# Analytic gradients.


def test_es_of_a_quadratic_is_its_gradient_times_the_noise_s_covariance():
    """For the bowl the estimate is known pair by pair, and in the mean the gradient."""
    estimator = es(DRIFT, BOWL, weighted_sum(), horizon=1, truncation=1, num_problems=4096, sigma=0.3)
    theta = DRIFT.init(KEY)
    meta_gradient, _ = jax.jit(estimator.estimate)(KEY, theta, jax.jit(estimator.init)(KEY, theta, ()), ())
    np.testing.assert_allclose(meta_gradient.grad, SLOPE, atol=0.2)
    # The mean over pairs of the smoothed loss: f + sigma^2 trace(H) / 2.
    np.testing.assert_allclose(meta_gradient.loss, 1.5 + 0.09 * 3, rtol=0.03)


def test_es_sees_the_smoothed_loss():
    """E sin(x + e) = exp(-sigma^2 / 2) sin x, and its derivative likewise."""
    estimator = es(
        DRIFT,
        landscape(lambda x: jnp.sum(jnp.sin(x))),
        weighted_sum(),
        horizon=1,
        truncation=1,
        num_problems=8192,
        sigma=1.0,
    )
    theta = DRIFT.init(KEY)
    meta_gradient, _ = jax.jit(estimator.estimate)(KEY, theta, jax.jit(estimator.init)(KEY, theta, ()), ())
    expected = np.exp(-0.5) * np.cos([0.5, -1.0])
    np.testing.assert_allclose(meta_gradient.grad, expected, atol=0.05)
    assert np.all(np.abs(expected - np.cos([0.5, -1.0])) > 0.2)


@pytest.mark.parametrize(
    ("name", "num_problems", "tolerance"),
    [("tbptt", 1, 1e-5), ("blend", 2, 1e-3), ("es", 4096, 0.15), ("pes", 16384, 0.15), ("nres", 4096, 0.15)],
)
def test_bias_over_truncations(name: str, num_problems: int, tolerance: float):
    """The whole is sum_t 2 a t^2 theta / 4 = 7.5 slopes; without what came before, sum_t t / 4 = 2.5."""
    total = trajectory_gradient(IN_TRUNCATIONS[name], num_problems)
    whole = name in ("pes", "nres")
    np.testing.assert_allclose(total, (7.5 if whole else 2.5) * SLOPE, rtol=tolerance)


# The blend.


def test_weights_are_the_inverse_variances_of_the_means():
    rng = np.random.default_rng(0)
    one, other = rng.normal(1, 0.5, (40, 3)), rng.normal(2, [0.1, 1.0, 10.0], (40, 3))
    variances = one.var(0, ddof=1), other.var(0, ddof=1)
    share = variances[1] / (variances[0] + variances[1])
    expected = share * one.mean(0) + (1 - share) * other.mean(0)
    everyone = jnp.ones(40, bool)
    actual = inverse_variance_mean(jnp.float32(one), jnp.float32(other), everyone)
    np.testing.assert_allclose(actual, expected, rtol=1e-4)
    # A sample that is not finite takes the first estimate its weight, and only itself from the second.
    broken = inverse_variance_mean(jnp.float32(one).at[3, 1].set(jnp.inf), jnp.float32(other), everyone)
    np.testing.assert_allclose(broken, [expected[0], other.mean(0)[1], expected[2]], rtol=1e-4)
    with_nan = jnp.float32(other).at[3].set(jnp.nan)
    counted = everyone.at[3].set(False)
    without = inverse_variance_mean(jnp.float32(one), with_nan, counted)
    rest = np.delete(other, 3, axis=0)
    share = (rest.var(0, ddof=1) / 39) / (one.var(0, ddof=1) / 40 + rest.var(0, ddof=1) / 39)
    np.testing.assert_allclose(without, share * one.mean(0) + (1 - share) * rest.mean(0), rtol=1e-4)
    assert np.all(np.isnan(inverse_variance_mean(jnp.full((2, 1), jnp.nan), with_nan[:2, :1], counted[3:5])))


def test_blend_takes_the_gradient_where_it_is_sure_and_evolution_where_it_is_not():
    arguments = {"horizon": 1, "truncation": 1, "num_problems": 256, "sigma": 0.1}
    theta = DRIFT.init(KEY)
    # Ripples that evolution strategies do not see: the gradient's deviation is 100.
    rough = landscape(lambda x: jnp.sum(jnp.square(x)) + 0.1 * jnp.sum(jnp.sin(1000 * x)))
    found = {}
    for name, task in (("tame", BOWL), ("rough", rough)):
        for make in (es, blend):
            estimator = make(DRIFT, task, weighted_sum(), **arguments)
            state = jax.jit(estimator.init)(KEY, theta, ())
            found[name, make] = jax.jit(estimator.estimate)(KEY, theta, state, ())[0].grad
    np.testing.assert_allclose(found["tame", blend], SLOPE, rtol=1e-2)
    assert np.all(np.abs(found["tame", es] - SLOPE) > 1e-2 * np.abs(SLOPE))
    np.testing.assert_allclose(found["rough", blend], found["rough", es], atol=0.5)
    np.testing.assert_allclose(found["rough", blend], [1.0, -2.0], atol=1.0)


# What all of them do.


def test_pairs_that_are_not_finite_are_left_out():
    noise = {"w": jnp.float32([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])}
    losses = jnp.float32([[1.0, 0.0], [jnp.nan, 0.0], [2.0, 4.0], [3e38, -3e38]])
    grad, loss = jax.jit(evolution_gradient, static_argnums=2)(noise, losses, 1.0)
    np.testing.assert_allclose(grad["w"], [(0.5 * 1 - 1 * 5) / 2, (0.5 * 2 - 1 * 6) / 2], rtol=1e-6)
    assert loss == 1.75
    grad, loss = evolution_gradient(noise, jnp.full((4, 2), jnp.inf), 1.0)
    assert np.all(np.isnan(grad["w"]))
    assert np.isnan(loss)


@pytest.mark.parametrize("name", IN_TRUNCATIONS)
def test_what_the_task_offers_reaches_the_optimizer(name: str):
    """The proximal operator and the smooth part, as in every unroll. Traced only."""
    seen = []

    def build(theta, *, num_steps=None):
        def update(gradients, state, params=None, *, prox, value_fn, **extra_args):
            seen.append(None)
            return theta - prox(gradients, theta[0]) * value_fn(params), state

        return optax.GradientTransformationExtraArgs(lambda params: (), update)

    lopt = LearnedOptimizer(lambda key: jnp.ones(2), build)
    task = BOWL._replace(prox=lambda x, step_size: x * step_size, smooth=lambda x, problem, batch: jnp.sum(x))
    estimator = IN_TRUNCATIONS[name](lopt, task, weighted_sum(), horizon=4, truncation=2, num_problems=2)
    state = jax.eval_shape(estimator.init, KEY, jnp.ones(2), ())
    meta_gradient, new_state = jax.eval_shape(estimator.estimate, KEY, jnp.ones(2), state, ())
    assert seen
    chex.assert_trees_all_equal_shapes_and_dtypes(new_state, state)
    assert meta_gradient.grad.shape == (2,)
    assert [x.weak_type for x in jax.tree.leaves(new_state)] == [x.weak_type for x in jax.tree.leaves(state)]


@pytest.mark.parametrize("name", BY_EVOLUTION)
def test_each_pair_is_clipped_before_the_mean(name: str):
    """One pair: its gradient has the direction of the noise and the length of the bound."""
    arguments = {"horizon": 1, "truncation": 1, "num_problems": 1, "sigma": 0.1}
    theta, grads = DRIFT.init(KEY), []
    for clip_norm in (None, 0.25):
        make = BY_EVOLUTION[name]
        estimator = make(DRIFT, BOWL, weighted_sum(), problem_clip_norm=clip_norm, **arguments)
        grads.append(estimator.estimate(KEY, theta, jax.jit(estimator.init)(KEY, theta, ()), ())[0].grad)
    norm = jnp.linalg.norm(grads[0])
    assert norm > 0.25
    np.testing.assert_allclose(grads[1], 0.25 * grads[0] / norm, rtol=1e-4)


@pytest.mark.parametrize("make", [es, pes, nres, blend], ids=lambda make: make.__name__)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sigma": 0.0}, "sigma=0.0: it must be positive"),
        ({"sigma": float("nan")}, "sigma=nan"),
        ({"problem_clip_norm": -1.0}, "problem_clip_norm=-1.0: it must be positive"),
        ({"num_problems": 0}, "num_problems=0: it must be at least 1"),
        ({"truncation": 4}, "truncation=4 does not divide horizon=6; choose one that does, such as 3"),
    ],
)
def test_arguments_out_of_range_are_refused(make, arguments, message: str):
    with pytest.raises(ValueError, match=message):
        make(LOPT, TASK, OBJECTIVE, **{"truncation": 2, **ARGUMENTS} | arguments)


def test_blend_needs_two_problems_and_full_unroll_a_segment_that_fits():
    with pytest.raises(ValueError, match="num_problems=1: the variance needs at least 2"):
        blend(LOPT, TASK, OBJECTIVE, truncation=2, horizon=6, num_problems=1)
    with pytest.raises(ValueError, match="truncation=4 does not divide horizon=6"):
        full_unroll(LOPT, TASK, OBJECTIVE, segment=4, **ARGUMENTS)
    with pytest.raises(ValueError, match="horizon=0: it must be at least 1"):
        full_unroll(LOPT, TASK, OBJECTIVE, horizon=0, num_problems=1)


def scratch_bytes(make, horizon: int, **arguments) -> int:
    """Of one estimate on one problem whose state is 2 x 64 floats."""
    task = quadratic(dim=64)
    estimator = make(LOPT, task, weighted_sum(), horizon=horizon, num_problems=1, **arguments)
    state = jax.eval_shape(estimator.init, KEY, THETA, ())
    compiled = jax.jit(estimator.estimate).lower(KEY, THETA, state, ()).compile()
    return compiled.memory_analysis().temp_size_in_bytes


def test_memory_of_a_full_unroll_grows_with_the_root_of_the_horizon():
    """What does not grow cancels in the differences."""
    state = 4 * 2 * 64
    short, long = (scratch_bytes(full_unroll, t) for t in (10_000, 1_000_000))
    assert 1 < (long - short) / (state * (2 * 1000 - 2 * 100)) < 1.1
    short, long = (scratch_bytes(truncated_bptt, t, truncation=t) for t in (1000, 10_000))
    assert long - short > state * 9000


@pytest.mark.parametrize("make", [truncated_bptt, pes])
def test_memory_of_truncations_does_not_know_the_horizon(make):
    sigma = {} if make is truncated_bptt else {"sigma": 0.1}
    short, long = (scratch_bytes(make, t, truncation=20, **sigma) for t in (1000, 100_000))
    assert short == long > 0
