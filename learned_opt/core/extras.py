"""Libraries that only a part of the package needs."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def needed_for(what: str, extra: str) -> Iterator[None]:
    """Around imports: where a library is missing, the error says which extra brings it.

    Args:
        what: what the libraries are for.
        extra: the extra of this package that has them.

    Raises:
        ImportError: if one is missing.

    Example:
        >>> with needed_for("a walk", "legs"):
        ...     import no_such_library
        Traceback (most recent call last):
        ...
        ImportError: no_such_library is missing, for a walk: pip install 'learned-opt[legs]'
    """
    try:
        yield
    except ModuleNotFoundError as error:
        message = f"{error.name} is missing, for {what}: pip install 'learned-opt[{extra}]'"
        raise ImportError(message, name=error.name) from error
