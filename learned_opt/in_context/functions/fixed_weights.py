r"""From a network that changes its weight to one whose weights are fixed and that does the same.

A synapse and its learning rule become signals: the weight runs round a loop of strength 1, the synapse is
a product unit, which multiplies the loop's signal with the input, and the rule is a layer of product units
and a sum, whose weights are the rule's coefficients. A change of a weight is then a change of state.

Reference:
    Younger, Hochreiter and Conwell, Meta-learning with backpropagation, IJCNN 2001, figure 1. Deviations: the
    rule is a polynomial, which product units compute exactly, where the paper appeals to universal
    approximation (`neurons.py` has that); the timing, which the figure leaves out, is that of the function
    learners: a target arrives with the next input, and two more loops keep the input and the output until
    then. The figure has one synapse; of several, each has a loop and a copy of the rule, and the output unit
    sums over them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from learned_opt.core.types import Array

# new weight = sum of coefficient * x^a y^b delta^c weight^d over {(a, b, c, d): coefficient}
Rule = Mapping[tuple[int, int, int, int], float]


class FixedNetwork(Protocol):
    """What `run_fixed_weights` runs; arrays are f32[] or f32[num_synapses]."""

    @property
    def squash(self) -> Any:
        """Of the output unit, `squash(f32[]) -> f32[]`."""
        ...

    def new_weight(self, x: Array, y: Array, delta: Array, weight: Array, started: Array) -> Array:
        """The signal of the weight's loop; as it was where `started` is 0."""
        ...

    def product(self, weight: Array, x: Array) -> Array:
        """What a synapse gives to the output unit."""
        ...


class FixedWeights(NamedTuple):
    """A recurrent network of product units with fixed weights; made by `fixed_weight_network`.

    The learning layer makes the loop's new signal from the last step's signals, the synapse the output. A
    loop that is 0 at the first input and 1 from then on keeps the rule still until there is something to
    learn from: every unit of the rule is connected to it, and one unit of strength 1 and one of -1 hold the
    weight.

    Attributes:
        connections: i32[num_products, 5], how often each product unit is connected to x, y, delta, the
            weight's loop and that of the start.
        strengths: f32[num_products], the weights from the product units to the loop.
        squash: of the output unit.
    """

    connections: np.ndarray
    strengths: np.ndarray
    squash: Callable[[Array], Array]

    def new_weight(self, x: Array, y: Array, delta: Array, weight: Array, started: Array) -> Array:
        """The signal of the weight's loop."""
        sources = jnp.broadcast_arrays(x, y, delta, weight, started)
        products = jnp.stack([_product_unit(sources, row) for row in self.connections], axis=-1)
        return products @ jnp.asarray(self.strengths)

    def product(self, weight: Array, x: Array) -> Array:
        """What a synapse gives to the output unit."""
        return _product_unit([weight, x], np.ones(2, np.int32))


class Signals(NamedTuple):
    """What runs in the network's loops, each f32[]; of several synapses the first two f32[num_synapses]."""

    weight: Array  # what was a weight
    x: Array  # the last input
    y: Array  # the last output
    started: Array  # 0 before the first input and 1 from then on


def delta_rule(learning_rate: float) -> dict[tuple[int, int, int, int], float]:
    r"""Gradient descent on the squared error of a logistic unit.

    .. math::

        w' = w + \eta\, \delta\, y (1 - y)\, x

    Args:
        learning_rate: eta.

    Returns:
        The rule, coefficients by the exponents of x, y, delta and w.

    Example:
        >>> delta_rule(0.5)
        {(0, 0, 0, 1): 1.0, (1, 1, 1, 0): 0.5, (1, 2, 1, 0): -0.5}
    """
    return {(0, 0, 0, 1): 1.0, (1, 1, 1, 0): learning_rate, (1, 2, 1, 0): -learning_rate}


def fixed_weight_network(rule: Rule, squash: Callable[[Array], Array] = jax.nn.sigmoid) -> FixedWeights:
    """Turns a one-synapse network and its learning rule into a network with fixed weights.

    Args:
        rule: the new weight as a polynomial of x, y, delta and the weight: coefficients by exponents.
        squash: of the network's output.

    Returns:
        The network; `run_fixed_weights` runs it.

    Raises:
        ValueError: if the rule has no term, or exponents that are not four whole numbers from 0.

    Example:
        >>> network = fixed_weight_network(delta_rule(0.5))
        >>> network.connections.tolist(), network.strengths.tolist()
        ([[1, 1, 1, 0, 1], [1, 2, 1, 0, 1], [0, 0, 0, 1, 0]], [0.5, -0.5, 1.0])
    """
    if not rule:
        raise ValueError("the rule has no term; {(0, 0, 0, 1): 1.0} leaves the weight as it is")
    for exponents in rule:
        if len(exponents) != 4 or any(not isinstance(n, int) or n < 0 for n in exponents):
            raise ValueError(
                f"exponents={exponents!r}: give four whole numbers from 0, of x, y, delta and the weight"
            )
    terms = {(*exponents, 1): strength for exponents, strength in rule.items()}
    still = {(0, 0, 0, 1, 0): 1.0, (0, 0, 0, 1, 1): -1.0}
    terms = {c: terms.get(c, 0.0) + still.get(c, 0.0) for c in {**terms, **still}}
    kept = {c: strength for c, strength in terms.items() if strength}
    return FixedWeights(np.array(list(kept), np.int32), np.array(list(kept.values()), np.float32), squash)


def run_fixed_weights(network: FixedNetwork, weight: Array, inputs: Array) -> tuple[Array, Array]:
    """Runs a fixed-weight network along a sequence; no weight changes.

    Args:
        network: of product units, or of neurons.
        weight: f32[], what the loop starts with; of several synapses f32[num_synapses].
        inputs: f32[T, num_synapses + 1]: x, and the target of the x before.

    Returns:
        The outputs f32[T], and the signal in the weight's loop f32[T], or f32[T, num_synapses].

    Example:
        >>> network = fixed_weight_network(delta_rule(4.0))
        >>> outputs, _ = run_fixed_weights(network, jnp.float32(0), jnp.ones((3, 2)))
        >>> [round(float(y), 2) for y in outputs]
        [0.5, 0.62, 0.7]
        >>> run_fixed_weights(network, jnp.zeros(3), jnp.ones((5, 4)))[1].shape
        (5, 3)
    """

    def step(signals: Signals, both: Array) -> tuple[Signals, tuple[Array, Array]]:
        x, target = both[:-1].reshape(weight.shape), both[-1]
        delta = target - signals.y
        new = network.new_weight(signals.x, signals.y, delta, signals.weight, signals.started)
        y = network.squash(jnp.sum(network.product(new, x)))
        return Signals(new, x, y, jnp.float32(1)), (y, new)

    zero = jnp.float32(0)
    return jax.lax.scan(step, Signals(weight, jnp.zeros_like(weight), zero, zero), inputs)[1]


def run_changing_weight(
    rule: Callable[[Array, Array, Array, Array], Array],
    squash: Callable[[Array], Array],
    weight: Array,
    xs: Array,
    targets: Array,
) -> tuple[Array, Array]:
    """Runs what the construction starts from: synapses whose weights their learning rule changes.

    Args:
        rule: `rule(x, y, delta, weight) -> weight`, after every example, at every synapse.
        squash: of the output.
        weight: f32[], at the start; of several synapses f32[num_synapses].
        xs: f32[T], or f32[T, num_synapses].
        targets: f32[T].

    Returns:
        The outputs f32[T], and the weight that made each, f32[T], or f32[T, num_synapses].

    Example:
        >>> outputs, weights = run_changing_weight(
        ...     lambda x, y, delta, w: w + delta * x, jnp.tanh, jnp.float32(0), jnp.ones(2), jnp.ones(2)
        ... )
        >>> weights.tolist()
        [0.0, 1.0]
    """

    def step(weight: Array, example: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        x, target = example
        y = squash(jnp.sum(weight * x))
        return rule(x, y, target - y, weight), (y, weight)

    return jax.lax.scan(step, weight, (xs, targets))[1]


def _product_unit(sources: Sequence[Array], connections: np.ndarray) -> Array:
    """The product of what a unit is connected to; a source counts once a connection."""
    product = jnp.ones_like(sources[0])
    for source, count in zip(sources, connections, strict=True):
        for _ in range(int(count)):
            product = product * source
    return product
