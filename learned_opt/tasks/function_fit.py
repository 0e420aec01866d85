"""Fitting a function of few samples by a network."""

from typing import Literal

import haiku as hk
import jax
import jax.numpy as jnp

from learned_opt.core.errors import check_at_least
from learned_opt.core.types import Array, Key, Params, Task
from learned_opt.tasks.classification import ACTIVATIONS
from learned_opt.tasks.registry import registry
from learned_opt.tasks.regression import Regression, batches

NUM_SINES = 4


@registry.register
def function_fit(
    hidden_sizes: tuple[int, ...] = (16, 16),
    activation: Literal["sigmoid", "relu", "tanh", "gelu"] = "tanh",
    dim: int = 1,
    num_samples: int = 24,
    batch_size: int | None = None,
    frequency: float = 3.0,
) -> Task:
    r"""Mean squared error of a network on samples of a random sum of sines, which it can fit exactly.

    .. math::

        y(a) = \frac{1}{2} \sum_{k=1}^{4} \sin(\omega_k^\top a + \phi_k), \qquad
        \omega_k \sim N(0, \Omega^2 I), \quad \phi_k \sim U(0, 2 \pi), \quad a_i \sim U(-1, 1)^d

    Args:
        hidden_sizes: units of each hidden layer.
        activation: of the hidden layers.
        dim: d, of the inputs.
        num_samples: that a problem has.
        batch_size: samples in a minibatch, drawn with replacement; `None` for all samples each time.
        frequency: Omega, in radians; an input runs over a range of 2.

    Returns:
        The task; params as haiku makes them.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> task = function_fit(hidden_sizes=(8,))
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> problem = task.sample(keys[0])
        >>> x, batch = task.init(keys[1], problem), task.batch(keys[1], problem, ())
        >>> bool(task.loss(x, problem, batch) > 0)
        True
    """
    hidden_sizes = tuple(hidden_sizes)
    check_at_least(1, dim=dim, num_samples=num_samples)
    if batch_size is not None:
        check_at_least(1, batch_size=batch_size)
    check_at_least(1, **{f"hidden_sizes[{i}]": n for i, n in enumerate(hidden_sizes)})
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation={activation!r}: choose one of {', '.join(ACTIVATIONS)}")
    network = hk.without_apply_rng(
        hk.transform(lambda x: hk.nets.MLP((*hidden_sizes, 1), activation=ACTIVATIONS[activation])(x))
    )

    def sample(key: Key) -> Regression:
        input_key, frequency_key, phase_key = jax.random.split(key, 3)
        inputs = jax.random.uniform(input_key, (num_samples, dim), minval=-1, maxval=1)
        frequencies = frequency * jax.random.normal(frequency_key, (dim, NUM_SINES))
        phases = jax.random.uniform(phase_key, (1, NUM_SINES), maxval=2 * jnp.pi)
        return Regression(inputs, jnp.sin(inputs @ frequencies + phases).sum(-1) / 2)

    def init(key: Key, problem: Regression) -> Params:
        del problem
        return network.init(key, jnp.zeros((1, dim)))

    def loss(params: Params, problem: Regression, batch: Regression) -> Array:
        del problem
        return jnp.mean(jnp.square(network.apply(params, batch.inputs)[:, 0] - batch.targets))

    return Task(sample, init, batches(batch_size), loss)
