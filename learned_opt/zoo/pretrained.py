"""Shipped optimizers, and the cards of all that is shipped."""

import dataclasses
import json
from typing import Any, Literal

import optax

from learned_opt.core.kinds import KINDS
from learned_opt.core.types import Array, LearnedOptimizer
from learned_opt.zoo.card import Card
from learned_opt.zoo.store import Stored, folder, load

DEFAULT = "general"


def pretrained(
    name: str = DEFAULT,
    *,
    num_steps: int | Array | None = None,
    learning_rate: optax.ScalarOrSchedule = 1.0,
    weight_decay: float | None = None,
    momentum_dtype: Literal["float32", "bfloat16"] | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""A shipped optimizer, used where `optax.adam(1e-3)` stood.

    .. math::

        u_t = \eta_t\, u_t^{\mathrm{learned}}(N, \lambda)

    Args:
        name: one of `available()`, a run or a file; by default the most general one.
        num_steps: N, the length of the run; the updates then end at zero. `general` and `general-lite` plan
            them, those of the others are multiplied by half a cosine. `None` where it is not known.
        learning_rate: eta, a factor on the updates, or an optax schedule of it. 1 is the step size that
            the optimizer was meta-trained with.
        weight_decay: lambda, for `general` and `general-lite`: in each step a parameter also shrinks by this
            times its tensor's relative step (the size of the update over that of the tensor), times eta.
        momentum_dtype: for `general` and `general-lite`: with "bfloat16" their state takes eight bytes a
            parameter in place of twelve.

    Returns:
        An optax transformation.

    Raises:
        ValueError: if the name is unknown (with the nearest match), `num_steps` is below 1, `weight_decay` is
            negative, or it or `momentum_dtype` is given for a rule without it.

    Example:
        >>> import jax.numpy as jnp
        >>> tx = pretrained(num_steps=1000, weight_decay=0.1)
        >>> params = {"w": jnp.ones(3)}
        >>> state = tx.init(params)
        >>> updates, state = tx.update({"w": jnp.ones(3)}, state, params)
        >>> updates["w"].shape
        (3,)
    """
    stored = load(name, "optimizer")
    given = {"weight_decay": weight_decay, "momentum_dtype": momentum_dtype}
    given = {option: value for option, value in given.items() if value is not None}
    lopt = _with_options(name, stored, given) if given else stored.lopt
    return optax.chain(
        lopt.build(stored.theta, num_steps=num_steps),
        # The learned update already points downhill.
        optax.scale_by_learning_rate(learning_rate, flip_sign=False),
    )


def _with_options(name: str, stored: Stored, options: dict[str, Any]) -> LearnedOptimizer:
    model = stored.config.model
    for option, value in options.items():
        if not hasattr(model, option):
            raise ValueError(
                f"{option}={value!r}: {name} is a {model.name}, which has none; for a decay put "
                "optax.add_decayed_weights of minus the decay behind it"
            )
    return dataclasses.replace(model, **options).make()


def available(kind: str | None = "optimizer") -> dict[str, Card]:
    """The cards of what is shipped: what each was trained on, how far it holds, where it fails.

    Args:
        kind: the shipped optimizers by default; a name in `core.kinds.KINDS`, or `None` for all kinds.

    Returns:
        The cards by name.

    Example:
        >>> {"general", "general-lite"} <= set(available())
        True
        >>> available()["lstm-mnist"].horizon
        100
        >>> available("weight memory")["weight-memory"].config.model.num_inputs
        4
    """
    kinds = KINDS if kind is None else (kind,)
    paths = (p for kind in kinds for p in sorted(folder(kind).glob("*.json"), key=lambda path: path.stem))
    return {path.stem: Card.from_json(json.loads(path.read_text())) for path in paths}
