"""What a weight memory's targets are: two classes, several, or numbers."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from learned_opt.core.errors import unknown_name
from learned_opt.core.types import Array

Name = Literal["binary", "classes", "numbers"]


class Targets(NamedTuple):
    """A kind of target: how the learner sees it, and what an output costs.

    Attributes:
        name: `"binary"`, 0 or 1; `"classes"`, numbered from 0; or `"numbers"`, real ones.
        num_outputs: of the model: f32[] where it is 1, else f32[num_outputs].
        shown: `shown(target) -> f32[num_outputs]`, what the learner sees of a target: zeros mean none.
        said: `said(outputs) -> f32[num_outputs]`, what it sees of the model's prediction, on the same scale.
        loss: `loss(outputs, targets) -> losses`, of samples side by side: cross entropy or squared error.
    """

    name: str
    num_outputs: int
    shown: Callable[[Array], Array]
    said: Callable[[Array], Array]
    loss: Callable[[Array, Array], Array]


def targets_of(name: str, num_classes: int) -> Targets:
    """The kind of a name; a `ValueError` if there is none, or classes are fewer than two."""
    if name == "binary":
        return Targets(
            name,
            1,
            lambda target: (2 * target - 1)[None],
            lambda logit: (2 * jax.nn.sigmoid(logit) - 1)[None],
            optax.sigmoid_binary_cross_entropy,
        )
    if name == "classes":
        if num_classes < 2:
            raise ValueError(f"num_classes={num_classes!r}: give at least 2")
        return Targets(
            name,
            num_classes,
            lambda target: 2 * jax.nn.one_hot(_class(target), num_classes, dtype=jnp.float32) - 1,
            lambda logits: 2 * jax.nn.softmax(logits) - 1,
            lambda logits, targets: optax.softmax_cross_entropy_with_integer_labels(logits, _class(targets)),
        )
    if name == "numbers":
        return Targets(
            name, 1, lambda target: target[None], lambda output: output[None], lambda z, y: jnp.square(z - y)
        )
    raise unknown_name("targets", name, ("binary", "classes", "numbers"))


def _class(target: Array) -> Array:
    """Of a target that is hidden, which may be no number, some class."""
    return jnp.where(jnp.isfinite(target), target, 0).astype(jnp.int32)
