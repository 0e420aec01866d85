"""Files that are either whole or not there, and JSON that shows when it was damaged."""

import contextlib
import errno
import glob
import hashlib
import json
import os
from pathlib import Path
from typing import Any


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file so that a kill or a full disk leaves the old content or the new, never a part."""
    temporary = _temporary(path, str(os.getpid()))
    try:
        temporary.write_bytes(data)
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if is_disk_full(error):
            raise disk_full(f"while writing {path.name}", path.parent) from error
        raise


def leftovers(path: Path) -> list[Path]:
    """The parts of a file that killed calls of `write_atomically` have left beside it."""
    pattern = _temporary(path.with_name(glob.escape(path.name)), "*").name
    return sorted(path.parent.glob(pattern))


def _temporary(path: Path, process: str) -> Path:
    return path.parent / f".{path.name}.{process}.tmp"


def sync(path: Path) -> None:
    """Has the operating system put a file's content, or a directory's entries, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_disk_full(error: BaseException) -> bool:
    """Whether the disk, or the user's quota of it, is full; orbax reports that as a `ValueError`."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return any(os.strerror(code) in str(error) for code in (errno.ENOSPC, errno.EDQUOT))


def disk_full(during: str, directory: Path, intact: str = "older files are intact") -> OSError:
    """The error to raise where `is_disk_full`: what was being done, where, and what has been kept."""
    message = (
        f"no space left on the disk {during}; the partial files were removed and {intact}: "
        "free some space, then start again"
    )
    return OSError(errno.ENOSPC, message, str(directory))


def seal(kind: str, version: int, record: dict[str, Any], *, indent: int | None = 2) -> str:
    """JSON text of a record with its kind, its format's version and a checksum of all of them.

    Without an indent it is a single line, which suits long lists of numbers.
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
    """The record behind a sealed text, or a `ValueError` saying whether it is foreign, newer or damaged.

    The version is the newest that is understood; kind and indent are as they were for `seal`.
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
