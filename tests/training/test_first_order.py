"""The blockwise derivative is that of the unroll."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt import optimizers, tasks
from learned_opt.core.types import Task
from learned_opt.training import start, unroll
from learned_opt.training.estimators import first_order
from learned_opt.training.estimators.first_order import blockwise_unroll, goes_by_blocks

WEIGHTS = jnp.linspace(0.5, 2.0, 6)


def mixed() -> Task:
    """Params of several shapes and dtypes, a scalar and an empty leaf among them."""

    def init(key, problem):
        del problem
        a, b = jax.random.split(key)
        return {
            "matrix": jax.random.normal(a, (3, 4)),
            "half": jax.random.normal(b, (5,)).astype(jnp.bfloat16),
            "scalar": jnp.float32(0.3),
            "empty": jnp.zeros((0, 2)),
        }

    def loss(params, problem, batch):
        del batch
        rest = jnp.sum(jnp.square(params["half"].astype(jnp.float32))) * params["scalar"]
        return jnp.sum(jnp.cosh(params["matrix"] - problem)) + rest

    return Task(lambda key: jax.random.normal(key, ()), init, lambda key, problem, data: (), loss)


TASKS = {
    "quadratic": functools.partial(tasks.quadratic, dim=10),
    "mlp": functools.partial(tasks.classification, dataset="digits", hidden_sizes=(2,), batch_size=8),
    "mixed": mixed,
}
RULES = {name: optimizers.lstm((3, 2), name) for name in ("log_sign", "normalized", "normalized_and_size")}


def walker(lopt, task, key):
    """Theta far from its start, a problem, and a trajectory three steps on its way."""
    theta = jax.tree.map(lambda x: x + 0.3 * jax.random.normal(key, x.shape), lopt.init(key))
    problem = task.sample(key)
    state = start(lopt.build(theta), task, key, problem)
    state, _ = unroll(lopt.build(theta), task, key, problem, task.data, state, 3)
    return theta, problem, state


@functools.cache
def unrolled(rule: str, task: str):
    """Where a trajectory stands, its next losses and last state, and their derivative by the plain unroll."""
    lopt, made, key = RULES[rule], TASKS[task](), jax.random.key(1)
    theta, problem, state = jax.jit(lambda key: walker(lopt, made, key))(key)
    one = jax.tree.map(lambda x: x[jnp.newaxis], (key, problem, state))

    def plain(theta, data):
        walk = lambda *w: unroll(lopt.build(theta), made, w[0], w[1], data, w[2], 5)  # noqa: E731
        last, losses = jax.vmap(walk)(*one)
        return losses[0] @ WEIGHTS, (last, losses)

    (_, expected), grad = jax.jit(jax.value_and_grad(plain, has_aux=True))(theta, made.data)
    return made, theta, one, expected, grad


@pytest.mark.parametrize("block_size", [4, 1000])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("rule", RULES)
def test_it_is_the_derivative_of_the_unroll(rule: str, task: str, block_size: int, monkeypatch):
    monkeypatch.setattr(first_order, "BLOCK_SIZE", block_size)
    made, theta, one, expected, grad = unrolled(rule, task)

    def blockwise(theta, data):
        keys, problems, states = one
        last, losses = blockwise_unroll(RULES[rule], theta, made, keys, problems, data, states, 5)
        return losses[0] @ WEIGHTS, (last, losses)

    (_, found), block_grad = jax.jit(jax.value_and_grad(blockwise, has_aux=True))(theta, made.data)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), found, expected)
    scale = max(float(jnp.abs(g).max()) for g in jax.tree.leaves(grad))
    assert scale > 1e-3
    for ours, theirs in zip(jax.tree.leaves(block_grad), jax.tree.leaves(grad), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=2e-5 * scale)


@functools.cache
def side_by_side():
    """Problems at steps of their own, and the derivative of their next losses by the plain unroll."""
    lopt, task, keys = RULES["normalized"], tasks.quadratic(dim=3), jax.random.split(jax.random.key(0), 4)
    theta, _, _ = jax.jit(lambda key: walker(lopt, task, key))(keys[0])

    def begin(key, num_steps):
        problem = task.sample(key)
        state = start(lopt.build(theta), task, key, problem)
        later, _ = unroll(lopt.build(theta), task, key, problem, (), state, 3)
        return problem, jax.tree.map(lambda a, b: jnp.where(num_steps == 0, a, b), state, later)

    problems, states = jax.jit(jax.vmap(begin))(keys, jnp.array([0, 3, 3, 0]))

    def plain(theta):
        return jax.vmap(lambda *w: unroll(lopt.build(theta), task, w[0], w[1], (), w[2], 5)[1])(
            keys, problems, states
        )

    expected = jax.jit(jax.grad(lambda theta: jnp.sum(plain(theta) @ WEIGHTS)))(theta)
    return lopt, theta, task, (keys, problems, states), expected


@pytest.mark.parametrize("block_size", [4, 5, 1000])
def test_over_problems_side_by_side(block_size: int, monkeypatch):
    """Blocks that hold coordinates of several problems."""
    monkeypatch.setattr(first_order, "BLOCK_SIZE", block_size)
    lopt, theta, task, (keys, problems, states), expected = side_by_side()

    def blockwise(theta):
        return blockwise_unroll(lopt, theta, task, keys, problems, (), states, 5)[1]

    found = jax.jit(jax.grad(lambda theta: jnp.sum(blockwise(theta) @ WEIGHTS)))(theta)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_rules_that_see_more_than_a_coordinate_do_not_go_by_blocks():
    assert goes_by_blocks(optimizers.lstm(), tasks.quadratic())
    assert not goes_by_blocks(optimizers.secant_lstm(), tasks.quadratic())
    assert not goes_by_blocks(optimizers.hyperparameters("adamw"), tasks.quadratic())
    assert not goes_by_blocks(optimizers.lstm(), tasks.sparse_coding())
