"""The MNIST and Fashion-MNIST tasks of VeLOdrome, with what tuned baselines reached on them.

Reference:
    Metz et al., VeLO: training versatile learned optimizers by scaling up, 2022. Tasks and numbers: the
    repository google/learned_optimization (Apache-2.0), `tasks/fixed/image_mlp.py` and `image_mlp_ae.py`,
    and `baselines/data/speedup_over_multiple_baselines.json`.

The first 80 % of the training images in [0, 1], in batches of 128 without replacement, every epoch in another
order; networks of haiku's `nets.MLP` with ReLU. The envelopes in velodrome.json are the lowest training
losses by each step among Adam with constant, square-root and exponentially decaying rates, and RAdam, 15
rates each: means over five seeds of the loss on five batches of the training images, measured every ten
steps, exponentially averaged with .95.
"""

import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.suites.generalization.curves import Curves
from benchmarks.suites.generalization.tasks.trial import At, Trial
from learned_opt import datasets
from learned_opt.core.types import Array, Key, Params, Task

BATCH_SIZE, TRAIN_SHARE = 128, 0.8
EVERY, BATCHES, DECAY = 10, 5, 0.95  # steps between measurements, batches of one, and their average
HORIZONS = (2000, 10_000)
ENVELOPES = json.loads((Path(__file__).parent / "velodrome.json").read_text(encoding="utf-8"))


class Images(NamedTuple):
    """The images to train on, f32[n, height, width, 1] in [0, 1], and their labels, of numpy or of jax."""

    images: Any
    labels: Any


def classifier(dataset: str, size: int, hidden_sizes: tuple[int, ...]) -> Task:
    network = hk.without_apply_rng(hk.transform(lambda x: hk.nets.MLP((*hidden_sizes, 10))(hk.Flatten()(x))))

    def loss(params: Params, batch: Images) -> Array:
        logits = network.apply(params, batch.images)
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels))

    return in_epochs(dataset, size, lambda key, images: network.init(key, images), loss)


def autoencoder(dataset: str, hidden_sizes: tuple[int, ...]) -> Task:
    def outputs(x: Array) -> Array:
        flat = hk.Flatten()(x)
        return jax.nn.sigmoid(hk.nets.MLP((*hidden_sizes, flat.shape[-1]))(flat))

    network = hk.without_apply_rng(hk.transform(outputs))

    def loss(params: Params, batch: Images) -> Array:
        flat = batch.images.reshape(batch.images.shape[0], -1)
        return jnp.mean(jnp.square(flat - network.apply(params, batch.images)))

    return in_epochs(dataset, 28, lambda key, images: network.init(key, images), loss)


def in_epochs(dataset: str, size: int, init, loss) -> Task:
    """A task on batches in the order of epochs, each of whole batches."""
    images = _images(dataset, size)
    count = len(images.labels)
    per_epoch = count // BATCH_SIZE

    def sample(key: Key) -> At:
        return At(key, jnp.zeros([], jnp.int32))

    def batch(key: Key, problem: At, data: Images) -> Images:
        del key
        epoch, place = problem.step // per_epoch, problem.step % per_epoch
        rows = place * BATCH_SIZE + jnp.arange(BATCH_SIZE)
        return jax.tree.map(
            lambda array: array[shuffled(rows, jax.random.fold_in(problem.problem, epoch), count)], data
        )

    def metrics(params: Params, problem: At, data: Images) -> dict[str, Array]:
        key = jax.random.fold_in(jax.random.fold_in(problem.problem, 0xE7A1), problem.step)
        chosen = jax.random.randint(key, (BATCHES * BATCH_SIZE,), 0, count)
        return {"train": loss(params, jax.tree.map(lambda array: array[chosen], data))}

    first = jnp.asarray(images.images[:1])
    return Task(
        sample,
        lambda key, problem: init(key, first),
        batch,
        lambda params, problem, batch: loss(params, batch),
        Images(*map(jnp.asarray, images)),
        metrics,
    )


def shuffled(places: Array, key: Key, count: int) -> Array:
    """The rows at some places of a random order of `count` rows, without making the whole order.

    A network of Feistel on a power of four at least as large, walked until the row is one of the `count`.
    """
    half = (int(count - 1).bit_length() + 1) // 2
    mask = 2**half - 1
    keys = jax.random.bits(key, (4,))

    def permuted(x: Array) -> Array:
        left, right = x >> half, x & mask
        for k in keys:
            mixed = (right ^ k) * jnp.uint32(0x9E3779B1)
            mixed = (mixed ^ (mixed >> 15)) * jnp.uint32(0x85EBCA77)
            left, right = right, left ^ ((mixed ^ (mixed >> 13)) & mask)
        return (left << half) | right

    def walked(x: Array) -> Array:
        return jax.lax.while_loop(
            lambda x: jnp.any(x >= count), lambda x: jnp.where(x >= count, permuted(x), x), permuted(x)
        )

    return walked(places.astype(jnp.uint32)).astype(jnp.int32)


@functools.cache
def _images(dataset: str, size: int) -> Images:
    data = datasets.load(dataset, f"train[:{TRAIN_SHARE:.0%}]")
    images = np.asarray(data.images, np.float32) / 255
    if size != images.shape[1]:
        # As tf.image.resize does by default.
        images = jax.image.resize(images, (len(images), size, size, 1), "bilinear", antialias=False)
    return Images(np.asarray(images), data.labels)


def averaged(losses: np.ndarray) -> np.ndarray:
    """Exponentially averaged losses f[..., n], from the first on."""
    found = np.array(losses, np.float64)
    for i in range(1, found.shape[-1]):
        found[..., i] = DECAY * found[..., i - 1] + (1 - DECAY) * found[..., i]
    return found


def thinned(curves: Curves) -> Curves:
    """The averaged losses, at every tenth measurement."""
    return Curves(curves.steps[::10], averaged(curves.train)[..., ::10], None)


def steps_of_baselines(task: str, loss: float) -> float:
    """The step at which the tuned baselines reach a loss; their last where they never do."""
    envelope = ENVELOPES["envelopes"][task]
    losses = np.asarray(envelope["loss"])[::-1]
    return float(np.interp(loss, losses, np.asarray(envelope["steps"], np.float64)[::-1]))


MAKERS = {
    "ImageMLP_FashionMnist8_Relu32": functools.partial(classifier, "fashion_mnist", 8, (32,)),
    "ImageMLP_FashionMnist_Relu128x128": functools.partial(classifier, "fashion_mnist", 28, (128, 128)),
    "ImageMLP_Mnist_128x128x128_Relu": functools.partial(classifier, "mnist", 28, (128, 128, 128)),
    "ImageMLPAE_FashionMnist_128x32x128_bs128": functools.partial(
        autoencoder, "fashion_mnist", (128, 32, 128)
    ),
    "ImageMLPAE_Mnist_128x32x128_bs128": functools.partial(autoencoder, "mnist", (128, 32, 128)),
}
PREFIX = "velodrome-"
TRIALS = tuple(
    Trial(
        f"{PREFIX}{name}", "between", steps, make, name, ("fashion_mnist" if "Fashion" in name else "mnist",)
    )
    for name, make in MAKERS.items()
    for steps in HORIZONS
)
