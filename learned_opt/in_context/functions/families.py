"""Families of functions of two numbers, and the sequences that a learner sees of them.

References:
    Younger, Hochreiter and Conwell, Meta-learning with backpropagation, IJCNN 2001: the families.
    Hochreiter, Younger and Conwell, Learning to learn using gradient descent, ICANN 2001: Boolean-14.
"""

import itertools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from learned_opt.core.errors import unknown_name
from learned_opt.core.registry import Registry
from learned_opt.core.types import Array, Key
from learned_opt.in_context.functions import bayes
from learned_opt.in_context.functions.bayes import Predictor
from learned_opt.in_context.functions.quadratics import (
    SCALED_COVARIANCE,
    monomials,
    scaled_by_own_range,
)

registry = Registry("function family")

TABLES = np.array(list(itertools.product((0.0, 1.0), repeat=4)), np.float32)  # of all functions of two bits
XOR, XNOR = 0b0110, 0b1001  # their rows in TABLES


class Family(NamedTuple):
    """A distribution over functions from two numbers to one.

    Attributes:
        sample: `sample(key) -> function`, its parameters as one array.
        evaluate: `evaluate(function, x) -> y`, f32[..., 2] -> f32[...].
        inputs: `inputs(key, num) -> x`, f32[num, 2].
        bayes: `bayes(x, y) -> outputs`, the Bayes-optimal predictions of a function's examples f32[T, 2] and
            f32[T], each from those before it.
        binary: whether values are 0 or 1, so that there is an accuracy.
        switching: `switching(hazard) -> bayes`, the same where functions change, for one that is not told
            when: before each example with probability `hazard`. `None` where it is not known.
        config: the named arguments that made this family, or `None`.
    """

    sample: Callable[[Key], Array]
    evaluate: Callable[[Array, Array], Array]
    inputs: Callable[[Key, int], Array]
    bayes: Predictor
    binary: bool = False
    switching: Callable[[float], Predictor] | None = None
    config: Any = None


class Examples(NamedTuple):
    """What a learner sees, and what it is to say.

    Attributes:
        inputs: f32[T, 3]: x1, x2, and the target of the example before, 0 at the start.
        targets: f32[T].
    """

    inputs: Array
    targets: Array


def examples(family: Family, key: Key, length: int, num_functions: int = 1) -> Examples:
    """Draws functions and, one after another, a sequence of examples of each.

    Nothing tells a learner where one function ends and the next begins; the previous target is passed on.

    Args:
        family: of the functions.
        key: for everything drawn.
        length: examples of each function.
        num_functions: in sequence.

    Returns:
        `num_functions * length` examples.

    Example:
        >>> drawn = examples(boolean(), jax.random.key(0), length=5, num_functions=2)
        >>> drawn.inputs.shape, bool((drawn.inputs[1:, 2] == drawn.targets[:-1]).all())
        ((10, 3), True)
    """

    def one(key: Key) -> tuple[Array, Array]:
        function_key, input_key = jax.random.split(key)
        x = family.inputs(input_key, length)
        return x, family.evaluate(family.sample(function_key), x)

    x, y = jax.vmap(one)(jax.random.split(key, num_functions))
    x, y = x.reshape(-1, 2), y.reshape(-1)
    previous = jnp.concatenate([jnp.zeros(1, jnp.float32), y[:-1]])
    return Examples(jnp.concatenate([x, previous[:, None]], axis=1), y)


def bayes_outputs(family: Family, drawn: Examples, num_functions: int = 1) -> Array:
    """The Bayes-optimal predictions for examples; it is told where a function begins.

    Args:
        family: that the functions are from.
        drawn: by `examples`.
        num_functions: as given to `examples`.

    Returns:
        f32[T].

    Example:
        >>> drawn = examples(boolean(), jax.random.key(0), length=256)
        >>> squared = jnp.square(bayes_outputs(boolean(), drawn) - drawn.targets)
        >>> round(float(squared.sum()), 2)  # a coin toss for each of the four inputs
        1.0
    """
    x = drawn.inputs[:, :2].reshape(num_functions, -1, 2)
    return jax.vmap(family.bayes)(x, drawn.targets.reshape(num_functions, -1)).reshape(-1)


@registry.register
def boolean(
    num_functions: int = 16,
    num_held_out: int = 0,
    split: int = 0,
    part: Literal["training", "held_out"] = "training",
) -> Family:
    """Functions of two bits, or those of a random split of them.

    A held-out function is predicted with all functions of the set in mind, since a learner cannot know which
    are held out; a training function with those of training.

    Args:
        num_functions: 16 for all, 14 for those without XOR and XNOR.
        num_held_out: functions that training does not see.
        split: seed of which ones.
        part: the functions that are drawn: those of training, or those held out.

    Returns:
        The family; a function is its truth table, f32[4].

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> family = boolean(num_held_out=3, split=1, part="held_out")
        >>> family.evaluate(jnp.array([0.0, 1, 1, 0]), jnp.array([1.0, 1.0])).item()  # XOR
        0.0

    Reference:
        Younger et al. 2001, section 3, for 16 functions; Hochreiter et al. 2001 for 14.
    """
    if part not in ("training", "held_out"):
        raise ValueError(f"part={part!r}: choose 'training' or 'held_out'")
    if part == "held_out" and num_held_out == 0:
        raise ValueError("part='held_out' needs functions that are held out; give num_held_out")
    training, held_out = split_tables(num_functions, num_held_out, split)
    if part == "training":
        return among(training, training)
    return among(held_out, np.concatenate([training, held_out]))


def split_tables(num_functions: int, num_held_out: int, split: int) -> tuple[np.ndarray, np.ndarray]:
    """The truth tables of a random split of the functions of two bits.

    Args:
        num_functions: 16 for all, 14 for those without XOR and XNOR.
        num_held_out: functions that training does not see.
        split: seed of which ones.

    Returns:
        The tables of training, f32[num_functions - num_held_out, 4], and the others, f32[num_held_out, 4].

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> training, held_out = split_tables(14, 3, split=0)
        >>> training.shape, held_out.shape
        ((11, 4), (3, 4))
    """
    if num_functions not in (14, 16):
        raise ValueError(f"num_functions={num_functions!r}: choose 16, or 14 for all but XOR and XNOR")
    if not 0 <= num_held_out < num_functions:
        raise ValueError(f"num_held_out={num_held_out!r}: it must be at least 0 and below {num_functions}")
    tables = TABLES if num_functions == 16 else np.delete(TABLES, (XOR, XNOR), axis=0)
    order = np.random.default_rng(split).permutation(num_functions)
    return tables[np.sort(order[num_held_out:])], tables[np.sort(order[:num_held_out])]


def among(tables: Any, known: Any) -> Family:
    """Some functions of two bits, each drawn as often as the others.

    Args:
        tables: f32[num_functions, 4], the truth tables; they may be traced.
        known: the truth tables that the Bayes-optimal predictor holds for possible.

    Returns:
        The family.

    Example:
        >>> conjunction = among(TABLES[1:2], TABLES)
        >>> conjunction.sample(jax.random.key(0)).tolist()
        [0.0, 0.0, 0.0, 1.0]
    """
    tables, known = jnp.asarray(tables, jnp.float32), jnp.asarray(known, jnp.float32)
    return Family(
        sample=lambda key: tables[jax.random.randint(key, (), 0, tables.shape[0])],
        evaluate=lambda function, x: function[bayes.row_of(x)],
        inputs=lambda key, num: jax.random.bernoulli(key, 0.5, (num, 2)).astype(jnp.float32),
        bayes=bayes.among_tables(known),
        binary=True,
        switching=lambda hazard: bayes.among_switching_tables(known, hazard),
    )


@registry.register
def semilinear() -> Family:
    r"""What one sigmoid unit with weights in [-1, 1] computes.

    .. math::

        y = \tfrac12 (1 + \tanh(w_1 x_1 + w_2 x_2 + w_3)), \qquad w_i, x_i \sim U[-1, 1]

    Returns:
        The family; a function is its weights, f32[3].

    Example:
        >>> semilinear().evaluate(jnp.array([1.0, -1.0, 0.0]), jnp.array([0.5, 0.5])).item()
        0.5

    Reference:
        Younger et al. 2001, section 4.
    """

    def features(x: Array) -> Array:
        return jnp.concatenate([x, jnp.ones_like(x[..., :1])], axis=-1)

    def link(z: Array) -> Array:
        return 0.5 * (1 + jnp.tanh(z))

    def inverse_link(y: Array) -> Array:
        return jnp.arctanh(2 * y - 1)

    return Family(
        sample=lambda key: _uniform(key, (3,)),
        evaluate=lambda function, x: link(features(x) @ function),
        inputs=lambda key, num: _uniform(key, (num, 2)),
        bayes=bayes.particles(features, link, inverse_link, num_features=3),
        switching=lambda hazard: bayes.particles(
            features, link, inverse_link, num_features=3, num_particles=512, hazard=hazard
        ),
    )


@registry.register
def quadratic(scaled: Literal["together", "each"] = "together") -> Family:
    r"""Quadratic functions of two numbers, scaled into [0.2, 0.8].

    .. math::

        y = \tfrac12 + \tfrac1{20}(a x_1^2 + b x_2^2 + c x_1 x_2 + d x_1 + e x_2 + f),
        \qquad a, \dots, f, x_i \sim U[-1, 1]

    The sum q lies in [-6, 6] whatever its coefficients, and that range is what is scaled, the same for all
    functions. Or each is scaled by the range of its own on the square of inputs,

    .. math::

        y = 0.2 + 0.6\, \frac{q(x) - \min q}{\max q - \min q},

    which makes the values about five times as wide. The paper does not say which.

    Args:
        scaled: all functions `"together"`, by one range, or `"each"` by its own.

    Returns:
        The family; a function is its coefficients, f32[6]: before scaling together, or after scaling each,
        of y - 1/2.

    Raises:
        ValueError: if there is no such scaling.

    Example:
        >>> bool(jnp.isclose(quadratic().evaluate(jnp.ones(6), jnp.ones(2)), 0.8))
        True
        >>> family = quadratic("each")
        >>> function = family.sample(jax.random.key(0))
        >>> y = family.evaluate(function, family.inputs(jax.random.key(1), 4096))
        >>> round(float(y.min()), 1), round(float(y.max()), 1)
        (0.2, 0.8)

    Reference:
        Younger et al. 2001, section 4.
    """
    if scaled not in ("together", "each"):
        raise unknown_name("scaled", scaled, ("together", "each"))
    offset, scale = 0.5, 0.05 if scaled == "together" else 1.0
    prior = None if scaled == "together" else jnp.asarray(SCALED_COVARIANCE, jnp.float32)

    def sample(key: Key) -> Array:
        coefficients = _uniform(key, (6,))
        return coefficients if scaled == "together" else scaled_by_own_range(coefficients)

    return Family(
        sample=sample,
        evaluate=lambda function, x: offset + scale * (monomials(x) @ function),
        inputs=lambda key, num: _uniform(key, (num, 2)),
        bayes=bayes.linear_regression(monomials, offset, scale, prior),
        switching=lambda hazard: bayes.linear_regression(monomials, offset, scale, prior, hazard),
    )


def _uniform(key: Key, shape: tuple[int, ...]) -> Array:
    return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)
