r"""What the estimators by evolution strategies share: Gaussian noise on theta, in pairs of opposite sign.

.. math::

    \nabla_\theta\, \mathbb{E}_{\epsilon \sim N(0, \sigma^2 I)} L(\theta + \epsilon) = \mathbb{E}\left[
        \frac{\epsilon}{2 \sigma^2} \bigl(L(\theta + \epsilon) - L(\theta - \epsilon)\bigr) \right]

It is the gradient of a smoothed meta-loss, and needs no derivative of anything. Devices that share the pairs
exchange losses alone: each makes the noise of all pairs from the common key.
"""

from typing import Any, TypedDict

import jax
import jax.numpy as jnp
import optax

from learned_opt.core.sharding import on_every_device, split_by_problem
from learned_opt.core.types import Array, Data, Key, Theta
from learned_opt.training.unroll import InnerState
from learned_opt.training.walkers import Horizon, Walk, Walkers, check_problem_clip_norm


class Inner(TypedDict, total=False):
    """The inner problems' arguments, which the estimators hand on to `truncated_step`."""

    horizon: Horizon
    truncation: int
    num_problems: int
    random_phases: bool


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
_BOTH = Walkers(_SAME, _SAME, InnerState(_OWN, _OWN, _SAME), _OWN, _SAME, _SAME, _SAME)


def in_pairs(walkers: Walkers) -> Walkers:
    """Each trajectory twice: the same problem, batches and start for both signs of its noise.

    Args:
        walkers: n of them.

    Returns:
        The same problems; where their trajectories stand has leading axes `(n, 2)`.

    Example:
        >>> inner = InnerState(jnp.array([1, 2]), (), jnp.array([0, 0]))
        >>> pairs = in_pairs(Walkers((), (), inner, jnp.zeros((2, 3)), (), (), ()))
        >>> pairs.inner.params.tolist(), pairs.inner.step.tolist()
        ([[1, 1], [2, 2]], [0, 0])
    """

    def both(tree: Any) -> Any:
        return jax.tree.map(lambda x: jnp.stack([x, x], axis=1), tree)

    params, opt_state, step = walkers.inner
    return walkers._replace(
        inner=InnerState(both(params), both(opt_state), step), history=both(walkers.history)
    )


def walk_pairs(walk: Walk, thetas: Theta, pairs: Walkers, data: Data) -> tuple[Array, Walkers]:
    """One truncation of both trajectories of each pair; the batches of a pair are drawn once.

    Args:
        walk: of one walker, as `truncated_step` makes it.
        thetas: leaves `(n, 2) + leaf.shape`.
        pairs: n of them, as `in_pairs` makes them.
        data: the task's data.

    Returns:
        The shares in the meta-loss, f32[n, 2], and where the pairs stand then.

    Example:
        >>> def walk(theta, walker, data):
        ...     moved = InnerState(walker.inner.params + theta, (), walker.inner.step + 1)
        ...     return moved.params, walker._replace(inner=moved)
        >>> inner = InnerState(jnp.array([1.0, 2.0]), (), jnp.array([0, 0]))
        >>> pairs = in_pairs(Walkers((), (), inner, jnp.zeros((2, 3)), (), (), ()))
        >>> losses, pairs = walk_pairs(walk, jnp.array([[0.5, -0.5], [1.0, -1.0]]), pairs, ())
        >>> losses.tolist(), pairs.step.tolist()
        ([[1.5, 0.5], [3.0, 1.0]], [1, 1])
    """
    both = jax.vmap(walk, (0, _BOTH, None), (0, _BOTH))
    return jax.vmap(both, (0, 0, None))(thetas, pairs, data)


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
