r"""A learning rule and a product of standard neurons: figure 1 of Younger et al. without product units.

A layer of tanh units and a linear one are trained to say by how much a rule changes a weight. Four more,
whose strengths are known beforehand, multiply: second differences of tanh are squares, and

.. math::

    4 a b = (a + b)^2 - (a - b)^2

Reference:
    Younger, Hochreiter and Conwell, Meta-learning with backpropagation, IJCNN 2001, figure 1, steps 2 and 4;
    of the product: Lin, Tegmark and Rolnick, Why does deep and cheap learning work so well?, 2017.
    Deviations: the network says by how much the weight changes and not the new weight, as a loop of strength
    1 keeps what it was; every synapse has a copy of it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from learned_opt.core.errors import check_above_zero
from learned_opt.core.types import Array, Key

Function = Callable[[Array, Array, Array, Array], Array]  # rule(x, y, delta, weight) -> weight
Bounds = tuple[tuple[float, float], ...]

LOGISTIC_BOUNDS: Bounds = ((-1, 1), (0, 1), (-1, 1), (-4, 4))  # of x, y, delta and the weight
HOLD = 40.0  # tanh of what a unit sees and this is 1 in float32
DAMPING, LEAST_DAMPING, MOST_DAMPING = 1.0, 1e-6, 1e8
# Where tanh's fourth derivative is 0, so that its second difference is a square up to the sixth order.
BEND = float(np.arctanh((2 / 3) ** 0.5))
CURVATURE = -2 * (2 / 3) ** 0.5 / 3  # its second derivative there
DIFFERENCE = 0.08  # smaller ones lose more to rounding than they gain


class Neurons(NamedTuple):
    """A layer of tanh units and a linear unit.

    Attributes:
        weights: f32[num_sources, num_units].
        biases: f32[num_units].
        strengths: f32[num_units], from the units to the linear one.
        bias: f32[], of the linear one.
    """

    weights: Array
    biases: Array
    strengths: Array
    bias: Array

    def __call__(self, *sources: Array) -> Array:
        """The linear unit's output, for each synapse, of sources f32[] or f32[num_synapses]."""
        stacked = jnp.stack(jnp.broadcast_arrays(*sources), axis=-1)
        hidden = jnp.matmul(stacked, self.weights, precision="highest")
        hidden = jnp.tanh(hidden + jnp.broadcast_to(self.biases, hidden.shape))
        return jnp.matmul(hidden, self.strengths, precision="highest") + self.bias


class NeuronRule(NamedTuple):
    """A learning rule said by neurons; made by `train_rule`.

    Attributes:
        change: of x, y, delta and the weight, by how much the weight changes.
        error: root mean square of what it is off, over the bounds.
    """

    change: Neurons
    error: float

    def __call__(self, x: Array, y: Array, delta: Array, weight: Array) -> Array:
        """The new weight."""
        return weight + self.change(x, y, delta, weight)


class FixedNeurons(NamedTuple):
    """A recurrent network with fixed weights whose rule is of neurons; made by `fixed_neurons`.

    Attributes:
        change: of x, y, delta, the weight's loop and that of the start, what is added to the weight's loop.
        multiply: of the loop and the input, their product; `None` for a product unit.
        squash: of the output unit.
    """

    change: Neurons
    multiply: Neurons | None
    squash: Callable[[Array], Array]

    def new_weight(self, x: Array, y: Array, delta: Array, weight: Array, started: Array) -> Array:
        """The signal of the weight's loop."""
        return weight + self.change(x, y, delta, weight, started)

    def product(self, weight: Array, x: Array) -> Array:
        """What the synapse gives to the output unit."""
        return weight * x if self.multiply is None else self.multiply(weight, x)


def train_rule(
    rule: Function,
    key: Key,
    *,
    bounds: Bounds = LOGISTIC_BOUNDS,
    num_units: int = 32,
    num_samples: int = 2048,
    num_steps: int = 200,
) -> NeuronRule:
    """Trains neurons to do what a learning rule does, whatever rule it is: step 2 of figure 1.

    Args:
        rule: `rule(x, y, delta, weight) -> weight`, of arrays of one shape.
        key: of the first weights, and of the samples, which are uniform.
        bounds: least and greatest x, y, delta and weight; those of a logistic unit by default.
        num_units: tanh units.
        num_samples: that the neurons are fitted to.
        num_steps: of the Levenberg-Marquardt method.

    Returns:
        The rule, which `run_changing_weight` takes, and `fixed_neurons`.

    Raises:
        ValueError: if there is no unit, or bounds are not four of a least below a greatest.

    Example:
        >>> options = {"num_units": 4, "num_samples": 128, "num_steps": 30}
        >>> hebb = train_rule(lambda x, y, d, w: w + 0.1 * x * y, jax.random.key(0), **options)
        >>> hebb.error < 0.01
        True

    Reference:
        Hagan and Menhaj, Training feedforward networks with the Marquardt algorithm, 1994.
    """
    spans = np.asarray(bounds, np.float32)
    if num_units < 1 or spans.shape != (4, 2) or not (spans[:, 0] < spans[:, 1]).all():
        raise ValueError(
            f"num_units={num_units!r}, bounds={bounds!r}: give at least one unit, and (least, greatest) of "
            "x, y, delta and the weight"
        )
    middle, half = jnp.asarray(spans.mean(1)), jnp.asarray(np.diff(spans)[:, 0] / 2)
    weights_key, biases_key, strengths_key, *sample_keys = jax.random.split(key, 5)
    first = Neurons(
        jax.random.normal(weights_key, (4, num_units), jnp.float32) / half[:, None],
        jax.random.normal(biases_key, (num_units,), jnp.float32),
        0.01 * jax.random.normal(strengths_key, (num_units,), jnp.float32),
        jnp.zeros((), jnp.float32),
    )

    def samples(key: Key) -> Array:
        u = jax.random.uniform(key, (num_samples, 4), jnp.float32, -1, 1)
        return jnp.broadcast_to(middle, u.shape) + jnp.broadcast_to(half, u.shape) * u

    def off(neurons: Neurons, sample: Array) -> Array:
        return neurons(*sample) - (rule(*sample) - sample[3])

    fitted, unseen = map(samples, sample_keys)
    neurons = jax.jit(lambda: _least_squares(off, first, fitted, num_steps))()
    errors = jax.vmap(off, (None, 0))(neurons, unseen)
    return NeuronRule(neurons, float(jnp.sqrt(jnp.square(errors).mean())))


def _least_squares(off: Callable[[Any, Array], Array], first: Any, samples: Array, num_steps: int) -> Any:
    """The params of the least mean square of `off(params, sample)`, by Levenberg and Marquardt."""
    start, unravel = ravel_pytree(first)

    def one(flat: Array, sample: Array) -> Array:
        return off(unravel(flat), sample)

    every = jax.vmap(one, (None, 0))
    slopes = jax.vmap(jax.grad(one), (None, 0))

    def step(carry: tuple[Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array], None]:
        flat, errors, damping = carry
        jacobian = slopes(flat, samples)
        normal = jacobian.T @ jacobian + damping * jnp.eye(flat.size, dtype=flat.dtype)
        tried = flat - jnp.linalg.solve(normal, jacobian.T @ errors)
        found = every(tried, samples)
        better = jnp.square(found).sum() < jnp.square(errors).sum()
        damping = jnp.clip(jnp.where(better, damping / 2, damping * 4), LEAST_DAMPING, MOST_DAMPING)
        return (jnp.where(better, tried, flat), jnp.where(better, found, errors), damping), None

    carry = start, every(start, samples), jnp.float32(DAMPING)
    return unravel(jax.lax.scan(step, carry, length=num_steps)[0][0])


def multiplying_neurons(largest_weight: float, largest_x: float = 1.0) -> Neurons:
    r"""Four neurons that multiply, which nothing has to be trained for: step 4 of figure 1.

    .. math::

        w x \approx \frac{W X}{4 h^2 \tanh''(c)}
        \sum_{s, t \in \{-1, 1\}} s \tanh\big(c + t h (w / W + s x / X)\big)

    Args:
        largest_weight: W, up to which the product is one; what is beyond is damped.
        largest_x: X, the same of inputs.

    Returns:
        Neurons of the sources w and x; within the bounds they are off by less than 1e-4 W X.

    Raises:
        ValueError: if a bound is not positive.

    Example:
        >>> multiply = multiplying_neurons(4.0)
        >>> round(float(multiply(jnp.float32(3), jnp.float32(-0.5))), 3)
        -1.5
    """
    check_above_zero(largest_weight=largest_weight, largest_x=largest_x)
    signs = np.array([1, 1, -1, -1], np.float32)
    steps = DIFFERENCE * np.array([1, -1, 1, -1], np.float32)
    weights = np.stack([steps / largest_weight, steps * signs / largest_x])
    strength = largest_weight * largest_x / (4 * DIFFERENCE**2 * CURVATURE)
    return Neurons(
        jnp.asarray(weights, jnp.float32),
        jnp.full(4, BEND, jnp.float32),
        jnp.asarray(strength * signs, jnp.float32),
        jnp.zeros((), jnp.float32),
    )


def fixed_neurons(
    rule: NeuronRule,
    squash: Callable[[Array], Array] = jax.nn.sigmoid,
    *,
    multiply: Neurons | None = None,
) -> FixedNeurons:
    """Turns a network and the neurons that say its learning rule into a network with fixed weights.

    One more unit keeps the weight as it is before the first input: while the loop of the start is 0 it and a
    bias cancel what the others, all of them then at -1, say.

    Args:
        rule: as `train_rule` gives it.
        squash: of the network's output.
        multiply: what stands for the synapse; a product unit by default, step 3 of figure 1. With
            `multiplying_neurons`, step 4, no unit multiplies.

    Returns:
        The network; `run_fixed_weights` runs it.

    Example:
        >>> from learned_opt.in_context import run_fixed_weights
        >>> still = NeuronRule(Neurons(jnp.ones((4, 2)), jnp.zeros(2), jnp.zeros(2), jnp.zeros(())), 0.0)
        >>> network = fixed_neurons(still, multiply=multiplying_neurons(4.0))
        >>> outputs, loop = run_fixed_weights(network, jnp.float32(0.5), jnp.ones((3, 2)))
        >>> loop.tolist(), network.change.weights.shape
        ([0.5, 0.5, 0.5], (5, 3))
    """
    w, b, strengths, bias = rule.change
    held = jnp.full_like(b, HOLD)
    total = strengths.sum()
    keeper = jnp.array([0, 0, 0, 0, 2 * HOLD], w.dtype)
    change = Neurons(
        jnp.column_stack([jnp.vstack([w, held[None]]), keeper]),
        jnp.append(b - held, -HOLD),
        jnp.append(strengths, (bias - total) / 2),
        (bias + total) / 2,
    )
    return FixedNeurons(change, multiply, squash)
