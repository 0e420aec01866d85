"""Imitation: the error by hand, whose trajectories are followed, and a rule that learned Adam."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from learned_opt import Task
from learned_opt.meta import initial_state, meta_steps
from learned_opt.optimizers import hyperparameters, lstm
from learned_opt.tasks import quadratic, sparse_coding
from learned_opt.training import BASELINES, evaluate, imitation
from learned_opt.training.estimators import Imitation
from learned_opt.training.tune import with_prox

KEY = jax.random.key(0)
LOPT = hyperparameters("sgd", {"learning_rate": 0.3})
THETA = LOPT.init(KEY)
# x^2 / 2 from 1: gradient descent with a rate r is at (1 - r)^t.
BOWL = Task(
    sample=lambda key: (),
    init=lambda key, problem: jnp.ones(1),
    batch=lambda key, problem, data: (),
    loss=lambda x, problem, batch: 0.5 * jnp.sum(jnp.square(x)),
)


def estimates(teacher, lopt=LOPT, theta=THETA, **arguments):
    """Those of two truncations of two steps; and where the trajectories are then."""
    estimator = imitation(lopt, teacher, BOWL, horizon=4, truncation=2, num_problems=1, **arguments)
    state, estimate, results = estimator.init(KEY, theta, ()), jax.jit(estimator.estimate), []
    for _ in range(2):
        meta_gradient, state = estimate(KEY, theta, state, ())
        results.append(meta_gradient)
    return results, float(state.inner.params[0, 0])


@pytest.mark.parametrize("own_trajectories", [False, True])
def test_error_and_its_gradient_by_hand(own_trajectories: bool):
    """Gradient descent with a rate of 0.3 beside a teacher's of 0.2: u = 1.5 v at every point."""
    results, end = estimates(optax.sgd(0.2), own_trajectories=own_trajectories)
    followed = 0.3 if own_trajectories else 0.2
    squares = (1 - followed) ** (2.0 * np.arange(4))  # of the gradients
    relative = squares / (np.cumsum(squares) / np.arange(1, 5))
    for meta_gradient, half in zip(results, (slice(0, 2), slice(2, 4)), strict=True):
        mean = relative[half].mean()
        np.testing.assert_allclose(meta_gradient.loss, 0.5**2 * mean, rtol=1e-5)
        # d (e^theta / 0.2 - 1)^2 / d theta = 2 (1.5 - 1) 1.5; where the path leads is a constant.
        np.testing.assert_allclose(meta_gradient.grad["learning_rate"], 1.5 * mean, rtol=1e-5)
    assert end == pytest.approx((1 - followed) ** 4, rel=1e-5)
    assert [bool(m.ends_trajectory) for m in results] == [False, True]
    assert float(results[1].last_loss) == pytest.approx(0.5 * end**2, rel=1e-5)


def test_a_rule_imitates_itself_without_error():
    lopt = lstm(hidden_sizes=(3,))
    theta = lopt.init(KEY)
    # A compiler may round the teacher's updates and its pupil's in different places.
    with jax.disable_jit():
        results, _ = estimates(lopt.build(theta), lopt, theta)
    for meta_gradient in results:
        assert float(meta_gradient.loss) == 0
        assert float(optax.tree.norm(meta_gradient.grad)) == 0


def test_a_teacher_that_stands_still_has_nothing_to_teach():
    results, end = estimates(optax.set_to_zero())
    assert [float(m.loss) for m in results] == [0, 0]
    assert [float(m.grad["learning_rate"]) for m in results] == [0, 0]
    assert end == 1


def test_an_lstm_learns_adam():
    """Its updates on fresh problems are nearly Adam's, more nearly than any rule without memory can be."""
    task, teacher, num_steps = quadratic(dim=4), optax.adam(0.05), 20
    lopt = lstm(hidden_sizes=(8,), inputs="normalized")
    estimator = imitation(lopt, teacher, task, horizon=num_steps, truncation=num_steps, num_problems=16)
    outer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.02))
    state = initial_state(*jax.random.split(KEY), lopt.init, outer, estimator, ())
    advance = jax.jit(functools.partial(meta_steps, outer=outer, estimator=estimator, num_steps=150))
    state, metrics = advance(KEY, state, ())
    # Steps of one size along the gradient's signs, the size being the best: what Adam's first moment and its
    # slow second one add to that, a rule has to remember.
    problems = jax.vmap(task.sample)(jax.random.split(jax.random.key(9), 64))

    def adams(problem):
        def step(carry, _):
            x, s = carry
            g = jax.grad(task.loss)(x, problem, ())
            with jax.numpy_dtype_promotion("standard"):
                v, s = teacher.update(g, s)
            return (x + v, s), (jnp.sign(g), v)

        x = jnp.zeros(4)
        return jax.lax.scan(step, (x, teacher.init(x)), length=num_steps)[1]

    signs, steps = jax.vmap(adams)(problems)
    size = jnp.vdot(signs, steps) / jnp.vdot(signs, signs)
    without_memory = float(jnp.sum(jnp.square(steps - size * signs)) / jnp.sum(jnp.square(steps)))
    assert float(metrics.meta_loss[-10:].mean()) < 0.2 * without_memory

    ours, theirs = (
        evaluate(tx, task, num_steps=num_steps, num_problems=128) for tx in (lopt.build(state.theta), teacher)
    )
    gain = (theirs[:, 0] - theirs[:, -1]).mean()
    assert np.abs(ours - theirs).mean(0).max() < 0.05 * gain
    assert ours[:, -1].mean() == pytest.approx(theirs[:, -1].mean(), rel=0.1)


def test_settings_make_it():
    """On a task with a proximal operator the teacher's steps are followed by it."""
    task = sparse_coding(4, 8)
    settings = Imitation(
        teacher="momentum",
        teacher_learning_rate=0.1,
        own_trajectories=True,
        horizon=2,
        truncation=2,
        num_problems=2,
    )
    teacher = with_prox(BASELINES["momentum"], task)(0.1)
    by_hand = imitation(LOPT, teacher, task, horizon=2, truncation=2, num_problems=2, own_trajectories=True)
    ours, theirs = (
        e.estimate(KEY, THETA, e.init(KEY, THETA, task.data), task.data)[0]
        for e in (settings.make(LOPT, task), by_hand)
    )
    assert float(ours.loss) > 0
    assert float(ours.loss) == float(theirs.loss)
    assert float(ours.grad["learning_rate"]) == float(theirs.grad["learning_rate"])
