"""Files that are either whole or not there, and JSON that shows when it was damaged."""

import contextlib
import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file so that a kill or a full disk leaves the old content or the new, never a part.

    Args:
        path: the file; its directory exists.
        data: the whole new content.

    Raises:
        OSError: if it cannot be written; the message of a full disk names the directory.

    Example:
        >>> write_atomically(Path("note.txt"), b"kept")
        >>> Path("note.txt").read_bytes()
        b'kept'
    """
    temporary = _temporary(path, str(os.getpid()))
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if is_disk_full(error):
            raise disk_full(f"while writing {path.name}", path.parent) from error
        raise


def leftovers(path: Path) -> list[Path]:
    """The parts of a file that killed calls of `write_atomically` have left.

    Args:
        path: the file.

    Returns:
        Temporary files beside it; none in a directory that is not there.

    Example:
        >>> leftovers(Path("note.txt"))
        []
    """
    return sorted(path.parent.glob(_temporary(path, "*").name))


def _temporary(path: Path, process: str) -> Path:
    return path.parent / f".{path.name}.{process}.tmp"


def sync(path: Path) -> None:
    """Has the operating system put a file's content, or a directory's entries, on the disk.

    Args:
        path: of the file or the directory.

    Example:
        >>> sync(Path("."))
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_disk_full(error: BaseException) -> bool:
    """Whether an error says that the disk, or the user's quota of it, is full.

    Args:
        error: of any type; orbax reports a full disk as a `ValueError`.

    Returns:
        True if so.

    Example:
        >>> is_disk_full(OSError(errno.ENOSPC, "No space left on device"))
        True
    """
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return any(os.strerror(code) in str(error) for code in (errno.ENOSPC, errno.EDQUOT))


def disk_full(during: str, directory: Path, intact: str = "older files are intact") -> OSError:
    """The error to raise where `is_disk_full`.

    Args:
        during: what was being done.
        directory: where there is no space left.
        intact: what has been kept.

    Returns:
        The error.

    Example:
        >>> print(disk_full("while saving", Path("out")).strerror)
        no space left on the disk while saving; the partial files were removed and older files are \
intact: free some space, then start again
    """
    message = (
        f"no space left on the disk {during}; the partial files were removed and {intact}: "
        "free some space, then start again"
    )
    return OSError(errno.ENOSPC, message, str(directory))


def seal(kind: str, version: int, record: dict[str, Any], *, indent: int | None = 2) -> str:
    """JSON text of a record with its kind, its format's version and a checksum of all of them.

    Args:
        kind: such as `"checkpoint"`.
        version: of the format.
        record: what to store.
        indent: spaces a level; `None` for a single line, which suits long lists of numbers.

    Returns:
        The text, ending in a newline.

    Raises:
        TypeError: if the record holds something that JSON does not have.

    Example:
        >>> unseal("note", 1, seal("note", 1, {"colour": "red"}))["colour"]
        'red'
    """
    body = {"format": f"learned_opt {kind}", "version": version, **record}
    try:
        digest = hashlib.sha256(json.dumps(body).encode()).hexdigest()
        return json.dumps(body | {"sha256": digest}, indent=indent) + "\n"
    except TypeError as error:
        raise TypeError(
            f"the {kind} cannot be stored as JSON: {error}; use dictionaries with string keys, "
            "lists, strings, numbers, booleans and None"
        ) from error


def unseal(kind: str, version: int, text: str, *, indent: int | None = 2) -> dict[str, Any]:
    """The record behind a sealed text, without the checksum.

    Args:
        kind: as it was sealed.
        version: the newest version that is understood.
        text: what `seal` returned.
        indent: as it was sealed.

    Returns:
        The record, together with its `"format"` and `"version"`.

    Raises:
        ValueError: saying whether the text is foreign, newer or damaged.

    Example:
        >>> unseal("note", 1, seal("note", 1, {"colour": "red"}).replace("red", "rad"))
        Traceback (most recent call last):
        ...
        ValueError: its checksum does not match: it was damaged or edited
    """
    try:
        body = json.loads(text)
    except ValueError as error:
        raise ValueError(f"it is no JSON, so it was truncated or damaged ({error})") from error
    if not isinstance(body, dict) or body.get("format") != f"learned_opt {kind}":
        raise ValueError(f"it is not a learned_opt {kind}")
    found = body.get("version")
    if isinstance(found, int) and found > version:
        raise ValueError(
            f"its format version {found} is newer than the {version} that this learned_opt reads: "
            "upgrade learned-opt"
        )
    body.pop("sha256", None)
    record = {key: value for key, value in body.items() if key not in ("format", "version")}
    if found != version or seal(kind, version, record, indent=indent) != text:
        raise ValueError("its checksum does not match: it was damaged or edited")
    return body
