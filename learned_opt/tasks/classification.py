"""Image classification with a small network.

Reference:
    Andrychowicz et al., Learning to learn by gradient descent by gradient descent, NeurIPS 2016,
    section 3.2: MNIST, one hidden layer of 20 sigmoid units, batches of 128.
"""

from typing import Literal, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import optax

from learned_opt import datasets
from learned_opt.core.errors import check_at_least
from learned_opt.core.types import Array, Key, Params, Task
from learned_opt.tasks.registry import registry

ACTIVATIONS = {"sigmoid": jax.nn.sigmoid, "relu": jax.nn.relu, "tanh": jnp.tanh, "gelu": jax.nn.gelu}


class Images(NamedTuple):
    """The data of a classification task, resident on the device.

    Attributes:
        images: u8[N, height, width, channels], what minibatches are drawn from.
        labels: i32[N].
        test_images: u8[M, height, width, channels], for the metrics only.
        test_labels: i32[M].
    """

    images: Array
    labels: Array
    test_images: Array
    test_labels: Array


@registry.register
def classification(
    dataset: str = "digits",
    hidden_sizes: tuple[int, ...] = (20,),
    conv_channels: tuple[int, ...] = (),
    activation: Literal["sigmoid", "relu", "tanh", "gelu"] = "sigmoid",
    batch_size: int = 128,
    split: str = "train",
) -> Task:
    r"""Cross-entropy of a small classifier on minibatches of images.

    .. math::

        f(x) = -\frac{1}{B} \sum_{i=1}^{B} \log \operatorname{softmax}(\mathrm{net}_x(a_i))_{b_i}

    The network is `conv_channels` 3x3 convolutions (stride 2 after the first), then `hidden_sizes` linear
    layers, each followed by the activation, then a linear layer to the classes. Weights start as truncated
    normal with deviation `1 / sqrt(fan_in)`, biases at zero. Pixels are scaled to [0, 1]. A minibatch is
    drawn with replacement inside jit. All problems share data and architecture; they differ in their
    starting points and minibatches.

    Args:
        dataset: `"digits"` (8x8, comes with scikit-learn), `"mnist"` or `"fashion_mnist"`.
        hidden_sizes: units of each hidden linear layer; `()` for none.
        conv_channels: channels of each convolution; `()` for none.
        activation: `"sigmoid"`, `"relu"`, `"tanh"` or `"gelu"`.
        batch_size: images in a minibatch.
        split: what minibatches are drawn from, as tensorflow-datasets spells it (`"train[:50000]"`). The
            metrics are always measured on `"test"`.

    Returns:
        The task; params as haiku makes them; metrics `test_loss` and `test_accuracy`.

    Raises:
        ValueError: if an argument is out of its range or the data set is unknown.
        DataNotPreparedError: if the data set has not been prepared on this machine.

    Example:
        >>> task = classification("digits", hidden_sizes=(20,))
        >>> keys = jax.random.split(jax.random.key(0), 3)
        >>> problem = task.sample(keys[0])
        >>> params = task.init(keys[1], problem)
        >>> float(task.loss(params, problem, task.batch(keys[2], problem, task.data))) < 4
        True
    """
    hidden_sizes, conv_channels = tuple(hidden_sizes), tuple(conv_channels)
    for name, sizes in (("hidden_sizes", hidden_sizes), ("conv_channels", conv_channels)):
        if any(not isinstance(n, int) or n < 1 for n in sizes):
            raise ValueError(f"{name}={sizes!r}: every layer needs at least one unit")
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation={activation!r}: choose one of {', '.join(ACTIVATIONS)}")
    check_at_least(1, batch_size=batch_size)

    train, test = datasets.load(dataset, split), datasets.load(dataset, "test")
    image_shape = train.images.shape[1:]
    # Labels are 0 .. n-1, and every class has training images.
    num_classes = int(train.labels.max()) + 1
    network = hk.without_apply_rng(
        hk.transform(
            lambda images: _network(images, hidden_sizes, conv_channels, ACTIVATIONS[activation], num_classes)
        )
    )

    def init(key: Key, problem: tuple[()]) -> Params:
        del problem
        return network.init(key, jnp.zeros((1, *image_shape), jnp.uint8))

    def batch(key: Key, problem: tuple[()], data: Images) -> tuple[Array, Array]:
        del problem
        chosen = jax.random.randint(key, (batch_size,), 0, data.images.shape[0])
        return data.images[chosen], data.labels[chosen]

    def loss(params: Params, problem: tuple[()], batch: tuple[Array, Array]) -> Array:
        del problem
        images, labels = batch
        logits = network.apply(params, images)
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))

    def metrics(params: Params, problem: tuple[()], data: Images) -> dict[str, Array]:
        del problem
        logits = network.apply(params, data.test_images)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, data.test_labels)
        right = jnp.argmax(logits, axis=-1) == data.test_labels
        return {"test_loss": jnp.mean(losses), "test_accuracy": jnp.mean(right)}

    data = Images(*(jnp.asarray(a) for a in (*train, *test)))
    return Task(lambda key: (), init, batch, loss, data, metrics)


def _network(images, hidden_sizes, conv_channels, activation, num_classes):
    """u8[B, H, W, C] -> logits f32[B, num_classes]."""
    x = images.astype(jnp.float32) / 255
    for i, channels in enumerate(conv_channels):
        x = activation(hk.Conv2D(channels, kernel_shape=3, stride=1 if i == 0 else 2)(x))
    return hk.nets.MLP((*hidden_sizes, num_classes), activation=activation)(hk.Flatten()(x))
