"""Autoencoders of images.

Reference:
    Hinton, Salakhutdinov, Reducing the dimensionality of data with neural networks, Science 313, 2006.
"""

from typing import Literal

import haiku as hk
import jax
import jax.numpy as jnp

from learned_opt import datasets
from learned_opt.core.errors import check_at_least
from learned_opt.core.types import Array, Key, Params, Task
from learned_opt.tasks.classification import ACTIVATIONS
from learned_opt.tasks.image_features import principal_components
from learned_opt.tasks.registry import registry


@registry.register
def autoencoder(
    dataset: str = "digits",
    hidden_sizes: tuple[int, ...] = (12, 6, 12),
    activation: Literal["sigmoid", "relu", "tanh", "gelu"] = "tanh",
    batch_size: int = 32,
    num_components: int = 24,
    split: str = "train",
) -> Task:
    r"""Mean squared error of images that have gone through a narrow network.

    .. math::

        f(x) = \frac{1}{B K} \sum_{i=1}^{B} \lVert \mathrm{net}_x(a_i) - a_i \rVert^2

    The images are their first K principal components, of mean square 1. The network is fully connected, as
    that of `classification`. All problems share data and architecture.

    Args:
        dataset: `"digits"`, `"mnist"` or `"fashion_mnist"`.
        hidden_sizes: units of each hidden layer.
        activation: of the hidden layers.
        batch_size: images in a minibatch, drawn with replacement.
        num_components: K.
        split: what minibatches are drawn from, as tensorflow-datasets spells it.

    Returns:
        The task; params as haiku makes them; its data is f32[N, K].

    Raises:
        ValueError: if an argument is out of its range or the data set is unknown.
        DataNotPreparedError: if the data set has not been prepared on this machine.

    Example:
        >>> task = autoencoder()
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> x, batch = task.init(keys[0], ()), task.batch(keys[1], (), task.data)
        >>> bool(0.5 < task.loss(x, (), batch) < 5)
        True
    """
    hidden_sizes = tuple(hidden_sizes)
    check_at_least(1, batch_size=batch_size, **{f"hidden_sizes[{i}]": n for i, n in enumerate(hidden_sizes)})
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation={activation!r}: choose one of {', '.join(ACTIVATIONS)}")
    images = datasets.load(dataset, split).images
    data = jnp.asarray(principal_components(images, num_components)(images))
    network = hk.without_apply_rng(
        hk.transform(
            lambda x: hk.nets.MLP((*hidden_sizes, num_components), activation=ACTIVATIONS[activation])(x)
        )
    )

    def init(key: Key, problem: tuple[()]) -> Params:
        del problem
        return network.init(key, jnp.zeros((1, num_components)))

    def batch(key: Key, problem: tuple[()], data: Array) -> Array:
        del problem
        return data[jax.random.randint(key, (batch_size,), 0, data.shape[0])]

    def loss(params: Params, problem: tuple[()], batch: Array) -> Array:
        del problem
        return jnp.mean(jnp.square(network.apply(params, batch) - batch))

    return Task(lambda key: (), init, batch, loss, data)
