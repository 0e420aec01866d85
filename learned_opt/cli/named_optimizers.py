"""Optimizers that an option names: shipped and stored ones, and hand-made ones."""

from pathlib import Path

import optax

from learned_opt import training, zoo
from learned_opt.core.errors import unknown_name


def named_optimizer(
    name: str, learning_rate: float | None, num_steps: int, *, usual: float | None = None
) -> optax.GradientTransformation:
    """An optimizer by its name.

    Args:
        name: what is shipped, a run or a file; or a baseline of `training`.
        learning_rate: of a hand-made optimizer; a factor on the updates of a learned one, 1 by default.
        num_steps: of the whole run.
        usual: the learning rate of a hand-made optimizer that is given none; `None` to ask for one.

    Returns:
        The transformation.

    Raises:
        ValueError: for an unknown name, and for a hand-made optimizer without a learning rate.

    Example:
        >>> named_optimizer("adm", None, 10)
        Traceback (most recent call last):
        ...
        ValueError: unknown optimizer 'adm'; ...
    """
    if name in training.BASELINES:
        rate = usual if learning_rate is None else learning_rate
        if rate is None:
            raise ValueError(f"{name} needs a learning rate: give --learning-rate, such as 1e-3 for adam")
        return training.BASELINES[name](rate)
    if name not in zoo.available() and not Path(name).exists():
        raise unknown_name("optimizer", name, [*zoo.available(), *training.BASELINES])
    return zoo.pretrained(
        name, num_steps=num_steps, learning_rate=1.0 if learning_rate is None else learning_rate
    )
