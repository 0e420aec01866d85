"""What can be meta-trained: one trainer, one store and one command line serve all kinds.

A kind is a type of model with the tasks that it is trained on. It registers itself where it is defined, so
that what lies below, such as the store, knows it without importing it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from learned_opt.core.errors import unknown_name
from learned_opt.core.registry import Registry
from learned_opt.core.types import Data, Estimator, Key, Theta


class Trainable(NamedTuple):
    """What the trainer sees of a model and its task.

    Attributes:
        init: `init(key) -> theta`.
        estimator: of the meta-gradient.
        validate: `validate(theta) -> {"loss": float, ...}`. Theta is selected by the loss; all else is
            reported beside it.
        data: passed to the estimator, whole on every device.
    """

    init: Callable[[Key], Theta]
    estimator: Estimator
    validate: Callable[[Theta], dict[str, Any]]
    data: Data = ()


class Kind(NamedTuple):
    """A kind of thing that can be meta-trained.

    Attributes:
        name: such as `"weight memory"`.
        plural: of the name.
        model: the type of its models.
        models: their registry.
        tasks: the registry of what they are trained on.
        estimators: names of the estimators that it can be trained by, the default first.
        trainable: `trainable(model, task, validation_task, settings, mesh) -> Trainable`.
    """

    name: str
    plural: str
    model: type
    models: Registry
    tasks: Registry
    estimators: tuple[str, ...]
    trainable: Callable[..., Trainable]


KINDS: dict[str, Kind] = {}


def register_kind(kind: Kind) -> Kind:
    """Adds a kind to `KINDS`, and returns it."""
    KINDS[kind.name] = kind
    return kind


def kind_named(name: str) -> Kind:
    """The kind of a name; a `ValueError` with the nearest match if there is none."""
    if name not in KINDS:
        raise unknown_name("kind", name, KINDS)
    return KINDS[name]


def kind_of(model: Any) -> Kind:
    """The kind of a model, such as what `optimizers.lstm()` returns; `TypeError` if it is of none."""
    for kind in KINDS.values():
        if isinstance(model, kind.model):
            return kind
    known = ", ".join(kind.model.__name__ for kind in KINDS.values())
    raise TypeError(f"{type(model).__name__} is nothing that can be meta-trained; give one of: {known}")


def kind_of_config(config: Any) -> Kind:
    """The kind of a model's configuration; `TypeError` if it is of none."""
    for kind in KINDS.values():
        if type(config) in kind.models.configs.values():
            return kind
    raise TypeError(f"{config!r} is no configuration of anything that can be meta-trained")
