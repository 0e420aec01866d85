r"""What the estimators by evolution strategies share: Gaussian noise on theta, in pairs of opposite sign.

.. math::

    \nabla_\theta\, \mathbb{E}_{\epsilon \sim N(0, \sigma^2 I)} L(\theta + \epsilon) = \mathbb{E}\left[
        \frac{\epsilon}{2 \sigma^2} \bigl(L(\theta + \epsilon) - L(\theta - \epsilon)\bigr) \right]

It is the gradient of a smoothed meta-loss, and needs no derivative of anything. Devices that share the pairs
exchange losses alone: each makes the noise of all pairs from the common key.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from learned_opt.core.sharding import on_every_device, split_by_problem
from learned_opt.core.types import Array, Data, Estimator, Key, Theta
from learned_opt.training.estimators.truncation import (
    Truncation,
    UnrollFunction,
    UnrollState,
    check_problem_clip_norm,
    replace,
    report,
)
from learned_opt.training.unroll import InnerState


def check_noise(sigma: float, problem_clip_norm: float | None) -> None:
    """`ValueError` unless there is noise, and clipping to something."""
    if not sigma > 0:
        raise ValueError(f"sigma={sigma!r}: it must be positive; 0.01 is a usual value")
    check_problem_clip_norm(problem_clip_norm)


def gaussian(key: Key, theta: Theta, sigma: float, num_pairs: int) -> Theta:
    """Noise for some pairs: leaves `(num_pairs,) + leaf.shape`, in their dtype, whole on every device."""
    like = jax.tree.map(lambda t: jax.ShapeDtypeStruct(t.shape, t.dtype), theta)

    def one(key: Key) -> Theta:
        noise = optax.tree.random_like(key, like, jax.random.normal)
        return jax.tree.map(lambda n: sigma * n, noise)

    return on_every_device(lambda key: jax.vmap(one)(jax.random.split(key, num_pairs)), key)


def both_signs(theta: Theta, noise: Theta) -> Theta:
    """Theta plus and minus the noise of n pairs: leaves `(n, 2) + leaf.shape`, split by pair."""
    signs = jax.tree.map(lambda t, n: jnp.stack([t[None] + n, t[None] - n], axis=1), theta, noise)
    return split_by_problem(signs)


# The axes of a pair's two trajectories: the problem, its batches and the step are the same for both.
_SAME: Any = None
_OWN: Any = 0
_BOTH = UnrollState(_SAME, _SAME, InnerState(_OWN, _OWN, _SAME), _OWN, _SAME, _SAME, _SAME, _OWN)


def in_pairs(states: UnrollState) -> UnrollState:
    """Each trajectory twice, for both signs of its noise: where they stand has leading axes `(n, 2)`."""

    def both(tree: Any) -> Any:
        return jax.tree.map(lambda x: jnp.stack([x, x], axis=1), tree)

    params, opt_state, step = states.inner
    inner = InnerState(both(params), both(opt_state), step)
    return states._replace(inner=inner, history=both(states.history), memory=both(states.memory))


def unroll_pairs(
    unroll: UnrollFunction, thetas: Theta, pairs: UnrollState, data: Data
) -> tuple[Array, UnrollState]:
    """One truncation of both trajectories of each pair; the batches of a pair are drawn once.

    Thetas have leaves `(n, 2) + leaf.shape`; the shares in the meta-loss are f32[n, 2].
    """
    both = jax.vmap(unroll, (0, _BOTH, None), (0, _BOTH))
    return jax.vmap(both, (0, 0, None))(thetas, pairs, data)


class PairsState(NamedTuple):
    """Where pairs stand whose two trajectories go on over the seams of truncations.

    Attributes:
        unrolls: one a problem, with leading axes `(num_problems, 2)` on what differs in its two trajectories.
        noise: what losses are set against, leaves `(num_problems,) + leaf.shape`, whole on every device.
    """

    unrolls: UnrollState
    noise: Theta


def persistent_pairs(
    unrolls: Truncation,
    init: Callable[[Key, Theta], PairsState],
    draw: Callable[[Key, Theta, Array, Theta], tuple[Theta, Theta]],
    sigma: float,
    problem_clip_norm: float | None,
) -> Estimator:
    """The estimator of pairs that keep their own trajectories until the horizon.

    `init(key, theta)` makes the pairs at step 0. `draw(key, theta, ended, noise)` gives what theta is
    perturbed by in this truncation, and what the losses are set against; `ended` says which are new.
    """

    def estimate(key: Key, theta: Theta, state: PairsState, data: Data):
        problem_key, noise_key = jax.random.split(key)
        ended, truncations = state.unrolls.ended, state.unrolls.truncations
        fresh = lambda: in_pairs(unrolls.begin(problem_key, theta, truncations))  # noqa: E731
        states = replace(ended, fresh, state.unrolls)
        perturbation, noise = draw(noise_key, theta, ended, state.noise)
        losses, states = unroll_pairs(unrolls.unroll, both_signs(theta, perturbation), states, data)
        grad, loss = evolution_gradient(noise, losses, sigma, problem_clip_norm)
        return report(grad, loss, states), PairsState(states, noise)

    return Estimator(lambda key, theta, data: init(key, theta), estimate)


def restarted_pairs(
    unrolls: Truncation,
    sigma: float,
    unroll: Callable[[Theta, UnrollState, Data], tuple[Array, UnrollState, Any]],
    gradient: Callable[[Theta, Array, Any], tuple[Theta, Array]],
) -> Estimator:
    """The estimator of pairs that begin each truncation at one state, which then goes on with theta as it is.

    `unroll` is as `unrolls.unroll`, with whatever else of a trajectory `gradient(noise, losses, others)` is
    to know; losses and others have leading axes `(num_problems, 2)`.
    """

    def init(key: Key, theta: Theta, data: Data) -> UnrollState:
        return unrolls.begin(key, theta)

    def estimate(key: Key, theta: Theta, state: UnrollState, data: Data):
        problem_key, noise_key = jax.random.split(key)
        states = replace(state.ended, lambda: unrolls.begin(problem_key, theta, state.truncations), state)
        noise = gaussian(noise_key, theta, sigma, unrolls.num_problems)
        # Over the signs, then over the pairs.
        of_pairs = jax.vmap(jax.vmap(unroll, (0, None, None)), (0, 0, None))
        losses, perturbed, others = of_pairs(both_signs(theta, noise), states, data)
        grad, loss = gradient(noise, losses, others)
        if unrolls.full:
            # Nobody goes on from here: that a trajectory is at its end is all that counts.
            return report(grad, loss, perturbed), jax.tree.map(lambda x: x[:, 0], perturbed)
        _, states = jax.vmap(unrolls.unroll, (None, 0, None))(theta, states, data)
        return report(grad, loss, states), states

    return Estimator(init, estimate)


def evolution_gradient(
    noise: Theta, losses: Array, sigma: float, problem_clip_norm: float | None = None
) -> tuple[Theta, Array]:
    """The mean over pairs of `noise (L+ - L-) / (2 sigma^2)`, and the mean loss, of losses f32[n, 2].

    A pair with a loss that is not finite, or losses too far apart for their difference to be, says nothing
    and is left out. Where no pair is left, all is NaN.
    """

    def gradient(noise: Theta, losses: Array) -> tuple[Theta, Array]:
        slopes, finite = pair_slopes(noise, losses, sigma, problem_clip_norm)
        count = jnp.sum(finite).astype(losses.dtype)
        grad = jax.tree.map(lambda n: jnp.sum(along(slopes, n) * n, axis=0) / count.astype(n.dtype), noise)
        return grad, mean_over_pairs(losses, finite)

    return on_every_device(gradient, noise, losses)


def pair_slopes(
    noise: Theta, losses: Array, sigma: float, problem_clip_norm: float | None = None
) -> tuple[Array, Array]:
    """The factor of each pair's noise in its gradient, f32[n], and which pairs have one, bool[n]."""
    slopes = (losses[:, 0] - losses[:, 1]) / (2 * sigma**2)
    finite = jnp.isfinite(slopes)
    slopes = jnp.where(finite, slopes, 0)
    if problem_clip_norm is not None:
        bound = problem_clip_norm / jax.vmap(optax.tree.norm)(noise)
        slopes = jnp.clip(slopes, -bound, bound)
    return slopes, finite


def mean_over_pairs(losses: Array, counted: Array) -> Array:
    """The mean of the losses f32[n, 2] of the pairs that count, bool[n]; NaN where none does."""
    return jnp.sum(jnp.where(counted, jnp.mean(losses, axis=1), 0)) / jnp.sum(counted).astype(losses.dtype)


def along(factors: Array, like: Array) -> Array:
    """Factors [n] in the shape [n, 1, ...] and dtype to multiply `like`, [n, ...], with, or booleans."""
    shaped = factors.reshape(factors.shape + (1,) * (like.ndim - 1))
    return shaped if shaped.dtype == bool else shaped.astype(like.dtype)
