"""What a specialist would take for quadratics, beside the learned optimizer for them.

References:
    Hestenes, Stiefel, Methods of conjugate gradients for solving linear systems, Journal of Research of the
    National Bureau of Standards 49(6), 1952.
    Liu, Nocedal, On the limited memory BFGS method for large scale optimization, Mathematical Programming
    45, 1989.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from benchmarks.comparison.baselines import (
    Optimizer,
    smooth_and_deterministic,
    solver,
    swept,
    untuned,
)
from learned_opt import optimizers
from learned_opt.core.types import Array, Task
from learned_opt.tasks.quadratic import Quadratic

COEFFICIENTS = (0.5, 0.95, 0.99)  # of momentum, beside the usual 0.9


def quasi_newton(memory: int = 2) -> optax.GradientTransformation:
    """The rule of `lstm-quadratic` with meta-parameters of zero: L-BFGS without a line search."""
    lopt = optimizers.secant_lstm(memory=memory)
    return lopt.build(jax.tree.map(jnp.zeros_like, lopt.init(jax.random.key(0))))


def conjugate_gradients(task: Task, problem: Quadratic, batch: Any, num_steps: int) -> Array:
    """The iterates from zero; a step costs a gradient and a product with the Hessian."""
    del task, batch
    w, y = problem

    def step(state: tuple[Array, Array, Array], _) -> tuple[tuple[Array, Array, Array], Array]:
        x, residual, direction = state
        product = w.T @ (w @ direction)
        size = jnp.sum(jnp.square(residual))
        curvature = jnp.sum(direction * product)
        moves = (size > 0) & (curvature > 0)
        length = jnp.where(moves, size / jnp.where(moves, curvature, 1), 0)
        x, left = x + length * direction, residual - length * product
        direction = (
            left + jnp.where(moves, jnp.sum(jnp.square(left)) / jnp.where(moves, size, 1), 0) * direction
        )
        return (x, left, direction), x

    zero, first = jnp.zeros(w.shape[1], w.dtype), w.T @ y
    _, iterates = jax.lax.scan(step, (zero, first, first), length=num_steps)
    return jnp.concatenate([zero[None], iterates])


def lbfgs_by_gradients(memory: int, task: Task, problem: Quadratic, batch: Any, num_steps: int) -> Array:
    """L-BFGS of optax from zero, where it stands after so many gradients, those of its line searches too.

    Noise in the gradient is that of a minibatch: each line search is on the loss with one draw of it.
    """
    del batch
    deviation = getattr(task.config, "deviation", 0.0)
    tx = optax.lbfgs(memory_size=memory)

    def step(state: Any, key: Array) -> tuple[Any, tuple[Any, Array]]:
        x, opt_state, made = state
        slope = deviation * jax.random.normal(key, x.shape, x.dtype)

        def loss(x: Array) -> Array:
            return jnp.sum(jnp.square(problem.w @ x - problem.y)) + jnp.sum(slope * x)

        # Without noise it is known from the last line search, and costs nothing.
        value, grad = jax.value_and_grad(loss)(x)
        updates, opt_state = tx.update(grad, opt_state, x, value=value, grad=grad, value_fn=loss)
        x = optax.apply_updates(x, updates)
        made = made + optax.tree.get(opt_state, "info").num_linesearch_steps + int(deviation > 0)
        return (x, opt_state, made), (x, made)

    zero = jnp.zeros(problem.w.shape[1], problem.w.dtype)
    start = zero, tx.init(zero), jnp.int32(deviation == 0)
    _, (iterates, made) = jax.lax.scan(step, start, jax.random.split(jax.random.key(0), num_steps))
    iterates, made = jnp.concatenate([zero[None], iterates]), jnp.append(0, made)
    return iterates[jnp.searchsorted(made, jnp.arange(num_steps + 1), side="right") - 1]


def _of_quadratics(task: Task) -> bool:
    return smooth_and_deterministic(task) and getattr(task.config, "name", "") == "quadratic"


def _of_noisy_quadratics(task: Task) -> bool:
    noisy = getattr(task.config, "name", "") == "gradient_noise"
    return _of_quadratics(task) or (noisy and task.config.task.name == "quadratic")


REFERENCES: tuple[Optimizer, ...] = (
    *(swept(f"momentum-{c:g}", functools.partial(optax.sgd, momentum=c)) for c in COEFFICIENTS),
    untuned("quasi-newton-2", quasi_newton, kind="reference"),
    untuned("lbfgs-2", lambda: optax.lbfgs(memory_size=2), kind="reference", suits=smooth_and_deterministic),
    solver("lbfgs-2-by-gradients", functools.partial(lbfgs_by_gradients, 2), suits=_of_noisy_quadratics),
    solver("conjugate-gradients", conjugate_gradients, suits=_of_quadratics),
)
