"""Paths as users give them."""

import os
import shlex
from pathlib import Path


def quoted(path: str | os.PathLike[str]) -> str:
    """A path as a shell takes it, for commands that a message advises.

    Example:
        >>> quoted("runs/mine"), quoted("runs/sizes=[20,20]")
        ('runs/mine', "'runs/sizes=[20,20]'")
    """
    return shlex.quote(os.fspath(path))


def user_path(path: str | os.PathLike[str]) -> Path:
    """A path with `~` or `~name` at its beginning replaced by that home directory.

    Raises:
        ValueError: if there is no such home directory.

    Example:
        >>> user_path("~/runs") == Path.home() / "runs"
        True
    """
    path = Path(path)
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError(
            f"{path}: there is no home directory {path.parts[0]}; write ./{path} for a path of that name"
        ) from error
