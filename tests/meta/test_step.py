import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from learned_opt.core import Estimator, MetaGradient
from learned_opt.meta import Settings, initial_state, meta_steps
from learned_opt.optimizers import lstm
from learned_opt.tasks import quadratic
from learned_opt.training import truncated_bptt, weighted_sum
from learned_opt.training.estimators import Bptt

KEY = jax.random.key(0)
LOPT = lstm(hidden_sizes=(3,))
OUTER = Settings(estimator=Bptt(), num_meta_steps=20).make_outer_optimizer()


@pytest.fixture
def estimator() -> Estimator:
    return truncated_bptt(LOPT, quadratic(dim=2), weighted_sum(), horizon=4, truncation=2, num_problems=3)


def test_meta_steps_in_parts_or_at_once(estimator: Estimator):
    """Bit for bit, and compiled once a number of steps."""
    steps = jax.jit(
        functools.partial(meta_steps, outer=OUTER, estimator=estimator), static_argnames="num_steps"
    )
    first = initial_state(*jax.random.split(KEY), LOPT.init, OUTER, estimator, ())
    whole, metrics = steps(KEY, first, (), num_steps=6)
    state, parts = first, []
    for _ in range(3):
        state, part = steps(KEY, state, (), num_steps=2)
        parts.append(part)
    chex.assert_trees_all_equal(state, whole)
    chex.assert_trees_all_equal(jax.tree.map(lambda *p: jnp.concatenate(p), *parts), metrics)
    assert whole.step == 6
    assert metrics.ends_trajectory.tolist() == [False, True] * 3
    assert steps._cache_size() == 2


def test_metrics_are_those_of_each_step(estimator: Estimator):
    first = initial_state(*jax.random.split(KEY), LOPT.init, OUTER, estimator, ())
    _, metrics = meta_steps(KEY, first, (), OUTER, estimator, 1)
    step_key = jax.random.fold_in(KEY, 0)
    expected, _ = estimator.estimate(step_key, first.theta, first.estimator_state, ())
    np.testing.assert_allclose(metrics.meta_loss, [expected.loss], rtol=1e-5)
    np.testing.assert_allclose(metrics.gradient_norm, [optax.tree.norm(expected.grad)], rtol=1e-4)
    np.testing.assert_allclose(metrics.last_loss, [expected.last_loss], rtol=1e-5)


def test_first_state(estimator: Estimator):
    state = initial_state(*jax.random.split(KEY), LOPT.init, OUTER, estimator, ())
    chex.assert_trees_all_equal(state.best_theta, state.theta)
    assert state.step == 0
    assert state.least_loss == np.inf
    assert state._replace(best_loss=jnp.float32(2)).least_loss == 2
    other = initial_state(*jax.random.split(jax.random.key(1)), LOPT.init, OUTER, estimator, ())
    assert not np.allclose(*(jax.tree.leaves(s.theta)[-1] for s in (state, other)))
    # All of it can be donated at once.
    buffers = [
        leaf.unsafe_buffer_pointer()
        for leaf in jax.tree.leaves(state)
        if leaf.size and not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    ]
    assert len(set(buffers)) == len(buffers)


def test_meta_gradients_that_are_not_finite_change_nothing_but_their_count():
    def estimate(key, theta, state, data):
        bad = state % 3 == 1
        grad = jnp.where(bad, jnp.array([jnp.nan, jnp.inf])[state % 2], 1.0) * jnp.ones(2)
        return MetaGradient(grad, jnp.float32(0), jnp.float32(0), jnp.array(True)), state + 1

    estimator = Estimator(lambda key, theta, data: jnp.int32(0), estimate)
    state = initial_state(*jax.random.split(KEY), lambda key: jnp.zeros(2), OUTER, estimator, ())
    thetas = []
    for _ in range(6):
        state, _ = meta_steps(KEY, state, (), OUTER, estimator, 1)
        thetas.append(np.asarray(state.theta))
    assert np.all(np.isfinite(thetas))
    for step in (1, 4):
        np.testing.assert_array_equal(thetas[step], thetas[step - 1])
    for step in (2, 3, 5):
        assert np.all(thetas[step] < thetas[step - 1])
    assert optax.tree.get(state.outer_state, "total_notfinite") == 2
    assert state.step == 6
