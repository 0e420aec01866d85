"""Text that is always there: the documentation of Python's standard library."""

import functools
import importlib

import numpy as np

MODULES = (
    "argparse", "collections", "csv", "email", "inspect", "json", "logging", "pathlib", "random", "re",
    "statistics", "string", "subprocess", "textwrap", "unittest",
)  # fmt: skip
ALPHABET = "abcdefghijklmnopqrstuvwxyz .,'-"  # all else is the last symbol


@functools.lru_cache
def docstrings() -> np.ndarray:
    """The docstrings of fifteen modules of the standard library, as integers.

    Small letters, a space for white space, four punctuation marks, and one symbol for whatever is else: 32 in
    all. The text depends a little on the version of Python.

    Returns:
        u8[n], about 120,000 characters below 32.

    Raises:
        RuntimeError: if Python was started with `-OO`, which leaves docstrings out.

    Example:
        >>> text = docstrings()
        >>> "".join(ALPHABET[i] for i in text[:19])
        'command-line parsin'
    """
    parts = []
    for name in MODULES:
        module = importlib.import_module(name)
        own = (v for v in vars(module).values() if getattr(v, "__module__", "") == name)
        parts += [module.__doc__ or "", *(str(v.__doc__) for v in own if v.__doc__)]
    text = " ".join(" ".join(parts).lower().split())
    if len(text) < 1e5:
        raise RuntimeError("the docstrings of the standard library are not there: run Python without -OO")
    symbols = {character: i for i, character in enumerate(ALPHABET)}
    symbols_of_text = np.array([symbols.get(character, len(ALPHABET)) for character in text], np.uint8)
    symbols_of_text.flags.writeable = False
    return symbols_of_text
