"""The first-order meta-gradient of a coordinatewise rule, in blocks of coordinates.

Reference:
    Andrychowicz et al., Learning to learn by gradient descent by gradient descent, NeurIPS 2016, section 2.1:
    the first-order form, in which the optimizee's gradients are constants. What follows from it below is not
    in the paper.
"""

from typing import Any

import jax
import jax.numpy as jnp

from learned_opt.core.types import Array, Data, Key, LearnedOptimizer, Params, Problem, Task, Theta
from learned_opt.training.unroll import InnerState, recorded_unroll

PLACEHOLDER = 7919  # coordinates of a vector whose state shows which of its leaves have an axis of them


def goes_by_blocks(lopt: LearnedOptimizer, task: Task) -> bool:
    """Whether `blockwise_unroll` is for this learned optimizer and this task.

    Args:
        lopt: the learned optimizer.
        task: the task.

    Returns:
        Whether the rule is coordinatewise and sees the gradient of the loss itself.

    Example:
        >>> from learned_opt import optimizers, tasks
        >>> goes_by_blocks(optimizers.lstm(), tasks.quadratic())
        True
        >>> goes_by_blocks(optimizers.secant_lstm(), tasks.quadratic())
        False
    """
    return lopt.coordinatewise and task.smooth is None and task.prox is None


def blockwise_unroll(
    lopt: LearnedOptimizer,
    theta: Theta,
    task: Task,
    key: Key,
    problem: Problem,
    data: Data,
    state: InnerState,
    num_steps: int,
    *,
    block_size: int = 256,
) -> tuple[InnerState, Array]:
    r"""`unroll` of the first order, whose derivative with respect to theta costs less time and memory.

    With the optimizee's gradients held constant, a parameter is its start plus the updates, so that the
    derivative of the losses with respect to the update :math:`u_t` needs the gradients of the forward pass
    alone:

    .. math::

        \frac{\partial J}{\partial u_t} = \sum_{s > t} \frac{\partial J}{\partial f_s} \nabla f_s(x_s)

    What is left is the derivative of the update rule along a sequence of known gradients with known
    cotangents. The optimizee is not differentiated again; and as no coordinate knows of another, the
    coordinates are taken block by block, each block small enough for the cache, so that memory does not grow
    with what the rule computes for all coordinates and steps. The result is that of `jax.grad` through
    `unroll`, up to the order of sums.

    The derivative with respect to everything but theta is zero, and so is that of the state.

    Args:
        lopt: a learned optimizer and
        theta: its meta-parameters.
        task: the task that the problem is from; `goes_by_blocks(lopt, task)` must hold.
        key: makes the batches, as in `unroll`.
        problem: one draw from the task.
        data: the task's data.
        state: where the trajectory stands.
        num_steps: updates to make; static.
        block_size: coordinates of a block; static.

    Returns:
        The new state, and the losses f32[num_steps + 1], as `unroll` gives them.

    Example:
        >>> from learned_opt import optimizers, tasks
        >>> from learned_opt.training import start
        >>> lopt, task, key = optimizers.lstm(hidden_sizes=(4,)), tasks.quadratic(dim=2), jax.random.key(0)
        >>> theta, problem = lopt.init(key), task.sample(key)
        >>> first = start(lopt.build(theta), task, key, problem)
        >>> def last_loss(theta):
        ...     return blockwise_unroll(lopt, theta, task, key, problem, (), first, 5)[1][-1]
        >>> jax.tree.map(jnp.shape, jax.grad(last_loss)(theta)) == jax.tree.map(jnp.shape, theta)
        True
    """

    def forward(theta: Theta, key: Key, problem: Problem, data: Data, state: InnerState):
        tx = lopt.build(theta)
        new, losses, gradients = recorded_unroll(tx, task, key, problem, data, state, num_steps)
        return (new, losses), (theta, gradients, state.opt_state)

    def backward(residuals: Any, cotangents: Any):
        theta, gradients, opt_state = residuals
        grad = _rule_gradient(lopt, theta, gradients, opt_state, cotangents[1], block_size)
        return grad, None, None, None, None

    walk = jax.custom_vjp(lambda *args: forward(*args)[0])
    walk.defvjp(forward, backward)
    return walk(theta, key, problem, data, state)


def _rule_gradient(
    lopt: LearnedOptimizer,
    theta: Theta,
    gradients: Params,
    opt_state: Any,
    cotangents: Array,
    block_size: int,
) -> Theta:
    """The rule's vector-Jacobian product along the sequence; `cotangents` are of the losses, f32[K + 1]."""
    rows = [_rows(leaf, 1).astype(jnp.float32) for leaf in jax.tree.leaves(gradients)]
    g = jnp.concatenate(rows, axis=1)  # [K + 1, n]
    weighted = cotangents[:, jnp.newaxis] * g
    # u_t moves all points after it: the sums of all rows from t + 1 to the end.
    u = jnp.cumsum(weighted[:0:-1], axis=0)[::-1]
    size = min(block_size, max(g.shape[1], 1))

    def blocks(x: Array, axis: int) -> Array:
        """Cuts the axis of coordinates into blocks, which become the first axis; zeros fill the last."""
        count = -(-x.shape[axis] // size)
        padding = [(0, 0)] * x.ndim
        padding[axis] = (0, count * size - x.shape[axis])
        cut = jnp.pad(x, padding).reshape((*x.shape[:axis], count, size, *x.shape[axis + 1 :]))
        return jnp.moveaxis(cut, axis, 0)

    template = jax.eval_shape(lopt.build(theta).init, jax.ShapeDtypeStruct((PLACEHOLDER,), jnp.float32))
    leaves, structure = jax.tree.flatten(template)
    by_coordinate = [leaf.shape[:1] == (PLACEHOLDER,) for leaf in leaves]
    states = [
        blocks(jnp.concatenate([_rows(x, 0, leaf.ndim - 1) for x in jax.tree.leaves(part)]), 0)
        if own
        else part
        for own, leaf, part in zip(by_coordinate, leaves, structure.flatten_up_to(opt_state), strict=True)
    ]

    def product(theta: Theta, g: Array, u: Array, state: list[Array]) -> Array:
        tx = lopt.build(theta)

        def step(carry: Any, rows: tuple[Array, Array]):
            state, total = carry
            update, state = tx.update(rows[0], state)
            return (state, total + jnp.vdot(rows[1], update)), None

        first = (structure.unflatten(state), jnp.zeros([], jnp.float32))
        return jax.lax.scan(step, first, (g, u))[0][1]

    def add(total: Theta, block: Any) -> tuple[Theta, None]:
        g, u, own = block
        own = iter(own)
        state = [next(own) if mine else shared for mine, shared in zip(by_coordinate, states, strict=True)]
        return jax.tree.map(jnp.add, total, jax.grad(product)(theta, g, u, state)), None

    zero = jax.tree.map(jnp.zeros_like, theta)
    own = [state for mine, state in zip(by_coordinate, states, strict=True) if mine]
    return jax.lax.scan(add, zero, (blocks(g[:-1], 1), blocks(u, 1), own))[0]


def _rows(x: Array, leading: int, trailing: int = 0) -> Array:
    """All axes between the leading and the trailing ones as one."""
    return x.reshape((*x.shape[:leading], -1, *x.shape[x.ndim - trailing :]))
