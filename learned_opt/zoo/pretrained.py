"""Shipped optimizers, and the cards of all that is shipped."""

import json
from typing import Any

import optax

from learned_opt.core.kinds import KINDS
from learned_opt.zoo.card import Card
from learned_opt.zoo.store import folder, load

DEFAULT = "lstm-general"


def pretrained(
    name: str = DEFAULT, *, num_steps: Any = None, learning_rate: Any = 1.0
) -> optax.GradientTransformationExtraArgs:
    r"""A shipped optimizer, used where `optax.adam(1e-3)` stood.

    .. math::

        u_t = \eta_t\, \frac{1 + \cos(\pi t / N)}{2}\, u_t^{\mathrm{learned}}

    Args:
        name: one of `available()`, a run or a file; by default the most general one.
        num_steps: N, the length of the run; the updates then decay to zero over it. `None` for no decay.
        learning_rate: eta, a factor on the updates, or an optax schedule of it. 1 is the step size that
            the optimizer was meta-trained with.

    Returns:
        An optax transformation.

    Raises:
        ValueError: if the name is unknown (with the nearest match) or `num_steps` is below 1.

    Example:
        >>> import jax.numpy as jnp
        >>> tx = pretrained("lstm-mnist", num_steps=1000)
        >>> params = {"w": jnp.ones(3)}
        >>> state = tx.init(params)
        >>> updates, state = tx.update({"w": jnp.ones(3)}, state, params)
        >>> updates["w"].shape
        (3,)
    """
    stored = load(name, "optimizer")
    return optax.chain(
        stored.lopt.build(stored.theta, num_steps=num_steps),
        # The learned update already points downhill.
        optax.scale_by_learning_rate(learning_rate, flip_sign=False),
    )


def available(kind: str | None = "optimizer") -> dict[str, Card]:
    """The cards of what is shipped: what each was trained on, how far it holds, where it fails.

    Args:
        kind: the shipped optimizers by default; a name in `core.kinds.KINDS`, or `None` for all kinds.

    Returns:
        The cards by name.

    Example:
        >>> sorted(available())[:3]
        ['lstm-general', 'lstm-mnist', 'lstm-quadratic']
        >>> available()["lstm-mnist"].horizon
        100
        >>> available("weight memory")["weight-memory"].config.model.num_inputs
        4
    """
    kinds = KINDS if kind is None else (kind,)
    paths = (path for kind in kinds for path in sorted(folder(kind).glob("*.json")))
    return {path.stem: Card.from_json(json.loads(path.read_text())) for path in paths}
