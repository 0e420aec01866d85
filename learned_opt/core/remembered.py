"""Functions that are made once, so that jit, which compiles anew for each function, knows them again."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def remembered(make: F) -> F:
    """Keeps what `make` returned for the last 16 different arguments; makes anew what has no hash.

    They are few, because the programs that were compiled of them stay in memory as long.

    Args:
        make: a function whose result depends on its arguments alone.

    Returns:
        The function that remembers.

    Example:
        >>> adder = remembered(lambda n: lambda x: x + n)
        >>> adder(1) is adder(1), adder([1]) is adder([1])
        (True, False)
    """
    known = functools.lru_cache(maxsize=16, typed=True)(make)

    @functools.wraps(make)
    def made(*args: Any) -> Any:
        try:
            hash(args)
        except TypeError:
            return make(*args)
        return known(*args)

    return made  # type: ignore[return-value]
