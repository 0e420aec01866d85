"""The files that a data set is built from: checked against their checksums, or downloaded."""

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from learned_opt.core.extras import needed_for
from learned_opt.datasets.errors import DataSourceError

_TIMEOUT_SECONDS = 10
_BLOCK_BYTES = 1 << 16


class SourceFile(NamedTuple):
    """One file of the original distribution: its size in bytes, its content's digest in hexadecimal."""

    name: str
    url: str
    size: int
    sha256: str


def check(files: Sequence[SourceFile], directory: Path) -> list[str]:
    """What is wrong with the source files in a directory, a line for each that is missing or different."""
    if not directory.is_dir():
        return ["no such directory"]
    problems = ((file.name, _problem(file, directory)) for file in files)
    return [f"{name}: {problem}" for name, problem in problems if problem]


def download(files: Sequence[SourceFile], directory: Path, on_bytes: Callable[[int], None]) -> None:
    """Downloads the files that are not in a directory yet; each appears whole or not at all.

    `on_bytes` is called with the number of bytes that have arrived since its last call.
    """
    for file in files:
        if _problem(file, directory):
            directory.mkdir(parents=True, exist_ok=True)
            _fetch(file, directory, on_bytes)
        else:
            on_bytes(file.size)


def _problem(file: SourceFile, directory: Path) -> str | None:
    path = directory / file.name
    if not path.is_file():
        return "missing"
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != file.sha256:
        return (
            f"expected sha256 {file.sha256} ({file.size} bytes), "
            f"found sha256 {found} ({path.stat().st_size} bytes)"
        )
    return None


def _fetch(file: SourceFile, directory: Path, on_bytes: Callable[[int], None]) -> None:
    with needed_for("a download", "data"):
        import requests

    digest = hashlib.sha256()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="incomplete.", dir=directory) as scratch,
            # One try and short timeouts: without a network, fail within seconds.
            requests.get(file.url, stream=True, timeout=_TIMEOUT_SECONDS) as response,
        ):
            response.raise_for_status()
            unfinished = Path(scratch) / file.name
            with unfinished.open("wb") as stream:
                for block in response.iter_content(_BLOCK_BYTES):
                    stream.write(block)
                    digest.update(block)
                    on_bytes(len(block))
            if digest.hexdigest() != file.sha256:
                raise DataSourceError(f"{file.url} sent sha256 {digest.hexdigest()}, expected {file.sha256}")
            unfinished.replace(directory / file.name)
    except requests.RequestException as error:
        raise DataSourceError(f"cannot download {file.url}: {error}") from error
