"""Finds suites by name, and what a user's Python file defines."""

import importlib
import importlib.util
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.harness.suite import Suite
from learned_opt.core.errors import unknown_name
from learned_opt.core.paths import user_path

SUITES = Path(__file__).parents[1] / "suites"


def names() -> tuple[str, ...]:
    """The names of the suites in `benchmarks/suites`."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules([str(SUITES)]) if module.ispkg))


def find(name: str) -> Suite:
    """A suite by name, or from a path ending in `.py` with a `SUITE` in it."""
    if name.endswith(".py"):
        return attribute(load_file(name), "SUITE", Suite)
    if name not in names():
        raise unknown_name("suite", name, (*names(), "all"))
    return attribute(importlib.import_module(f"benchmarks.suites.{name}.suite"), "SUITE", Suite)


def load_file(path: str) -> ModuleType:
    """A user's Python file as a module."""
    path = str(user_path(path))
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: there is no such file; check the path")
    spec = importlib.util.spec_from_file_location(f"benchmarks_user_{Path(path).stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def attribute(module: ModuleType, name: str, kind: type) -> Any:
    """What a module has to define."""
    value = getattr(module, name, None)
    if not isinstance(value, kind):
        raise ValueError(f"{module.__file__} needs {name}, a {kind.__name__}; it has {value!r}")
    return value
