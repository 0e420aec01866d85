"""Typed options from dataclasses, through tyro."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from learned_opt.core.paths import user_path
from learned_opt.core.registry import Registry

T = TypeVar("T")


def target(words: Sequence[str], usage: str) -> tuple[str, Sequence[str]]:
    """Splits off the one positional word of a command; exits with the usage where there is none."""
    if not words or words[0].startswith("-"):
        print(usage)
        raise SystemExit(0 if words and words[0] in ("-h", "--help") else 2)
    # A shell expands a `~` of its own, and neither one in quotes nor one behind a `=`.
    word = str(user_path(words[0])) if words[0].startswith("~") else words[0]
    return word, list(words[1:])


def listing(entries: Mapping[str, str]) -> str:
    """Names and what they stand for, a line each in two columns, for a usage."""
    width = max(map(len, entries)) + 2
    return "\n".join(f"  {name:<{width}}{text}" for name, text in entries.items())


def chosen(words: Sequence[str], option: str) -> str | None:
    """The last value of an option (with its dashes) on which depends what other options there are."""
    values = [word for before, word in itertools.pairwise(words) if before == option]
    values += [word.removeprefix(f"{option}=") for word in words if word.startswith(f"{option}=")]
    return values[-1] if values else None


def wrapped(task: Any, name: str, registry: Registry) -> Any:
    """The configuration of a task inside a wrapper with its default arguments."""
    wrapper = registry.get(name)
    if "task" not in (field.name for field in dataclasses.fields(wrapper)):
        raise ValueError(f"--wrap {name}: that is a task of its own, and not a wrapper of one")
    return wrapper(task=task)


def parse(
    config_class: type[T], words: Sequence[str], prog: str, description: str, default: T | None = None
) -> T:
    """A dataclass from options: its fields are the options, its docstring explains them in the help.

    Values are those of `default`, or else of the class, where no option is given. A `~` at the beginning of a
    path is the home directory.
    """
    defaults: dict[str, Any] = {} if default is None else {"default": default}
    options: Any = tyro.cli(config_class, args=list(words), prog=prog, description=description, **defaults)
    given = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    paths = {name: user_path(path) for name, path in given.items() if isinstance(path, Path)}
    return dataclasses.replace(options, **paths)


def with_configs(base: type[T], **configs: Any) -> type[T]:
    """A dataclass of a base's fields, all with defaults, and of configurations, which are the defaults.

    A field of each is given as `--name.field`, but for those of `settings` and of what they hold, which need
    no prefix: `--horizon`.
    """
    fields: list[Any] = []
    for name, config in configs.items():
        config_type: Any = type(config)
        if name == "settings":
            config_type = Annotated[config_type, tyro.conf.arg(name=""), tyro.conf.OmitArgPrefixes]
        # A configuration may hold dictionaries; a factory keeps dataclasses from refusing it.
        fields.append((name, config_type, dataclasses.field(default_factory=lambda c=config: c)))
    return dataclasses.make_dataclass(
        base.__name__, fields, bases=(base,), frozen=True, namespace={"__doc__": base.__doc__}
    )
