r"""A small network of no memory on what the usual optimizers keep: cheap enough to be evolved.

References:
    Metz, Freeman, Harrison, Maheswaranathan, Sohl-Dickstein, Practical tradeoffs between memory, compute, and
    performance in learned optimizers, CoLLAs 2022: the rule and its inputs.
    Shazeer, Stern, Adafactor: adaptive learning rates with sublinear memory cost, ICML 2018: the factored
    second moments.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from learned_opt.core.errors import check_above_zero
from learned_opt.core.trees import check_floating, check_same_structure
from learned_opt.core.types import Array, Key, LearnedOptimizer, Params, Theta
from learned_opt.optimizers.leaves import (
    finite_gradient,
    keep_unless,
    map_unzipped,
    split,
    touched,
    zeros_like,
)
from learned_opt.optimizers.lstm_stack import init_linear
from learned_opt.optimizers.registry import registry
from learned_opt.optimizers.schedules import cosine_factor

# Steps at which the network can tell early from late.
TIMESCALES = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)
TINY = 1e-37  # a float32 number, and so is its inverse root
RELATIVE_FLOOR = 1e-6  # of a second moment, beside the mean over its tensor
MAX_INPUT = 10.0  # normalised inputs are of order 1; one coordinate of a huge tensor may stick out
MAX_LOG = 10.0  # of the factor that the magnitude stands for
MAX_UNROLLED = 256  # weights of a layer that are written out one by one; more take long to compile


class MLPState(NamedTuple):
    """State of the MLP rule: a struct of trees like the params, with k decay rates.

    Attributes:
        count: i32[], updates made so far.
        mu: means of the gradients, for each decay rate a tree like the params.
        nu: the mean of the squared gradients, leaves `param.shape`.
        row: means over the last axis of the squared gradients, for each decay rate a tree with leaves
            `param.shape[:-1]`. These and the next are the only leaves that are not shaped like their param.
            A param with fewer than two axes has nothing to factor, and has `param.shape` here and in `col`.
        col: means over the last axis but one, leaves `param.shape[:-2] + param.shape[-1:]`.
    """

    count: Array
    mu: tuple[Params, ...]
    nu: Params
    row: tuple[Params, ...]
    col: tuple[Params, ...]


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
            a^b m^b, r^b, \frac{1}{\sqrt{r^b}}, q^b, \frac{1}{\sqrt{q^b}};\ \tanh(t / \tau - 1)\Bigr), \qquad
        u_t = s\, d_t\, e^{\lambda o_t}

    with every decay rate b. Each input is divided by its root mean square over the tensor, so that the rule
    is blind to the scale of the loss, as long as gradients are above about 1e-18, whose squares are still
    numbers; moments need no bias correction for the same reason. Rows and columns
    are those of a param's last two axes. The last inputs, with time scales :math:`\tau` from 1 to 100,000
    steps, tell how far training has come. Given `num_steps`, `build` multiplies the t-th update by
    `(1 + cos(pi t / num_steps)) / 2`.

    With the default sizes theta has about 190 numbers and the state four floats a parameter, besides those of
    its rows and columns.

    A coordinate whose gradient is NaN or infinite gets a zero update, keeps its state and takes no part in
    its row's and column's means. One that has had no gradient but zero yet gets a zero update. Arithmetic is
    in float32 whatever the dtype of the gradients.

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
        >>> updates["w"].shape, state.mu[0]["w"].shape, state.row[0]["w"].shape, state.col[0]["w"].shape
        ((3, 2), (3, 2), (3,), (2,))

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
    check_above_zero(output_scale=output_scale, magnitude_scale=magnitude_scale)
    init = functools.partial(_init, hidden_sizes=hidden_sizes, num_inputs=3 + 8 * len(decays))
    sizes = (len(decays), 1, len(decays), len(decays))

    def build(theta: Theta, *, num_steps: Any = None) -> optax.GradientTransformationExtraArgs:
        check_same_structure(theta, jax.eval_shape(init, jax.random.key(0)), "theta", "mlp_rule's theta")
        factor = cosine_factor(num_steps)
        first, *later = (theta[f"linear_{i}" if i else "linear"] for i in range(len(hidden_sizes) + 1))

        def init_fn(params: Params) -> MLPState:
            check_floating(params, "params")

            def factors(axis: int) -> tuple[Params, ...]:
                def without(zero: Array) -> Array:
                    return zero if zero.ndim < 2 else jnp.sum(zero, axis)

                return tuple(jax.tree.map(without, zeros_like(params)) for _ in decays)

            mu = tuple(zeros_like(params) for _ in decays)
            return MLPState(jnp.zeros([], jnp.int32), mu, zeros_like(params), factors(-1), factors(-2))

        def update_fn(updates, state, params=None, **extra_args):
            del params, extra_args
            check_floating(updates, "gradients")
            check_same_structure(updates, state.nu, "gradients", "params")
            count = jnp.asarray(optax.safe_increment(state.count))
            progress = jnp.tanh(count.astype(jnp.float32) / jnp.float32(TIMESCALES) - 1)
            # Progress is the same everywhere: it goes through its layer once, and not once a coordinate.
            bias = first["b"] + progress @ theta["progress"]["w"]

            def leaf_update(g, *leaf_state):
                g32, finite = finite_gradient(g)
                mu, (nu,), row, col = split(leaf_state, sizes)
                square = jnp.square(g32)
                mu = [_mean(finite, m, g32, b) for m, b in zip(mu, decays, strict=True)]
                nu = _mean(finite, nu, square, second_decay)
                row = [_factor(finite, r, square, b, -1) for r, b in zip(row, decays, strict=True)]
                col = [_factor(finite, q, square, b, -2) for q, b in zip(col, decays, strict=True)]
                x = _first_layer(first["w"], bias, _inputs(g32, mu, nu, row, col))
                for layer in later:
                    x = _linear(layer["w"], layer["b"], [jax.nn.relu(unit) for unit in x])
                size = jnp.exp(jnp.clip(magnitude_scale * x[1], -MAX_LOG, MAX_LOG))
                update = output_scale * factor(state.count) * x[0] * size
                update = jnp.where(finite & touched(g32, *mu), update, 0)
                return (update.astype(g.dtype), *mu, nu, *row, *col)

            updates, *new = map_unzipped(leaf_update, updates, *state.mu, state.nu, *state.row, *state.col)
            mu, (nu,), row, col = split(new, sizes)
            return updates, MLPState(count, mu, nu, row, col)

        return optax.GradientTransformationExtraArgs(init_fn, update_fn)

    return LearnedOptimizer(init, build)


def _init(key: Key, hidden_sizes: tuple[int, ...], num_inputs: int) -> Theta:
    """Fresh weights: layer by layer, and those of the inputs that tell how far training has come."""
    theta, num_seen = {}, num_inputs
    for i, size in enumerate((*hidden_sizes, 2)):
        key, layer_key = jax.random.split(key)
        theta[f"linear_{i}" if i else "linear"] = init_linear(layer_key, num_seen, size)
        if i == 0:
            key, layer_key = jax.random.split(key)
            theta["progress"] = init_linear(layer_key, len(TIMESCALES), size, with_bias=False)
        num_seen = size
    return theta


def _mean(counted: Array, old: Array, new: Array, decay: float) -> Array:
    """The next moving average; the old one where nothing counts."""
    return keep_unless(counted, decay * old + (1 - decay) * new, old)


def _factor(finite: Array, old: Array, square: Array, decay: float, axis: int) -> Array:
    """The next mean of the squares over an axis, of those that are finite."""
    if square.ndim < 2:
        return _mean(finite, old, square, decay)
    count = jnp.sum(finite.astype(square.dtype), axis)
    return _mean(count > 0, old, jnp.sum(square, axis) / jnp.maximum(count, 1), decay)


def _inputs(g: Array, mu: Sequence[Array], nu: Array, row: Sequence[Array], col: Sequence[Array]):
    """What the network sees of a coordinate, its row and its column, with the axis that each lacks.

    Each is divided by its root mean square over the tensor, and an array of its own, so that one loop over
    the coordinates makes all that is made of them.
    """
    relative, inverse = _relative(nu)
    rows, inverse_rows = zip(*map(_relative, row), strict=True)
    cols, inverse_cols = zip(*map(_relative, col), strict=True)
    factors = inverse_rows
    if g.ndim > 1:
        # The mean that the product of both has once too often is that of each matrix.
        matrices = (_relative(r, axis=-1)[1] for r in row)
        pairs = zip(matrices, inverse_cols, strict=True)
        factors = [_spread(r, -1, g) * _spread(c, -2, g) for r, c in pairs]
    own = [g, *mu, relative, *(m * inverse for m in mu), inverse]
    own += [f * g for f in factors] + [f * m for f, m in zip(factors, mu, strict=True)]
    groups = ((own, None), ((*rows, *inverse_rows), -1), ((*cols, *inverse_cols), -2))
    return [([_normalized(x) for x in inputs], axis) for inputs, axis in groups]


def _relative(second_moment: Array, axis: int | None = None) -> tuple[Array, Array]:
    """A moment over its mean, over all or an axis, and the inverse root of that plus a small share."""
    size = second_moment.size if axis is None else second_moment.shape[axis]
    mean = jnp.sum(second_moment, axis, keepdims=True) / max(size, 1)
    relative = second_moment / jnp.maximum(mean, TINY)
    return relative, jax.lax.rsqrt(relative + RELATIVE_FLOOR)


def _normalized(x: Array) -> Array:
    """An input over its root mean square."""
    mean_square = jnp.sum(jnp.square(x)) / max(x.size, 1)
    return jnp.clip(x * jax.lax.rsqrt(jnp.maximum(mean_square, TINY)), -MAX_INPUT, MAX_INPUT)


def _spread(x: Array, axis: int | None, like: Array) -> Array:
    """What is the same along an axis, in the shape of the tensor, and sharded as it is."""
    if axis is None or x.shape == like.shape:
        return x
    return jnp.zeros_like(like) + jnp.expand_dims(x, axis)


def _first_layer(weights: Array, bias: Array, groups: Sequence[tuple[Sequence[Array], int | None]]):
    """The first layer's units. What rows and columns have in common is multiplied once for each of these."""
    like, units, start = groups[0][0][0], list(bias), 0
    for inputs, axis in groups:
        part = _linear(weights[start : start + len(inputs)], jnp.zeros_like(bias), inputs)
        units = [unit + _spread(p, axis, like) for unit, p in zip(units, part, strict=True)]
        start += len(inputs)
    return units


def _linear(weights: Array, bias: Array, inputs: Sequence[Array]) -> list[Array]:
    """A linear layer, an array a unit: f32[n, m], f32[m], n of f32[...] -> m of f32[...]."""
    if weights.size > MAX_UNROLLED:
        units = jnp.tensordot(weights.T, jnp.stack(inputs), axes=1)
        return [unit + b for unit, b in zip(units, bias, strict=True)]
    units = []
    for column, unit in zip(weights.T, bias, strict=True):
        for w, x in zip(column, inputs, strict=True):
            unit = unit + w * x
        units.append(unit)
    return units
