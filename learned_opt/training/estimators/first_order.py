"""The first-order meta-gradient of a coordinatewise rule, in blocks of coordinates.

Reference:
    Andrychowicz et al., Learning to learn by gradient descent by gradient descent, NeurIPS 2016, section 2.1:
    the first-order form, in which the optimizee's gradients are constants. What follows from it below is not
    in the paper.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from learned_opt.core.sharding import each_its_share
from learned_opt.core.types import Array, Data, Key, LearnedOptimizer, Params, Problem, Task, Theta
from learned_opt.training.unroll import InnerState, recorded_unroll

BLOCK_SIZE = 256  # coordinates; their gates over tens of steps stay in a core's cache
PLACEHOLDER = 7919  # coordinates of a vector whose state shows which of its leaves have an axis of them


def goes_by_blocks(lopt: LearnedOptimizer, task: Task) -> bool:
    """Whether `blockwise_unroll` applies: a coordinatewise rule that sees the gradient of the loss itself."""
    return lopt.coordinatewise and task.smooth is None and task.prox is None


def blockwise_unroll(
    lopt: LearnedOptimizer,
    theta: Theta,
    task: Task,
    keys: Key,
    problems: Problem,
    data: Data,
    states: InnerState,
    num_steps: int,
) -> tuple[InnerState, Array]:
    r"""Unrolls several problems, with a first-order derivative in less time and memory than `unroll`'s.

    With the optimizee's gradients held constant, a parameter is its start plus the updates, so that the
    derivative of the losses with respect to the update :math:`u_t` needs the gradients of the forward pass
    alone:

    .. math::

        \frac{\partial J}{\partial u_t} = \sum_{s > t} \frac{\partial J}{\partial f_s} \nabla f_s(x_s)

    What is left is the derivative of the update rule along a sequence of known gradients with known
    cotangents. Since coordinates do not depend on each other, those of all problems are processed in blocks
    that fit into the cache. The result is that of `jax.grad` through `unroll`, up to the order of sums.

    Arguments and results are `unroll`'s, with a leading axis of problems on keys, problems and states. The
    derivative with respect to everything but theta is zero, and so is that of the states.
    """

    def forward(theta: Theta, keys: Key, problems: Problem, data: Data, states: InnerState):
        tx = lopt.build(theta)

        def one(key: Key, problem: Problem, state: InnerState):
            return recorded_unroll(tx, task, key, problem, data, state, num_steps)

        new, losses, gradients = jax.vmap(one)(keys, problems, states)
        return (new, losses), (theta, gradients, states.opt_state)

    def backward(residuals: Any, cotangents: Any):
        theta, gradients, opt_states = residuals
        kept = (gradients, opt_states, cotangents[1])
        product = functools.partial(_rule_gradient, lopt, BLOCK_SIZE)
        return each_its_share(product, kept, theta, combine="sum"), None, None, None, None

    unroll_problems = jax.custom_vjp(lambda *args: forward(*args)[0])
    unroll_problems.defvjp(forward, backward)
    return unroll_problems(theta, keys, problems, data, states)


def _rule_gradient(
    lopt: LearnedOptimizer,
    block_size: int,
    kept: tuple[Params, Any, Array],
    theta: Theta,
) -> Theta:
    """The rule's vector-Jacobian product along the sequence.

    `kept` are gradients [P, K + 1, ...], the states that the rule began with, and cotangents f32[P, K + 1].
    """
    gradients, opt_states, cotangents = kept
    leaves = [leaf.astype(jnp.float32) for leaf in jax.tree.leaves(gradients)]
    num_problems, num_rows = cotangents.shape
    g = jnp.concatenate([leaf.reshape(num_problems, num_rows, -1) for leaf in leaves], axis=2)
    weighted = cotangents[:, :, jnp.newaxis] * g
    # u_t moves all points after it: the sums of all rows from t + 1 to the end.
    u = jnp.cumsum(weighted[:, :0:-1], axis=1)[:, ::-1]
    num_coordinates = num_problems * g.shape[2]
    size = min(block_size, max(num_coordinates, 1))
    count = -(-num_coordinates // size)

    def blocks(x: Array) -> Array:
        """Cuts f[P, n, ...] into blocks of coordinates, which become the first axis; zeros fill the last."""
        x = x.reshape(num_coordinates, *x.shape[2:])
        x = jnp.pad(x, [(0, count * size - num_coordinates)] + [(0, 0)] * (x.ndim - 1))
        return x.reshape(count, size, *x.shape[1:])

    # A coordinate is a scalar parameter with a state of its own. What of the state belongs to the problem,
    # such as the count of its steps, each of its coordinates gets.
    vector = jax.ShapeDtypeStruct((PLACEHOLDER,), jnp.float32)
    templates, structure = jax.tree.flatten(jax.eval_shape(lopt.build(theta).init, vector))
    states = []
    for template, part in zip(templates, structure.flatten_up_to(opt_states), strict=True):
        if template.shape[:1] == (PLACEHOLDER,):
            own = [x.reshape(num_problems, -1, *template.shape[1:]) for x in jax.tree.leaves(part)]
            states.append(jnp.concatenate(own, axis=1))
        else:
            states.append(jnp.repeat(part[:, jnp.newaxis], g.shape[2], axis=1))

    def product(theta: Theta, g: Array, u: Array, state: list[Array]) -> Array:
        update = jax.vmap(lopt.build(theta).update)

        def step(carry: Any, rows: tuple[Array, Array]):
            state, total = carry
            updates, state = update(rows[0], state)
            return (state, total + jnp.vdot(rows[1], jnp.asarray(updates))), None

        first = (structure.unflatten(state), jnp.zeros([], jnp.float32))
        return jax.lax.scan(step, first, (g, u))[0][1]

    def add(total: Theta, block: Any) -> tuple[Theta, None]:
        return jax.tree.map(jnp.add, total, jax.grad(product)(theta, *block)), None

    zero = jax.tree.map(jnp.zeros_like, theta)
    steps_first = [jnp.moveaxis(blocks(jnp.moveaxis(x, 1, 2)), 1, 2) for x in (g[:, :-1], u)]
    return jax.lax.scan(add, zero, (*steps_first, [blocks(x) for x in states]))[0]
