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
    Blumensath, Davies, Normalized iterative hard thresholding: guaranteed stability and performance, IEEE
    Journal of Selected Topics in Signal Processing 4(2), 2010.
    Pati, Rezaiifar, Krishnaprasad, Orthogonal matching pursuit, Asilomar Conference, 1993.
    Vila, Schniter, Expectation-maximization Gaussian-mixture approximate message passing, IEEE Transactions
    on Signal Processing 61(19), 2013: the estimate under a Bernoulli-Gauss prior.
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
    return proximal_gradient(problem, num_steps, lambda x, s: _largest(x, num_nonzeros), step_size)


def normalized_hard_thresholding(problem: SparseCoding, num_steps: int, num_nonzeros: int) -> Array:
    """Iterative hard thresholding with the best step on the support, halved until a new one is stable."""
    a, _, y = problem

    def squared(v: Array) -> Array:
        return jnp.sum(jnp.square(v))

    def step(x: Array, _) -> tuple[Array, Array]:
        g = a.T @ (y - a @ x)
        support = jnp.where(jnp.any(x != 0), x != 0, _largest(g, num_nonzeros) != 0)
        on = jnp.where(support, g, 0)
        size = squared(on) / jnp.maximum(squared(a @ on), jnp.finfo(a.dtype).tiny)

        def moved(size: Array) -> Array:
            return _largest(x + size * g, num_nonzeros)

        def unstable(size: Array) -> Array:
            d = moved(size) - x
            return jnp.any((moved(size) != 0) != support) & (size * squared(a @ d) > 0.99 * squared(d))

        x = moved(jax.lax.while_loop(unstable, lambda size: size / 2, size))
        return x, x

    return _iterates(step, jnp.zeros(a.shape[1], a.dtype), num_steps)


def orthogonal_matching_pursuit(problem: SparseCoding, num_steps: int, weight: float) -> Array:
    """An atom a step, all coefficients by least squares; the best so far by the l0 penalty of that weight."""
    a, _, y = problem
    gram, correlations = a.T @ a, a.T @ y

    def step(state: tuple[Array, Array, Array, Array], _) -> tuple[Any, Array]:
        chosen, x, best, least = state
        new = jnp.argmax(jnp.where(chosen, -1, jnp.abs(correlations - gram @ x)))
        chosen = chosen | (jnp.arange(chosen.size) == new)
        both = chosen[:, None] & chosen[None, :]
        x = jnp.linalg.solve(jnp.where(both, gram, jnp.eye(chosen.size)), jnp.where(chosen, correlations, 0))
        nonzeros = jnp.sum(chosen.astype(a.dtype))
        value = 0.5 * jnp.sum(jnp.square(a @ x - y)) + weight * nonzeros
        better = (value < least) & (nonzeros <= a.shape[0])  # more atoms than rows have no least squares
        best, least = jnp.where(better, x, best), jnp.where(better, value, least)
        return (chosen, x, best, least), best

    zero = jnp.zeros(a.shape[1], a.dtype)
    return _iterates(step, (zero != 0, zero, zero, 0.5 * jnp.sum(jnp.square(y))), num_steps)


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


def bayes_message_passing(problem: SparseCoding, num_steps: int, sparsity: float) -> Array:
    """AMP whose estimate is the posterior mean under the prior of the codes: Bernoulli times N(0, 1)."""
    a, _, y = problem
    m = a.shape[0]

    def step(state: tuple[Array, Array], _) -> tuple[tuple[Array, Array], Array]:
        x, z = state
        noise = jnp.maximum(jnp.mean(jnp.square(z)), jnp.finfo(a.dtype).tiny ** 0.5)
        seen, total = x + a.T @ z, 1 + noise  # the code with noise of that variance
        precision = 1 / (noise * total)
        odds = jnp.log(sparsity / (1 - sparsity)) + 0.5 * jnp.log(noise / total)
        active = jax.nn.sigmoid(odds + 0.5 * precision * jnp.square(seen))
        x = active * seen / total
        slope = active / total + active * (1 - active) * precision * jnp.square(seen) / total
        return (x, y - a @ x + jnp.sum(slope) / m * z), x

    return _iterates(step, (jnp.zeros(a.shape[1], a.dtype), y), num_steps)


def _largest(x: Array, number: int) -> Array:
    """The entries that are largest in size, the others set to zero."""
    least = jax.lax.top_k(jnp.abs(x), number)[0][-1]
    return jnp.where(jnp.abs(x) >= least, x, 0)


def _step_size(a: Array, step_size: Array | float | None) -> Array:
    return 1 / lipschitz(a) if step_size is None else jnp.asarray(step_size, a.dtype)


def _iterates(step: Callable[[Any, None], tuple[Any, Array]], start: Any, num_steps: int) -> Array:
    _, iterates = jax.lax.scan(step, start, length=num_steps)
    return jnp.concatenate([jnp.zeros_like(iterates, shape=(1, iterates.shape[1])), iterates])
