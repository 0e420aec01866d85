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
    """`ValueError` unless there is noise, and clipping to something.

    Args:
        sigma: deviation of the noise on each meta-parameter.
        problem_clip_norm: norm that each pair's gradient is clipped to.

    Raises:
        ValueError: if one of them is not positive.

    Example:
        >>> check_noise(0.01, None)
    """
    if not sigma > 0:
        raise ValueError(f"sigma={sigma!r}: it must be positive; 0.01 is a usual value")
    check_problem_clip_norm(problem_clip_norm)


def gaussian(key: Key, theta: Theta, sigma: float, num_pairs: int) -> Theta:
    """Noise for some pairs.

    Args:
        key: makes it.
        theta: what it is for.
        sigma: its deviation.
        num_pairs: how many.

    Returns:
        A tree like theta; leaves `(num_pairs,) + leaf.shape`, in their dtype, whole on every device.

    Example:
        >>> gaussian(jax.random.key(0), {"w": jnp.zeros((2, 3))}, 0.1, 5)["w"].shape
        (5, 2, 3)
    """
    like = jax.tree.map(lambda t: jax.ShapeDtypeStruct(t.shape, t.dtype), theta)

    def one(key: Key) -> Theta:
        noise = optax.tree.random_like(key, like, jax.random.normal)
        return jax.tree.map(lambda n: sigma * n, noise)

    return on_every_device(lambda key: jax.vmap(one)(jax.random.split(key, num_pairs)), key)


def both_signs(theta: Theta, noise: Theta) -> Theta:
    """Theta with the noise added, and with it taken off.

    Args:
        theta: meta-parameters.
        noise: of n pairs, leaves `(n,) + leaf.shape`.

    Returns:
        A tree like theta; leaves `(n, 2) + leaf.shape`, split by pair.

    Example:
        >>> both_signs(jnp.float32(1), jnp.array([0.25, 0.5])).tolist()
        [[1.25, 0.75], [1.5, 0.5]]
    """
    signs = jax.tree.map(lambda t, n: jnp.stack([t[None] + n, t[None] - n], axis=1), theta, noise)
    return split_by_problem(signs)


# The axes of a pair's two trajectories: the problem, its batches and the step are the same for both.
_SAME: Any = None
_OWN: Any = 0
_BOTH = UnrollState(_SAME, _SAME, InnerState(_OWN, _OWN, _SAME), _OWN, _SAME, _SAME, _SAME)


def in_pairs(states: UnrollState) -> UnrollState:
    """Each trajectory twice: the same problem, batches and start for both signs of its noise.

    Args:
        states: n of them.

    Returns:
        The same problems; where their trajectories stand has leading axes `(n, 2)`.

    Example:
        >>> inner = InnerState(jnp.array([1, 2]), (), jnp.array([0, 0]))
        >>> pairs = in_pairs(UnrollState((), (), inner, jnp.zeros((2, 3)), (), (), ()))
        >>> pairs.inner.params.tolist(), pairs.inner.step.tolist()
        ([[1, 1], [2, 2]], [0, 0])
    """

    def both(tree: Any) -> Any:
        return jax.tree.map(lambda x: jnp.stack([x, x], axis=1), tree)

    params, opt_state, step = states.inner
    return states._replace(
        inner=InnerState(both(params), both(opt_state), step), history=both(states.history)
    )


def unroll_pairs(
    unroll: UnrollFunction, thetas: Theta, pairs: UnrollState, data: Data
) -> tuple[Array, UnrollState]:
    """One truncation of both trajectories of each pair; the batches of a pair are drawn once.

    Args:
        unroll: of one problem, as `truncated_unrolls` makes it.
        thetas: leaves `(n, 2) + leaf.shape`.
        pairs: n of them, as `in_pairs` makes them.
        data: the task's data.

    Returns:
        The shares in the meta-loss, f32[n, 2], and where the pairs stand then.

    Example:
        >>> def unroll(theta, state, data):
        ...     moved = InnerState(state.inner.params + theta, (), state.inner.step + 1)
        ...     return moved.params, state._replace(inner=moved)
        >>> inner = InnerState(jnp.array([1.0, 2.0]), (), jnp.array([0, 0]))
        >>> pairs = in_pairs(UnrollState((), (), inner, jnp.zeros((2, 3)), (), (), ()))
        >>> losses, pairs = unroll_pairs(unroll, jnp.array([[0.5, -0.5], [1.0, -1.0]]), pairs, ())
        >>> losses.tolist(), pairs.step.tolist()
        ([[1.5, 0.5], [3.0, 1.0]], [1, 1])
    """
    both = jax.vmap(unroll, (0, _BOTH, None), (0, _BOTH))
    return jax.vmap(both, (0, 0, None))(thetas, pairs, data)


class PairsState(NamedTuple):
    """Where pairs stand whose two trajectories go on over the seams of truncations.

    Attributes:
        unrolls: one for each problem, with the params, the optimizer's state and the last losses of two
            trajectories, leading axes `(num_problems, 2)`.
        noise: what each pair's losses are set against, a tree like theta with leaves
            `(num_problems,) + leaf.shape`, whole on every device.
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

    Args:
        unrolls: the inner problems.
        init: `init(key, theta) -> state`, the pairs at step 0.
        draw: `draw(key, theta, ended, noise) -> (noise, noise)`, what theta is perturbed by in this
            truncation, and what the losses are set against; both of all pairs. `ended` says whose trajectory
            is new.
        sigma: deviation of the noise on each meta-parameter.
        problem_clip_norm: norm that each pair's gradient is clipped to; `None` for no clipping.

    Returns:
        The estimator.
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

    Args:
        unrolls: the inner problems.
        sigma: deviation of the noise on each meta-parameter.
        unroll: as `unrolls.unroll`, with whatever else `gradient` is to know of each trajectory.
        gradient: `gradient(noise, losses, others) -> (gradient, loss)`; noise has leaves
            `(num_problems,) + leaf.shape`, losses and others leading axes `(num_problems, 2)`.

    Returns:
        The estimator.
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
    """The mean over pairs of `noise (L+ - L-) / (2 sigma^2)`, and the mean loss.

    A pair with a loss that is not finite, or losses too far apart for their difference to be, says nothing
    and is left out. Where no pair is left, all is NaN.

    Args:
        noise: of n pairs, leaves `(n,) + leaf.shape`.
        losses: f32[n, 2], with the noise added and with it taken off.
        sigma: deviation of the noise that made the losses.
        problem_clip_norm: norm that each pair's gradient is clipped to; `None` for no clipping.

    Returns:
        The gradient, a tree like theta; f32[].

    Example:
        >>> noise, losses = jnp.array([0.5, -1.0]), jnp.array([[1.0, 0.0], [jnp.nan, 2.0]])
        >>> grad, loss = evolution_gradient(noise, losses, sigma=0.5)
        >>> grad.item(), loss.item()
        (1.0, 0.5)
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
    """The factor of each pair's noise in its gradient, and which pairs have one.

    Args:
        noise: of n pairs, leaves `(n,) + leaf.shape`.
        losses: f32[n, 2], with the noise added and with it taken off.
        sigma: deviation of the noise that made the losses.
        problem_clip_norm: norm that each pair's gradient is clipped to; `None` for no clipping.

    Returns:
        f32[n], 0 where a pair says nothing; bool[n].

    Example:
        >>> noise, losses = jnp.array([2.0, 1.0]), jnp.array([[3.0, 1.0], [jnp.inf, 1.0]])
        >>> slopes, finite = pair_slopes(noise, losses, sigma=1.0)
        >>> slopes.tolist(), finite.tolist()
        ([1.0, 0.0], [True, False])
        >>> pair_slopes(noise, losses, sigma=1.0, problem_clip_norm=0.5)[0].tolist()
        [0.25, 0.0]
    """
    slopes = (losses[:, 0] - losses[:, 1]) / (2 * sigma**2)
    finite = jnp.isfinite(slopes)
    slopes = jnp.where(finite, slopes, 0)
    if problem_clip_norm is not None:
        bound = problem_clip_norm / jax.vmap(optax.tree.norm)(noise)
        slopes = jnp.clip(slopes, -bound, bound)
    return slopes, finite


def mean_over_pairs(losses: Array, counted: Array) -> Array:
    """The mean loss of the pairs that count.

    Args:
        losses: f32[n, 2].
        counted: bool[n].

    Returns:
        f32[], NaN where no pair counts.

    Example:
        >>> mean_over_pairs(jnp.array([[3.0, 1.0], [jnp.inf, 1.0]]), jnp.array([True, False])).item()
        2.0
    """
    return jnp.sum(jnp.where(counted, jnp.mean(losses, axis=1), 0)) / jnp.sum(counted).astype(losses.dtype)


def along(factors: Array, like: Array) -> Array:
    """One factor for each entry along the first axis, in a shape and dtype to multiply with.

    Args:
        factors: [n].
        like: [n, ...].

    Returns:
        [n, 1, ...]; booleans stay booleans.

    Example:
        >>> along(jnp.ones(3), jnp.ones((3, 2, 5))).shape
        (3, 1, 1)
    """
    shaped = factors.reshape(factors.shape + (1,) * (like.ndim - 1))
    return shaped if shaped.dtype == bool else shaped.astype(like.dtype)
