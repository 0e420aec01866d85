"""Optimizers that an option names: shipped and stored ones, and hand-made ones."""

from pathlib import Path

import optax

from learned_opt import training, zoo
from learned_opt.core.errors import unknown_name

REFERENCE = "lbfgs"


def named_optimizer(name: str, learning_rate: float | None, num_steps: int) -> optax.GradientTransformation:
    """An optimizer by its name.

    Args:
        name: what is shipped, a run or a file; or a baseline of `training`, or L-BFGS.
        learning_rate: of a hand-made optimizer, 0.03 by default; a factor on the updates of a learned one.
        num_steps: of the whole run.

    Returns:
        The transformation.

    Raises:
        ValueError: for an unknown name.

    Example:
        >>> named_optimizer("adm", None, 10)
        Traceback (most recent call last):
        ...
        ValueError: unknown optimizer 'adm'; ...
    """
    if name == REFERENCE:
        return optax.lbfgs()
    if name in training.BASELINES:
        return training.BASELINES[name](0.03 if learning_rate is None else learning_rate)
    if name not in zoo.available() and not Path(name).exists():
        raise unknown_name("optimizer", name, [*zoo.available(), *training.BASELINES, REFERENCE])
    return zoo.pretrained(
        name, num_steps=num_steps, learning_rate=1.0 if learning_rate is None else learning_rate
    )
