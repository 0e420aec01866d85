"""Iterative solvers of sparse coding, one problem at a time: vmap them over problems.

`prox(x, step_size)` is the penalty's proximal operator, as a task of sparse coding has it. With that of the
l1 norm `proximal_gradient` is ISTA, with that of the l0 penalty iterative hard thresholding of penalised
form, with that of the group norm block ISTA. All start at zero and return their iterates
f32[num_steps + 1, n].

References:
    Beck, Teboulle, A fast iterative shrinkage-thresholding algorithm for linear inverse problems, SIAM
    Journal on Imaging Sciences 2(1), 2009.
    Blumensath, Davies, Iterative hard thresholding for compressed sensing, Applied and Computational Harmonic
    Analysis 27(3), 2009.
    Donoho, Maleki, Montanari, Message-passing algorithms for compressed sensing, PNAS 106(45), 2009.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from learned_opt.core import soft_threshold
from learned_opt.core.decompositions import largest_eigenvalue
from learned_opt.tasks import SparseCoding

Array = jax.Array
Prox = Callable[[Array, Any], Array]


def lipschitz(dictionary: Array) -> Array:
    """The largest eigenvalue of `A^T A`, the gradient's Lipschitz constant: the step size is its inverse."""
    return largest_eigenvalue(dictionary @ dictionary.T)


def proximal_gradient(
    problem: SparseCoding, num_steps: int, prox: Prox, step_size: Array | float | None = None
) -> Array:
    r"""ISTA and its kin: :math:`x_{k+1} = \operatorname{prox}_s(x_k - s A^\top (A x_k - y))`, `s = 1/L`."""
    a, _, y = problem
    s = _step_size(a, step_size)

    def step(x: Array, _) -> tuple[Array, Array]:
        x = prox(x - s * (a.T @ (a @ x - y)), s)
        return x, x

    return _iterates(step, jnp.zeros(a.shape[1], a.dtype), num_steps)


def fista(problem: SparseCoding, num_steps: int, prox: Prox, step_size: Array | float | None = None) -> Array:
    """FISTA with constant step size; block FISTA with the group norm's operator."""
    a, _, y = problem
    s = _step_size(a, step_size)

    def step(state: tuple[Array, Array, Array], _) -> tuple[tuple[Array, Array, Array], Array]:
        x, z, t = state
        new = prox(z - s * (a.T @ (a @ z - y)), s)
        new_t = (1 + jnp.sqrt(1 + 4 * t * t)) / 2
        return (new, new + (t - 1) / new_t * (new - x), new_t), new

    zero = jnp.zeros(a.shape[1], a.dtype)
    return _iterates(step, (zero, zero, jnp.ones([], a.dtype)), num_steps)


def iterative_hard_thresholding(
    problem: SparseCoding, num_steps: int, num_nonzeros: int, step_size: Array | float | None = None
) -> Array:
    """A proximal gradient method that keeps the `num_nonzeros` largest entries after each step."""

    def keep_largest(x: Array, step_size: Array) -> Array:
        del step_size
        least = jax.lax.top_k(jnp.abs(x), num_nonzeros)[0][-1]
        return jnp.where(jnp.abs(x) >= least, x, 0)

    return proximal_gradient(problem, num_steps, keep_largest, step_size)


def approximate_message_passing(
    problem: SparseCoding, num_steps: int, threshold_factor: Array | float = 1.4
) -> Array:
    """AMP with soft thresholds `alpha |z| / sqrt(m)`; its theory is for Gaussian dictionaries."""
    a, _, y = problem
    m = a.shape[0]

    def step(state: tuple[Array, Array], _) -> tuple[tuple[Array, Array], Array]:
        x, z = state
        threshold = threshold_factor * jnp.sqrt(jnp.mean(jnp.square(z)))
        x = soft_threshold(x + a.T @ z, threshold)
        nonzeros = jnp.sum((x != 0).astype(a.dtype))
        return (x, y - a @ x + nonzeros / m * z), x

    return _iterates(step, (jnp.zeros(a.shape[1], a.dtype), y), num_steps)


def _step_size(a: Array, step_size: Array | float | None) -> Array:
    return 1 / lipschitz(a) if step_size is None else jnp.asarray(step_size, a.dtype)


def _iterates(step: Callable[[Any, None], tuple[Any, Array]], start: Any, num_steps: int) -> Array:
    _, iterates = jax.lax.scan(step, start, length=num_steps)
    return jnp.concatenate([jnp.zeros_like(iterates, shape=(1, iterates.shape[1])), iterates])
