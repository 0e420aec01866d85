"""Terminals and pipes of any kind: encodings that lack a character, and readers that leave early."""

import codecs
import contextlib
import io
import os
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any

ASCII = "learned_opt.ascii"
CLOSED_PIPE = 141  # the status by which a shell reports a command that its reader has left
SPELLED = {
    "±": "+-",
    "\N{MULTIPLICATION SIGN}": "x",
    "∞": "inf",
    "⚠": "!",
    "µ": "u",
    "\N{GREEK SMALL LETTER SIGMA}": "sigma",
    "θ": "theta",
}


@contextlib.contextmanager
def any_terminal() -> Iterator[None]:
    """Has what the encoding lacks printed in ASCII, and ends quietly where nobody reads on."""
    for stream, default in ((sys.stdout, "strict"), (sys.stderr, "backslashreplace")):
        chosen = getattr(stream, "errors", None)
        escapes = chosen == "surrogateescape" and stream.encoding.lower() != "utf-8"
        if isinstance(stream, io.TextIOWrapper) and (chosen == default or escapes):  # else a user's choice
            stream.reconfigure(errors=ASCII)
    try:
        try:
            yield
        finally:
            for stream in filter(None, (sys.stdout, sys.stderr)):
                stream.flush()
    except BrokenPipeError:
        with contextlib.suppress(OSError, AttributeError), open(os.devnull, "w", encoding="utf-8") as nowhere:
            for stream in (sys.stdout, sys.stderr):
                os.dup2(nowhere.fileno(), stream.fileno())
        raise SystemExit(CLOSED_PIPE) from None


def ascii_text(text: str) -> str:
    """A text in ASCII, a character that it lacks by one that stands for it.

    Example:
        >>> ascii_text("½ ± 3 ┃ é –")
        '1/2 +- 3 | e -'
    """
    return "".join(char if char.isascii() else _in_ascii(char) for char in text)


def _in_ascii(char: str) -> str:
    if char in SPELLED:
        return SPELLED[char]
    decomposed = unicodedata.normalize("NFKD", char).replace("\N{FRACTION SLASH}", "/")
    plain = decomposed.encode("ascii", "ignore").decode()
    if plain:
        return plain
    name = unicodedata.name(char, "")
    if name.startswith("BOX DRAWINGS"):
        horizontal = any(word in name for word in ("HORIZONTAL", "LEFT", "RIGHT"))
        vertical = any(word in name for word in ("VERTICAL", "UP", "DOWN"))
        return "+" if horizontal and vertical else "-" if horizontal else "|"
    if "DASH" in name or "MINUS" in name:
        return "-"
    return "#" if any(word in name for word in ("BLOCK", "QUADRANT", "BRAILLE")) else "?"


def _replaced(error: Any) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return ascii_text(error.object[error.start : error.end]), error.end


codecs.register_error(ASCII, _replaced)
