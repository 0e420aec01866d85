"""Errors that name the offending value and the fix."""

import difflib
from collections.abc import Iterable


def unknown_name(kind: str, name: object, known: Iterable[str]) -> ValueError:
    """A `ValueError` for a name that is not in a closed set, with the nearest match.

    Args:
        kind: what the name stands for, such as `"optimizer"`.
        name: the name that was asked for.
        known: the names that exist.

    Returns:
        The error, to be raised by the caller.

    Example:
        >>> print(unknown_name("task", "quadratc", ["quadratic", "classification"]))
        unknown task 'quadratc'; did you mean 'quadratic'? Known: classification, quadratic
    """
    names = sorted(set(known))
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    return ValueError(f"unknown {kind} {name!r}{hint} Known: {', '.join(names) or 'none'}")


def check_at_least(least: float, **values: float) -> None:
    """`ValueError` naming the first of some arguments that is below its least value."""
    for name, value in values.items():
        if not value >= least:
            raise ValueError(f"{name}={value!r}: it must be at least {least}")


def check_above_zero(**values: float) -> None:
    """`ValueError` naming the first of some arguments that is not positive."""
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name}={value!r}: it must be positive")
