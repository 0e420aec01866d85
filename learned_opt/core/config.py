"""Dataclasses of settings from what a file or a command line says."""

import dataclasses
import functools
from typing import TYPE_CHECKING, Any, TypeVar

from learned_opt.core.errors import unknown_name

if TYPE_CHECKING:
    import pydantic

T = TypeVar("T")


def validated(config_class: type[T], data: dict[str, Any], what: str) -> T:
    """An instance of a dataclass from a dictionary, every field checked against its type.

    Args:
        config_class: a dataclass.
        data: its fields by name.
        what: how an error calls it.

    Returns:
        The instance.

    Raises:
        ValueError: naming each field that is unknown (with the nearest match), missing or of a wrong type.

    Example:
        >>> @dataclasses.dataclass
        ... class Point:
        ...     x: int = 0
        >>> validated(Point, {"x": 2}, "point")
        Point(x=2)
        >>> validated(Point, {"y": 2}, "point")
        Traceback (most recent call last):
        ...
        ValueError: unknown field of point 'y'. Known: x
    """
    import pydantic  # takes longer than all of this package, and an import checks nothing

    known = [f.name for f in dataclasses.fields(config_class)]  # type: ignore[arg-type]
    for name in data:
        if name not in known:
            raise unknown_name(f"field of {what}", name, known)
    try:
        return _adapter(config_class).validate_python(data)
    except pydantic.ValidationError as e:
        # What a dataclass says of its fields together is said as it is.
        own = [str(error["ctx"]["error"]) for error in e.errors() if not error["loc"] and "ctx" in error]
        if own:
            raise ValueError("; ".join(own)) from e
        wrong = "; ".join(
            f"{'.'.join(map(str, error['loc']))}={error['input']!r}: {error['msg']}" for error in e.errors()
        )
        raise ValueError(f"{what} does not fit: {wrong}") from e


@functools.cache
def _adapter(config_class: type) -> "pydantic.TypeAdapter[Any]":
    """Made once for a class: it takes milliseconds."""
    import pydantic

    return pydantic.TypeAdapter(config_class)
