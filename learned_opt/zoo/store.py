"""Meta-parameters in a file, together with the optimizer that they are for."""

from pathlib import Path
from typing import NamedTuple

import jax

from learned_opt import optimizers, runs
from learned_opt.core.trees import check_same_structure
from learned_opt.core.types import LearnedOptimizer, Theta


class Stored(NamedTuple):
    """What `load` returns.

    Attributes:
        lopt: the learned optimizer.
        theta: its meta-parameters.
    """

    lopt: LearnedOptimizer
    theta: Theta


def save(path: str | Path, lopt: LearnedOptimizer, theta: Theta, *, overwrite: bool = False) -> None:
    """Writes meta-parameters and their optimizer's configuration to one safetensors file.

    Args:
        path: ends in `.safetensors`.
        lopt: the learned optimizer; one made by name, so that `load` can make it again.
        theta: its meta-parameters.
        overwrite: whether an existing file may be replaced.

    Raises:
        ValueError: if the optimizer was made from something without a name, or theta is not its own.
        FileExistsError: if the file exists and `overwrite` is not set.

    Example:
        >>> import tempfile
        >>> lopt = optimizers.lstm(hidden_sizes=(4,))
        >>> path = tempfile.mkdtemp() + "/mine.safetensors"
        >>> save(path, lopt, lopt.init(jax.random.key(0)))
        >>> load(path).lopt.config.hidden_sizes
        (4,)
    """
    if lopt.config is None:
        raise ValueError(
            "this learned optimizer was made from a function without a name, so a file could not say how to "
            "make it again; give hyperparameters() the factory's name, or register your own factory"
        )
    _check(lopt, theta)
    runs.save_weights(
        path, theta, {"optimizer": optimizers.registry.to_json(lopt.config)}, overwrite=overwrite
    )


def load(path: str | Path) -> Stored:
    """Reads what `save` wrote; every byte is checked.

    Args:
        path: of the file.

    Returns:
        The learned optimizer and its meta-parameters: `lopt.build(theta)` is the optax transformation.

    Raises:
        FileNotFoundError: if there is no such file.
        WeightsError: if it is truncated, damaged, or not a file of ours.

    Example:
        >>> import tempfile
        >>> lopt = optimizers.lstm(hidden_sizes=(4,))
        >>> path = tempfile.mkdtemp() + "/mine.safetensors"
        >>> save(path, lopt, lopt.init(jax.random.key(0)))
        >>> lopt, theta = load(path)
        >>> tx = lopt.build(theta)
    """
    theta, metadata = runs.load_weights(path)
    if "optimizer" not in metadata:
        raise runs.WeightsError(f"{path}: the file does not say which optimizer it is for")
    lopt = optimizers.registry.from_json(metadata["optimizer"]).make()
    _check(lopt, theta)
    return Stored(lopt, theta)


def _check(lopt: LearnedOptimizer, theta: Theta) -> None:
    expected = jax.eval_shape(lopt.init, jax.random.key(0))
    check_same_structure(theta, expected, "theta", f"{lopt.config.name}'s theta")
