"""Shipped optimizers: weights and a card for each, inside the package."""

import functools
import json
from pathlib import Path
from typing import Any

import optax

from learned_opt import runs
from learned_opt.core.errors import unknown_name
from learned_opt.zoo.store import Stored, load

WEIGHTS = Path(__file__).parent / "weights"
DEFAULT = "lstm-general"


def pretrained(
    name: str = DEFAULT, *, num_steps: Any = None, learning_rate: Any = 1.0
) -> optax.GradientTransformationExtraArgs:
    r"""A shipped optimizer, used where `optax.adam(1e-3)` stood.

    .. math::

        u_t = \eta_t\, \frac{1 + \cos(\pi t / N)}{2}\, u_t^{\mathrm{learned}}

    Args:
        name: one of `available()`; by default the most general one.
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
    lopt, theta = shipped(name)
    return optax.chain(
        lopt.build(theta, num_steps=num_steps),
        # The learned update already points downhill.
        optax.scale_by_learning_rate(learning_rate, flip_sign=False),
    )


def available() -> dict[str, runs.Card]:
    """The cards of the shipped optimizers: what each was trained on, how far it holds, where it fails.

    Returns:
        The cards by name.

    Example:
        >>> sorted(available())[:3]
        ['lstm-general', 'lstm-mnist', 'lstm-quadratic']
        >>> available()["lstm-mnist"].horizon
        100
    """
    return {path.stem: _card(path) for path in sorted(WEIGHTS.glob("*.json"))}


@functools.lru_cache
def shipped(name: str) -> Stored:
    """The learned optimizer and theta behind `pretrained(name)`, to go on meta-training from.

    Args:
        name: one of `available()`.

    Returns:
        The learned optimizer and its meta-parameters, as numpy arrays.

    Raises:
        ValueError: if the name is unknown, with the nearest match.

    Example:
        >>> lopt, theta = shipped("lstm-quadratic")
        >>> lopt.config.hidden_sizes
        (20, 20)
    """
    path = WEIGHTS / f"{name}.safetensors"
    names = [p.stem for p in WEIGHTS.glob("*.safetensors")]
    if name not in names:
        raise unknown_name("shipped optimizer", name, names)
    return load(path)


def _card(path: Path) -> runs.Card:
    return runs.Card.from_json(json.loads(path.read_text()))
