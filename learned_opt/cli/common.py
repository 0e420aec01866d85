"""What every command takes: modules with tasks, optimizers and recipes of the user's own, and `--debug`."""

import contextlib
import importlib
import json
import math
import sys
import traceback
from collections.abc import Iterator, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from learned_opt import meta
from learned_opt.core.paths import quoted, user_path

GROUPS = ("learned_opt.tasks", "learned_opt.optimizers")  # of entry points

OPTIONS = """\
Options of every command:
  --import MODULE  a module or .py file that registers tasks, optimizers or recipes of your own; repeatable
  --debug          shows the traceback of an error"""


class Common(NamedTuple):
    """The options of every command, and the words that are left; `--debug` is for `main`."""

    words: list[str]
    modules: list[str]


def split_common(words: Sequence[str]) -> Common:
    """Takes the options of every command out of its words.

    Example:
        >>> split_common(["show", "--import", "mine", "run", "--debug"])
        Common(words=['show', 'run'], modules=['mine'])
    """
    left, modules = [], []
    rest = iter(words)
    for word in rest:
        name, _, value = word.partition("=")
        if word == "--debug":
            continue
        if name == "--import":
            value = value or next(rest, "")
            if not value or value.startswith("-"):
                raise ValueError("--import needs a module or a .py file, such as --import mine.py")
            modules.append(value)
        else:
            left.append(word)
    return Common(left, modules)


def import_modules(modules: Sequence[str]) -> None:
    """Imports what registers the user's own: installed packages' entry points, then modules and files."""
    for group in GROUPS:
        for entry in entry_points(group=group):
            try:
                entry.load()
            except Exception as error:  # another's package must not keep this one from working
                print(f"learned-opt: left out: {entry.value} of {group}: {error}", file=sys.stderr)
    _imported.clear()
    for module in modules:
        if module.endswith(".py"):
            import_file(module)
        else:
            _import(Path.cwd(), module)
            _imported.append(module)


def import_file(given: str) -> list[str]:
    """Imports a .py file, from whose directory it may import others, once; the recipes that it registered."""
    path = user_path(given).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"{given}: there is no such file; check the path")
    before = set(meta.RECIPES)
    module = _import(path.parent, path.stem)
    if module.__file__ is None or Path(module.__file__).resolve() != path:
        raise ValueError(
            f"{given}: another module, {module.__file__}, is called {path.stem}; rename the file"
        )
    if given not in _imported:
        _imported.append(given)
    return _registered.setdefault(path, [name for name in meta.RECIPES if name not in before])


def print_json(value: Any) -> None:
    """Prints a value of JSON's types and numpy's; what is not finite, which JSON lacks, is null.

    Example:
        >>> print_json({"losses": [0.5, float("inf")]})
        {
          "losses": [
            0.5,
            null
          ]
        }
    """

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [plain(inner) for inner in value]
        if isinstance(value, np.generic):
            value = value.item()
        return None if isinstance(value, float) and not math.isfinite(value) else value

    print(json.dumps(plain(value), indent=2))


def with_imports(command: str) -> str:
    """A command that a message advises, with the modules that this one was given."""
    return " ".join([command, *(f"--import {quoted(module)}" for module in _imported)])


@contextlib.contextmanager
def continuable(directory: Path) -> Iterator[None]:
    """Says how to go on with a run that is stopped from the keyboard."""
    try:
        yield
    except KeyboardInterrupt:
        again = with_imports(f"learned-opt resume {quoted(directory)}")
        print(f"\nstopped; go on with: {again}", file=sys.stderr)
        raise SystemExit(130) from None


_imported: list[str] = []  # by the command that runs
_registered: dict[Path, list[str]] = {}  # recipes, by file


def _import(folder: Path, name: str) -> ModuleType:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise ModuleNotFoundError(
                f"--import {name}: there is no such module, here or installed; give its name or its .py file"
            ) from error
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename) == folder / f"{name}.py"]
        where = f", line {lines[-1]}" if lines else ""
        raise ImportError(f"{name}{where}: {type(error).__name__}: {error}; --debug shows more") from error
