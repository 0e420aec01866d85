r"""A small network of no memory on what the usual optimizers keep: cheap enough to be evolved.

References:
    Metz, Freeman, Harrison, Maheswaranathan, Sohl-Dickstein, Practical tradeoffs between memory, compute, and
    performance in learned optimizers, CoLLAs 2022: the rule and its inputs.
    Shazeer, Stern, Adafactor: adaptive learning rates with sublinear memory cost, ICML 2018: the factored
    second moments.
"""

from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import optax

from learned_opt.core.trees import check_floating, check_same_structure
from learned_opt.core.types import Array, LearnedOptimizer, Params, Theta
from learned_opt.optimizers.coordinatewise import (
    coordinates,
    finite_gradient,
    keep_unless,
    map_unzipped,
    zeros_like,
)
from learned_opt.optimizers.registry import registry
from learned_opt.optimizers.schedules import cosine_factor

# Steps at which the network can tell early from late.
TIMESCALES = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)
TINY = 1e-30  # its inverse root is still a float32 number
RELATIVE_FLOOR = 1e-6  # of a second moment, beside the mean over its tensor
MAX_INPUT = 10.0  # normalised inputs are of order 1; one coordinate of a huge tensor may stick out
MAX_LOG = 10.0  # of the factor that the magnitude stands for


class MLPState(NamedTuple):
    """State of the MLP rule: a struct of trees like the params, with k decay rates.

    Attributes:
        count: i32[], updates made so far.
        mu: means of the gradients, leaves `param.shape + (k,)`.
        nu: the mean of the squared gradients, leaves `param.shape`.
        row: means over the last axis of the squared gradients, leaves `param.shape[:-1] + (k,)`. These and
            the next are the only leaves that are not shaped like their param. A param with fewer than two
            axes has nothing to factor, and has `param.shape + (k,)` here and in `col`.
        col: means over the last axis but one, leaves `param.shape[:-2] + param.shape[-1:] + (k,)`.
    """

    count: Array
    mu: Params
    nu: Params
    row: Params
    col: Params


@registry.register
def mlp_rule(
    hidden_sizes: tuple[int, ...] = (4, 4),
    decays: tuple[float, ...] = (0.9, 0.99, 0.999),
    second_decay: float = 0.999,
    output_scale: float = 1e-3,
    magnitude_scale: float = 1e-3,
) -> LearnedOptimizer:
    r"""A small network, shared by all coordinates, that maps moments of the gradient to updates.

    .. math::

        m^b_t &= b\, m^b_{t-1} + (1 - b)\, g_t, \qquad v_t = c\, v_{t-1} + (1 - c)\, g_t^2, \\
        r^b_t &= b\, r^b_{t-1} + (1 - b) \operatorname{mean}_{\mathrm{row}} g_t^2, \qquad
        q^b_t = b\, q^b_{t-1} + (1 - b) \operatorname{mean}_{\mathrm{col}} g_t^2, \qquad
        a^b_t = \Bigl(\frac{r^b_t\, q^b_t}{\operatorname{mean} r^b_t}\Bigr)^{-1/2} \\
        d_t, o_t &= \mathrm{MLP}_\theta\Bigl(g, m^b, v, \frac{m^b}{\sqrt v}, \frac{1}{\sqrt v}, a^b g,
            a^b m^b, r^b, q^b, \frac{1}{\sqrt{r^b}}, \frac{1}{\sqrt{q^b}};\ \tanh(t / \tau - 1)\Bigr), \qquad
        u_t = s\, d_t\, e^{\lambda o_t}

    with every decay rate b. Each input is divided by its root mean square over the tensor, so that the rule
    is blind to the scale of the loss; moments need no bias correction for the same reason. Rows and columns
    are those of a param's last two axes. The last inputs, with time scales :math:`\tau` from 1 to 100,000
    steps, tell how far training has come. Given `num_steps`, `build` multiplies the t-th update by
    `(1 + cos(pi t / num_steps)) / 2`.

    With the default sizes theta has about 190 numbers and the state four floats a parameter, besides those of
    its rows and columns.

    A coordinate whose gradient is NaN or infinite gets a zero update, keeps its state and takes no part in
    its row's and column's means. Arithmetic is in float32 whatever the dtype of the gradients.

    Args:
        hidden_sizes: units of each hidden layer.
        decays: b, decay rates of the means and of the factored second moments.
        second_decay: c, of the second moment.
        output_scale: s, in units of the params.
        magnitude_scale: lambda, of the exponent.

    Returns:
        A learned optimizer; theta is a dictionary of float32 arrays as haiku makes it.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> lopt = mlp_rule(hidden_sizes=(8,))
        >>> tx = lopt.build(lopt.init(jax.random.key(0)))
        >>> params = {"w": jnp.ones((3, 2))}
        >>> updates, state = tx.update(params, tx.init(params), params)
        >>> updates["w"].shape, state.mu["w"].shape, state.row["w"].shape, state.col["w"].shape
        ((3, 2), (3, 2, 3), (3, 3), (2, 3))

    Reference:
        Metz et al. 2022, the rule with Adafactor-like inputs. Deviations: the params themselves are no input;
        the decay rates are arguments and not part of theta; small numbers that guard roots are relative to
        the tensor; the last two axes are factored, where the paper takes the two largest.
    """
    hidden_sizes = tuple(hidden_sizes)
    if not hidden_sizes or any(not isinstance(n, int) or n < 1 for n in hidden_sizes):
        raise ValueError(f"hidden_sizes={hidden_sizes!r}: give at least one layer of at least one unit")
    if not decays or any(not 0 <= b < 1 for b in (*decays, second_decay)):
        raise ValueError(f"decays={decays!r}, second_decay={second_decay!r}: give decay rates in [0, 1)")
    for name, value in (("output_scale", output_scale), ("magnitude_scale", magnitude_scale)):
        if not value > 0:
            raise ValueError(f"{name}={value!r}: it must be positive")
    num_decays, num_inputs = len(decays), 3 + 8 * len(decays)

    def network(z: Array, progress: Array) -> Array:
        # Progress is the same everywhere: it goes through its layer once, and not once a coordinate.
        x = hk.Linear(hidden_sizes[0])(z)
        shift = hk.Linear(hidden_sizes[0], with_bias=False, name="progress")(progress)
        x = x + jnp.broadcast_to(shift, x.shape)
        for size in hidden_sizes[1:]:
            x = hk.Linear(size)(jax.nn.relu(x))
        return hk.Linear(2)(jax.nn.relu(x))

    transformed = hk.without_apply_rng(hk.transform(network))

    def init(key) -> Theta:
        # float32 by name: with x64 enabled the default is another.
        zeros = (jnp.zeros(n, jnp.float32) for n in (num_inputs, len(TIMESCALES)))
        return transformed.init(key, *zeros)

    def build(theta: Theta, *, num_steps: Any = None) -> optax.GradientTransformationExtraArgs:
        check_same_structure(theta, jax.eval_shape(init, jax.random.key(0)), "theta", "mlp_rule's theta")
        factor = cosine_factor(num_steps)

        def init_fn(params: Params) -> MLPState:
            check_floating(params, "params")
            row, col = (
                jax.tree.map(
                    lambda p, axis=axis: jnp.zeros((*_without(jnp.shape(p), axis), num_decays), jnp.float32),
                    params,
                )
                for axis in (-1, -2)
            )
            return MLPState(
                jnp.zeros([], jnp.int32), zeros_like(params, (num_decays,)), zeros_like(params), row, col
            )

        def update_fn(updates, state, params=None, **extra_args):
            del params, extra_args
            check_floating(updates, "gradients")
            check_same_structure(updates, coordinates(state.mu), "gradients", "params")
            count = jnp.asarray(optax.safe_increment(state.count))
            progress = jnp.tanh(count.astype(jnp.float32) / jnp.float32(TIMESCALES) - 1)
            b = jnp.float32(decays)

            def leaf_update(g, mu, nu, row, col):
                g32, finite = finite_gradient(g)
                square = jnp.square(g32)
                rates = jnp.broadcast_to(b, mu.shape)
                mu = keep_unless(finite, rates * mu + (1 - rates) * g32[..., None], mu)
                nu = keep_unless(finite, second_decay * nu + (1 - second_decay) * square, nu)
                row, col = (_factor(old, square, finite, b, axis) for old, axis in ((row, -1), (col, -2)))
                z = _inputs(g32, mu, nu, *_spread(row, col, g32.ndim))
                out = transformed.apply(theta, z, progress)
                size = jnp.exp(jnp.clip(magnitude_scale * out[..., 1], -MAX_LOG, MAX_LOG))
                update = output_scale * factor(state.count) * out[..., 0] * size
                return jnp.where(finite, update, 0).astype(g.dtype), mu, nu, row, col

            updates, *new = map_unzipped(leaf_update, updates, *state[1:])
            return updates, MLPState(count, *new)

        return optax.GradientTransformationExtraArgs(init_fn, update_fn)

    return LearnedOptimizer(init, build)


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """The shape without one of its last two axes, if it has two."""
    if len(shape) < 2:
        return shape
    return shape[:-1] if axis == -1 else (*shape[:-2], shape[-1])


def _factor(old: Array, square: Array, finite: Array, decays: Array, axis: int) -> Array:
    """The next mean of the squares over an axis, for each decay rate; the old one where none is finite."""
    if square.ndim < 2:
        mean, count = square, finite.astype(square.dtype)
    else:
        count = jnp.sum(finite.astype(square.dtype), axis)
        mean = jnp.sum(square, axis) / jnp.maximum(count, 1)
    rates = jnp.broadcast_to(decays, old.shape)
    return keep_unless(count > 0, rates * old + (1 - rates) * mean[..., None], old)


def _spread(row: Array, col: Array, ndim: int) -> tuple[Array, Array, Array]:
    """Row and column means and the factor `(row col / mean row)^(-1/2)`, each in the shape of the momenta."""
    if ndim < 2:
        return row, col, _inverse_root(row)
    shape = (*row.shape[:-1], col.shape[-2], row.shape[-1])
    mean = jnp.sum(row, -2, keepdims=True) / max(row.shape[-2], 1)
    relative = row / jnp.broadcast_to(jnp.maximum(mean, TINY), row.shape)
    row, relative = (jnp.broadcast_to(x[..., None, :], shape) for x in (row, relative))
    col = jnp.broadcast_to(col[..., None, :, :], shape)
    return row, col, jax.lax.rsqrt(relative + RELATIVE_FLOOR) * _inverse_root(col)


def _inputs(g: Array, mu: Array, nu: Array, row: Array, col: Array, factor: Array) -> Array:
    """f32[...] and f32[..., k] -> f32[..., 3 + 8 k], each divided by its root mean square over the tensor."""
    g, nu = g[..., None], nu[..., None]
    inverse = _inverse_root(nu)
    scaled = mu * jnp.broadcast_to(inverse, mu.shape)
    adapted = factor * jnp.broadcast_to(g, factor.shape)
    inputs = [
        g,
        mu,
        nu,
        scaled,
        inverse,
        adapted,
        factor * mu,
        row,
        col,
        _inverse_root(row),
        _inverse_root(col),
    ]
    z = jnp.concatenate(inputs, axis=-1)
    axes = tuple(range(z.ndim - 1))
    # By the largest first: squares of small numbers are none.
    largest = jnp.max(jnp.abs(z), axes, keepdims=True, initial=0)
    z = z / jnp.broadcast_to(jnp.maximum(largest, TINY), z.shape)
    mean_square = jnp.sum(jnp.square(z), axes, keepdims=True) / max(g.size, 1)
    z = z * jnp.broadcast_to(jax.lax.rsqrt(jnp.maximum(mean_square, TINY)), z.shape)
    return jnp.clip(z, -MAX_INPUT, MAX_INPUT)


def _inverse_root(second_moment: Array) -> Array:
    """`x^(-1/2)` of f32[..., k], where x is at least a small share of its mean over the tensor."""
    axes = tuple(range(second_moment.ndim - 1))
    size = max(second_moment.size // second_moment.shape[-1], 1)
    mean = jnp.sum(second_moment, axes, keepdims=True) / size
    return jax.lax.rsqrt(second_moment + jnp.broadcast_to(RELATIVE_FLOOR * mean + TINY, second_moment.shape))
