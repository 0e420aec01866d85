"""Texts as integers: the documentation of Python's standard library, which is always there, or a file."""

import functools
import importlib
from typing import NamedTuple

import numpy as np

from learned_opt.core.paths import user_path

MODULES = (
    "argparse", "collections", "csv", "email", "inspect", "json", "logging", "pathlib", "random", "re",
    "statistics", "string", "subprocess", "textwrap", "unittest",
)  # fmt: skip
ALPHABET = "abcdefghijklmnopqrstuvwxyz .,'-"  # all else is the last symbol

MAX_SYMBOLS = 256


class Text(NamedTuple):
    """A text as integers.

    Attributes:
        symbols: u8[n], read-only.
        characters: what they stand for; a symbol as large as there are characters is any other one.
    """

    symbols: np.ndarray
    characters: str


@functools.lru_cache
def load_text(path: str) -> Text:
    """A text file, a symbol a character.

    Args:
        path: of a file in UTF-8.

    Returns:
        The text. Its up to 255 most frequent characters, in the order of Unicode, are symbols of their own.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not UTF-8, or empty.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "hello.txt")
        >>> _ = path.write_text("hello")
        >>> text = load_text(str(path))
        >>> text.characters, text.symbols.tolist()
        ('ehlo', [1, 0, 2, 2, 3])
    """
    file = user_path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{path}: there is no such text file; check the path")
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}; convert it") from error
    if not text:
        raise ValueError(f"{path} is empty")
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    found, counts = np.unique(codes, return_counts=True)
    kept = np.sort(found[np.argsort(-counts, kind="stable")[: MAX_SYMBOLS - 1]])
    places = np.minimum(np.searchsorted(kept, codes), len(kept) - 1)
    symbols = np.where(kept[places] == codes, places, len(kept)).astype(np.uint8)
    symbols.flags.writeable = False
    return Text(symbols, "".join(map(chr, kept)))


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
        # A class may have a slot for its instances' docstrings in place of its own.
        parts += [text for thing in (module, *own) if isinstance(text := thing.__doc__, str)]
    text = " ".join(" ".join(parts).lower().split())
    if len(text) < 1e5:
        raise RuntimeError("the docstrings of the standard library are not there: run Python without -OO")
    symbols = {character: i for i, character in enumerate(ALPHABET)}
    symbols_of_text = np.array([symbols.get(character, len(ALPHABET)) for character in text], np.uint8)
    symbols_of_text.flags.writeable = False
    return symbols_of_text
