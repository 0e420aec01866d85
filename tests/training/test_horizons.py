"""Horizons that are drawn or grow, and trajectories that do not walk in step."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt.optimizers import hyperparameters
from learned_opt.tasks import quadratic
from learned_opt.training import (
    convergence_rate,
    growing,
    log_uniform,
    truncated_bptt,
    weighted_sum,
)
from learned_opt.training.estimators import truncated_unrolls

KEY = jax.random.key(0)
TASK = quadratic(dim=2, start_deviation=1.0)
LOPT = hyperparameters("sgd", {"learning_rate": 0.02})
THETA = LOPT.init(KEY)


def drawn(horizon, num_draws: int, age: int = 0) -> np.ndarray:
    return np.asarray(jax.vmap(horizon, (0, None))(jax.random.split(KEY, num_draws), jnp.int32(age)))


def test_logarithms_are_uniform():
    lengths = drawn(log_uniform(10, 1000), 4000)
    assert lengths.min() >= 10
    assert lengths.max() <= 1000
    np.testing.assert_allclose(np.mean(lengths < 100), 0.5, atol=0.03)
    np.testing.assert_allclose(np.mean(lengths > 500), np.log(2) / np.log(100), atol=0.03)
    assert set(drawn(log_uniform(7, 7), 5)) == {7}


def test_what_is_drawn_is_cut_to_what_has_grown():
    horizon = growing(log_uniform(10, 1000), first=20, num_truncations=100)
    full = drawn(log_uniform(10, 1000), 100)
    np.testing.assert_array_equal(drawn(horizon, 100, age=0), np.minimum(full, 20))
    np.testing.assert_array_equal(drawn(horizon, 100, age=100), full)
    half = drawn(horizon, 100, age=50)
    np.testing.assert_allclose(half, np.where(full > 20, np.sqrt(20 * full), full), atol=0.51)


@pytest.mark.parametrize("weights", ["uniform", "linear", "final"])
def test_a_drawn_horizon_counts_as_a_given_one(weights: str):
    objective = weighted_sum(weights) - 0.1 * convergence_rate()
    results = []
    for horizon in (6, lambda key, age: jnp.int32(5)):  # rounded up to two truncations
        estimator = truncated_bptt(LOPT, TASK, objective, horizon=horizon, truncation=3, num_problems=2)
        state, estimate = jax.jit(estimator.init)(KEY, THETA, ()), jax.jit(estimator.estimate)
        for i in range(3):
            meta_gradient, state = estimate(jax.random.key(i), THETA, state, ())
            results.append((meta_gradient, state._replace(keys=jax.random.key_data(state.keys))))
    chex.assert_trees_all_close(results[:3], results[3:], rtol=1e-5, atol=1e-6)
    assert [bool(meta_gradient.ends_trajectory) for meta_gradient, _ in results[:3]] == [False, True, False]


def test_phases_spread_and_stay_apart():
    arguments = {"horizon": 12, "truncation": 3, "num_problems": 64, "random_phases": True}
    estimator = truncated_bptt(LOPT, TASK, weighted_sum(), **arguments)
    state, estimate = jax.jit(estimator.init)(KEY, THETA, ()), jax.jit(estimator.estimate)
    assert set(np.asarray(state.end)) == {3, 6, 9, 12}
    assert set(np.asarray(state.horizon)) == {12}
    first = state
    for i in range(6):
        before = state
        meta_gradient, state = estimate(jax.random.key(i), THETA, state, ())
        # Those at their end make room, and nobody else.
        moved = np.any(np.asarray(state.problems.w != before.problems.w), axis=(1, 2))
        np.testing.assert_array_equal(moved, before.ended)
        np.testing.assert_array_equal(state.step, np.where(before.ended, 0, before.step) + 3)
        ended = np.asarray(state.ended)
        assert bool(meta_gradient.ends_trajectory) == ended.any()
        np.testing.assert_allclose(meta_gradient.last_loss, state.history[ended, -1].mean(), rtol=1e-5)
    assert set(np.asarray(state.end[first.end < 12])) == {12}
    assert set(np.asarray(state.step)) == {3, 6, 9, 12}
    assert set(np.asarray(state.truncations)) == {6}


def test_curriculum_counts_truncations():
    horizon = growing(8, first=2, num_truncations=4)
    unrolls = truncated_unrolls(LOPT, TASK, weighted_sum(), horizon=horizon, truncation=2, num_problems=3)
    assert not unrolls.full
    begin = jax.jit(unrolls.begin)
    for truncations, expected in ((0, 2), (2, 4), (4, 8), (9, 8)):
        states = begin(KEY, THETA, jnp.full(3, truncations, jnp.int32))
        assert states.end.tolist() == [expected] * 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: log_uniform(0, 10), "low=0, high=10: give 1 <= low <= high"),
        (lambda: log_uniform(20, 10), "low=20, high=10"),
        (lambda: growing(100, first=0, num_truncations=5), "first=0: it must be at least 1"),
        (lambda: growing(100, first=1, num_truncations=0), "num_truncations=0"),
    ],
)
def test_numbers_out_of_range_are_refused(make, message: str):
    with pytest.raises(ValueError, match=message):
        make()


def test_weights_one_by_one_need_one_horizon():
    estimator = truncated_bptt(
        LOPT, TASK, weighted_sum((0.5, 0.5)), horizon=log_uniform(1, 2), truncation=1, num_problems=2
    )
    state = jax.eval_shape(estimator.init, KEY, THETA, ())
    with pytest.raises(ValueError, match="need a fixed horizon"):
        jax.eval_shape(estimator.estimate, KEY, THETA, state, ())
