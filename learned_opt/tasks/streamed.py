"""Networks that are trained on batches from outside, as data that does not fit a device needs it.

References:
    He, Zhang, Ren, Sun, Deep residual learning for image recognition, CVPR 2016.
    Zhu, Groth, Bernstein, Fei-Fei, Visual7W: grounded question answering in images, CVPR 2016.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import optax

from learned_opt.core.errors import check_at_least
from learned_opt.core.types import Array, Key, Params
from learned_opt.datasets.streams.visual7w import TYPES
from learned_opt.networks.question_answering import QuestionAnswerer

StreamBatch = Mapping[str, Any]
RESNETS = {"resnet18": hk.nets.ResNet18, "resnet50": hk.nets.ResNet50}
SMALL_IMAGE = 96  # up to which the first convolution keeps the resolution


class Answers(NamedTuple):
    """What a network says of each sample of a batch.

    Attributes:
        loss: f32[B].
        right: bool[B].
    """

    loss: Array
    right: Array


class StreamedTask(NamedTuple):
    """A network with a state, such as the statistics of batch normalisation, and its loss on a batch.

    Attributes:
        init: `init(key, batch) -> (params, state)`.
        answers: `answers(params, state, batch, is_training) -> (Answers, state)`.
        groups: names of kinds of samples, for an accuracy each; batches have their numbers as `type`.

    Example:
        >>> task = image_classifier("resnet18", num_classes=3)
        >>> batch = {"image": jnp.zeros((1, 32, 32, 3), jnp.uint8), "label": jnp.zeros(1, jnp.int32)}
        >>> params, state = jax.eval_shape(task.init, jax.random.key(0), batch)
        >>> sum(leaf.size for leaf in jax.tree.leaves(params))
        11170371
    """

    init: Callable[[Key, StreamBatch], tuple[Params, Any]]
    answers: Callable[..., tuple[Answers, Any]]
    groups: tuple[str, ...] = ()


def image_classifier(network: Literal["resnet18", "resnet50"], num_classes: int) -> StreamedTask:
    """The cross-entropy of a residual network on labelled images.

    Args:
        network: `"resnet18"` or `"resnet50"`, with batch normalisation. On images of at most 96 pixels the
            first convolution is 3x3 with stride 1, otherwise 7x7 with stride 2.
        num_classes: of the labels.

    Returns:
        The task, of batches with `image` u8[B, S, S, 3] and `label` i32[B].

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> image_classifier("resnet50", num_classes=1000).groups
        ()

    Reference:
        He, Zhang, Ren, Sun, Deep residual learning for image recognition, CVPR 2016.
    """
    check_at_least(1, num_classes=num_classes)
    if network not in RESNETS:
        raise ValueError(f"network={network!r}: choose one of {', '.join(RESNETS)}")

    def logits(batch: StreamBatch, is_training: bool) -> Array:
        small = batch["image"].shape[1] <= SMALL_IMAGE
        first = {"kernel_shape": 3, "stride": 1} if small else None
        net = RESNETS[network](num_classes, initial_conv_config=first)
        return net(batch["image"].astype(jnp.float32) / 127.5 - 1, is_training=is_training)

    return _choosing(logits, "label")


def question_answerer(
    num_words: int, *, hidden_size: int = 512, channels: tuple[int, ...] = (64, 128, 256, 512)
) -> StreamedTask:
    """The cross-entropy of a `QuestionAnswerer` over the choices.

    Args:
        num_words: of the vocabulary.
        hidden_size: of the LSTM.
        channels: of the four stages of the residual network that sees the picture.

    Returns:
        The task, of the batches that `datasets.Visual7W` gives, with an accuracy for each type of question.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> question_answerer(10, hidden_size=8).groups
        ('what', 'where', 'when', 'who', 'why', 'how', 'which')

    Reference:
        Zhu, Groth, Bernstein, Fei-Fei, Visual7W: grounded question answering in images, CVPR 2016.
    """

    def scores(batch: StreamBatch, is_training: bool) -> Array:
        choices = batch["regions"] if "regions" in batch else batch["choices"]
        net = QuestionAnswerer(num_words, hidden_size=hidden_size, channels=channels)
        return net(batch["image"], batch["question"], choices, is_training=is_training)

    return _choosing(scores, "answer")._replace(groups=TYPES)


def _choosing(logits: Callable[[StreamBatch, bool], Array], right: str) -> StreamedTask:
    """A task of logits f32[B, K], of which the one that `batch[right]` names is to be the largest."""
    net = hk.transform_with_state(logits)

    def init(key: Key, batch: StreamBatch) -> tuple[Params, Any]:
        with _as_haiku_expects():
            return net.init(key, batch, True)

    def answers(params: Params, state: Any, batch: StreamBatch, is_training: bool) -> tuple[Answers, Any]:
        with _as_haiku_expects():
            found, state = net.apply(params, state, None, batch, is_training)
        losses = optax.softmax_cross_entropy_with_integer_labels(found, batch[right])
        return Answers(losses, jnp.argmax(found, axis=-1) == batch[right]), state

    return StreamedTask(init, answers)


@contextlib.contextmanager
def _as_haiku_expects() -> Iterator[None]:
    """Batch normalisation counts on dtypes and ranks that promote, whatever the user has set."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
