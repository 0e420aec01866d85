"""Image classification with a small network.

Reference:
    Andrychowicz et al., Learning to learn by gradient descent by gradient descent, NeurIPS 2016,
    section 3.2: MNIST, one hidden layer of 20 sigmoid units, batches of 128.
"""

from typing import Any, Literal, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import optax

from learned_opt import datasets
from learned_opt.core.errors import check_at_least
from learned_opt.core.types import Array, Key, Params, Task
from learned_opt.networks.convolution import Convolution
from learned_opt.tasks.image_features import principal_components
from learned_opt.tasks.registry import registry

ACTIVATIONS = {"sigmoid": jax.nn.sigmoid, "relu": jax.nn.relu, "tanh": jnp.tanh, "gelu": jax.nn.gelu}


class Images(NamedTuple):
    """The data of a classification task, resident on the device.

    Attributes:
        images: u8[N, height, width, channels], what minibatches are drawn from; or f32[N, k], components.
        labels: i32[N].
        test_images: u8[M, height, width, channels], for the metrics only; or f32[M, k].
        test_labels: i32[M].
    """

    images: Array
    labels: Array
    test_images: Array
    test_labels: Array


class Samples(NamedTuple):
    """What a problem of few samples or of noisy labels has of its own.

    Attributes:
        indices: i32[num_samples] of its images; `None` where it has all.
        noise: u32[2], the data of a key that decides on labels; `None` where they are right.
    """

    indices: Array | None
    noise: Array | None


@registry.register
def classification(
    dataset: str = "digits",
    hidden_sizes: tuple[int, ...] = (20,),
    conv_channels: tuple[int, ...] = (),
    activation: Literal["sigmoid", "relu", "tanh", "gelu"] = "sigmoid",
    batch_size: int = 128,
    split: str = "train",
    num_samples: int | None = None,
    label_noise: float = 0.0,
    num_components: int | None = None,
) -> Task:
    r"""Cross-entropy of a small classifier on minibatches of images.

    .. math::

        f(x) = -\frac{1}{B} \sum_{i=1}^{B} \log \operatorname{softmax}(\mathrm{net}_x(a_i))_{b_i}

    The network is `conv_channels` 3x3 convolutions (stride 2 after the first), then `hidden_sizes` linear
    layers, each followed by the activation, then a linear layer to the classes. Weights start as truncated
    normal with deviation `1 / sqrt(fan_in)`, biases at zero. Pixels are scaled to [0, 1]. A minibatch is
    drawn with replacement inside jit. All problems share data and architecture; they differ in their
    starting points and minibatches, and in which samples they have and which labels are wrong, if not all are
    right.

    Args:
        dataset: `"digits"` (8x8, comes with scikit-learn), `"mnist"` or `"fashion_mnist"`.
        hidden_sizes: units of each hidden linear layer; `()` for none.
        conv_channels: channels of each convolution; `()` for none.
        activation: `"sigmoid"`, `"relu"`, `"tanh"` or `"gelu"`.
        batch_size: images in a minibatch.
        split: what minibatches are drawn from, as tensorflow-datasets spells it (`"train[:50000]"`). The
            metrics are always measured on `"test"`.
        num_samples: images that a problem has, drawn for it; a batch of as many or more is all of them.
        label_noise: the share of images that have a label drawn at random instead, the same throughout a
            problem; not in the metrics.
        num_components: principal components of the images that the network sees in place of pixels.

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
    _check(hidden_sizes, conv_channels, activation, num_components)
    check_at_least(1, batch_size=batch_size, **{} if num_samples is None else {"num_samples": num_samples})
    if not 0 <= label_noise <= 1:
        raise ValueError(f"label_noise={label_noise!r}: give a share from 0 to 1")
    data = _load(dataset, split, num_components)
    # Labels are 0 .. n-1, and every class has training images.
    num_images, num_classes = len(data.labels), int(data.labels.max()) + 1
    network = hk.without_apply_rng(
        hk.transform(
            lambda images: _network(images, hidden_sizes, conv_channels, ACTIVATIONS[activation], num_classes)
        )
    )
    like = jax.ShapeDtypeStruct((1, *data.images.shape[1:]), data.images.dtype)

    def sample(key: Key) -> Samples | tuple[()]:
        if num_samples is None and not label_noise:
            return ()
        indices_key, noise_key = jax.random.split(key)
        few = None if num_samples is None else jax.random.randint(indices_key, (num_samples,), 0, num_images)
        return Samples(few, jax.random.key_data(noise_key) if label_noise else None)

    def init(key: Key, problem: Samples | tuple[()]) -> Params:
        del problem
        return network.init(key, jnp.zeros(like.shape, like.dtype))

    def batch(key: Key, problem: Samples | tuple[()], data: Images) -> tuple[Array, Array]:
        few = problem.indices if problem else None
        if few is None:
            chosen = jax.random.randint(key, (batch_size,), 0, data.images.shape[0])
        elif batch_size >= len(few):
            chosen = few
        else:
            chosen = few[jax.random.randint(key, (batch_size,), 0, len(few))]
        labels = data.labels[chosen]
        if problem and problem.noise is not None:
            labels = _noisy(problem.noise, chosen, labels, label_noise, num_classes)
        return data.images[chosen], labels

    def loss(params: Params, problem: Any, batch: tuple[Array, Array]) -> Array:
        del problem
        images, labels = batch
        logits = network.apply(params, images)
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))

    def metrics(params: Params, problem: Any, data: Images) -> dict[str, Array]:
        del problem
        logits = network.apply(params, data.test_images)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, data.test_labels)
        right = jnp.argmax(logits, axis=-1) == data.test_labels
        return {"test_loss": jnp.mean(losses), "test_accuracy": jnp.mean(right)}

    return Task(sample, init, batch, loss, data, metrics)


def _check(hidden_sizes, conv_channels, activation, num_components) -> None:
    for name, sizes in (("hidden_sizes", hidden_sizes), ("conv_channels", conv_channels)):
        if any(not isinstance(n, int) or n < 1 for n in sizes):
            raise ValueError(f"{name}={sizes!r}: every layer needs at least one unit")
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation={activation!r}: choose one of {', '.join(ACTIVATIONS)}")
    if conv_channels and num_components is not None:
        raise ValueError(f"num_components={num_components!r}: a convolution needs pixels; leave it out")


def _load(dataset: str, split: str, num_components: int | None) -> Images:
    train, test = datasets.load(dataset, split), datasets.load(dataset, "test")
    if num_components is not None:
        features = principal_components(train.images, num_components)
        train, test = (part._replace(images=features(part.images)) for part in (train, test))
    return Images(*(jnp.asarray(a) for a in (*train, *test)))


def _noisy(noise: Array, chosen: Array, labels: Array, share: float, num_classes: int) -> Array:
    """Labels of which a share is drawn at random, each image's always the same."""

    def one(image: Array, label: Array) -> Array:
        wrong_key, label_key = jax.random.split(jax.random.fold_in(jax.random.wrap_key_data(noise), image))
        drawn = jax.random.randint(label_key, (), 0, num_classes)
        return jnp.where(jax.random.uniform(wrong_key) < share, drawn, label)

    return jax.vmap(one)(chosen, labels)


def _network(images, hidden_sizes, conv_channels, activation, num_classes):
    """u8[B, H, W, C] or f32[B, k] -> logits f32[B, num_classes]."""
    x = images if jnp.issubdtype(images.dtype, jnp.floating) else images.astype(jnp.float32) / 255
    for i, channels in enumerate(conv_channels):
        x = activation(Convolution(channels, stride=1 if i == 0 else 2)(x))
    return hk.nets.MLP((*hidden_sizes, num_classes), activation=activation)(hk.Flatten()(x))
