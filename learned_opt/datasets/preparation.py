"""Which data sets there are, where they live, and how they come to be there."""

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from learned_opt.core.errors import unknown_name
from learned_opt.core.extras import needed_for
from learned_opt.core.paths import user_path
from learned_opt.datasets import source_files
from learned_opt.datasets.errors import DataSourceError

if TYPE_CHECKING:
    from rich.progress import Progress

_EMBEDDED = ("digits", "photographs")
_NAMES = (*_EMBEDDED, "mnist", "fashion_mnist", "cifar10")


def names() -> tuple[str, ...]:
    """The names of the data sets.

    Returns:
        What `load` takes, besides files; all but the first two have to be prepared once.

    Example:
        >>> names()
        ('digits', 'photographs', 'mnist', 'fashion_mnist', 'cifar10')
    """
    return _NAMES


def resolve_data_dir(data_dir: str | os.PathLike[str] | None) -> Path:
    """The directory of all TFDS data sets: the one given, else `TFDS_DATA_DIR`, else TFDS's own."""
    default = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return user_path(default if data_dir is None else data_dir).absolute()


def check_name(name: str) -> None:
    """Raises a `ValueError` with the nearest match for the name of no data set."""
    if name not in _NAMES:
        raise unknown_name("data set", name, _NAMES)


def prepare_command(name: str, root: Path) -> str:
    """The shell command that prepares a data set in a resolved data directory."""
    variable = "" if root == resolve_data_dir(None) else f"TFDS_DATA_DIR={root} "
    return f"{variable}learned-opt prepare-data {name}"


def is_prepared(name: str, data_dir: str | os.PathLike[str] | None = None) -> bool:
    """Whether a data set can be loaded right away.

    Args:
        name: one of `names()`.
        data_dir: of all TFDS data sets; by default `TFDS_DATA_DIR`, or else `~/tensorflow_datasets`.

    Returns:
        `True` for what needs no preparation; otherwise whether all files of the
        data set are there in the array_record format.

    Raises:
        ValueError: for an unknown name.

    Example:
        >>> is_prepared("digits"), is_prepared("mnist", data_dir="/nowhere")
        (True, False)
    """
    check_name(name)
    if name in _EMBEDDED:
        return True
    from learned_opt.datasets import builders

    return builders.open_prepared(name, resolve_data_dir(data_dir)) is not None


def prepare(
    name: str,
    manual_dir: str | os.PathLike[str] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
) -> Path:
    """Builds a data set once, so that `load` finds it; returns at once if that has been done.

    The source files come from `manual_dir` or are downloaded, and are checked against their
    registered checksums before anything is built. An interrupted preparation leaves nothing that
    looks prepared, and is repeated from the start by the next call.

    Args:
        name: one of `names()`.
        manual_dir: a directory with the original files, which is only read. With it,
            nothing is downloaded.
        data_dir: of all TFDS data sets; by default `TFDS_DATA_DIR`, or else `~/tensorflow_datasets`.
        progress: whether to show a progress bar with the time left on standard error. Default:
            only if that is a terminal.

    Returns:
        The directory that holds the data set.

    Raises:
        ValueError: for an unknown name.
        DataSourceError: if a source file is missing, out of reach or has the wrong content, or
            if something else lies where the data set belongs. The message says what to do.

    Example:
        >>> prepare("digits").is_dir()
        True
    """
    check_name(name)
    if name in _EMBEDDED:
        with needed_for("digits and photographs", "data"):
            from sklearn import datasets

        return Path(datasets.__file__).parent / "data"
    from learned_opt.datasets import builders

    root = resolve_data_dir(data_dir)
    target = builders.prepared_dir(name, root)
    if is_prepared(name, root):
        return target
    if target.exists():
        raise DataSourceError(
            f"{target} exists, but does not hold all of {name} in the array_record format (other "
            "formats cannot be read without TensorFlow). Remove that directory, or choose another "
            "data_dir or TFDS_DATA_DIR, and prepare again."
        )
    files = builders.source_files(name)
    with _progress_bar(progress) as bar:
        if manual_dir is None:
            source_dir = root / "downloads" / name
            task = bar.add_task(f"downloading {name}", total=sum(file.size for file in files))
            try:
                source_files.download(files, source_dir, partial(bar.advance, task))
            except DataSourceError as error:
                raise _source_error(str(error), name, root) from error
            bar.remove_task(task)
        else:
            source_dir = user_path(manual_dir).absolute()
            if problems := source_files.check(files, source_dir):
                reason = "\n  ".join([f"cannot prepare {name} from {source_dir}:", *problems])
                raise _source_error(reason, name, root)
        task = bar.add_task(f"preparing {name}", total=builders.num_examples(name, source_dir))
        try:
            builders.build(name, root, source_dir, partial(bar.advance, task))
        except OSError:
            # Another process may have finished first: the rename at the end then fails.
            if not is_prepared(name, root):
                raise
    return target


def _source_error(reason: str, name: str, root: Path) -> DataSourceError:
    from learned_opt.datasets import builders

    files = builders.source_files(name)
    rows = [f"  {file.name}  {file.size} bytes  sha256 {file.sha256}" for file in files]
    return DataSourceError(
        f"{reason}\n{name} is built from these files, published under {os.path.dirname(files[0].url)}:\n"
        + "\n".join(rows)
        + "\nPut them into a directory DIR of their own and run\n"
        f"  {prepare_command(name, root)} --manual-dir DIR"
    )


def _progress_bar(shown: bool | None) -> "Progress":
    with needed_for("a progress bar", "data"):
        from rich import progress
        from rich.console import Console

    console = Console(stderr=True)
    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TimeRemainingColumn(elapsed_when_finished=True),
    )
    disabled = not (console.is_terminal if shown is None else shown)
    return progress.Progress(*columns, console=console, disable=disabled)
