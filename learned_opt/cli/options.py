"""Typed options from dataclasses, through tyro."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

import tyro

T = TypeVar("T")


def target(words: Sequence[str], usage: str) -> tuple[str, Sequence[str]]:
    """Splits off the one positional word that a command starts with.

    Args:
        words: those after the command.
        usage: printed where the word is missing or `--help` stands in its place.

    Returns:
        The word, and the rest.

    Raises:
        SystemExit: after the usage was printed.

    Example:
        >>> target(["lstm-mnist", "--seed", "3"], "usage: ...")
        ('lstm-mnist', ['--seed', '3'])
    """
    if not words or words[0].startswith("-"):
        print(usage)
        raise SystemExit(0 if words and words[0] in ("-h", "--help") else 2)
    return words[0], list(words[1:])


def listing(entries: Mapping[str, str]) -> str:
    """Names and what they stand for, a line each, for a usage.

    Args:
        entries: what is said of each name.

    Returns:
        The lines, in two columns.

    Example:
        >>> print(listing({"list": "names", "show": "a card"}))
          list  names
          show  a card
    """
    width = max(map(len, entries)) + 2
    return "\n".join(f"  {name:<{width}}{text}" for name, text in entries.items())


def chosen(words: Sequence[str], option: str) -> str | None:
    """The value of an option on which depends what other options there are, before these are parsed.

    Args:
        words: the options.
        option: with its dashes.

    Returns:
        The last value; `None` if it is not given.

    Example:
        >>> chosen(["--seed", "3", "--estimator", "pes"], "--estimator")
        'pes'
    """
    values = [word for before, word in itertools.pairwise(words) if before == option]
    values += [word.removeprefix(f"{option}=") for word in words if word.startswith(f"{option}=")]
    return values[-1] if values else None


def parse(
    config_class: type[T],
    words: Sequence[str],
    prog: str,
    description: str,
    default: T | None = None,
) -> T:
    """An instance of a dataclass from the command line.

    Args:
        config_class: its fields are the options, its docstring explains them.
        words: the options.
        prog: how the help calls the program.
        description: the help's first paragraph.
        default: an instance whose values stand where no option is given; the class's by default.

    Returns:
        The instance.

    Raises:
        SystemExit: if the options do not parse, or ask for help.

    Example:
        >>> @dataclasses.dataclass
        ... class Options:
        ...     seed: int = 0
        >>> parse(Options, ["--seed", "3"], "learned-opt demo", "").seed
        3
    """
    defaults: dict[str, Any] = {} if default is None else {"default": default}
    return tyro.cli(config_class, args=list(words), prog=prog, description=description, **defaults)


def with_configs(base: type[T], **configs: Any) -> type[T]:
    """A dataclass of a base's fields and some configurations, whose values are the defaults.

    Args:
        base: a dataclass, all of whose fields have defaults.
        **configs: configurations by name; a field of each is given as `--name.field`, but for those of
            `settings` and of what they hold, which need no prefix: `--horizon`.

    Returns:
        The dataclass.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Options:
        ...     seed: int = 0
        >>> [f.name for f in dataclasses.fields(with_configs(Options, inner=Options(seed=1)))]
        ['seed', 'inner']
    """

    def annotation(name: str, config: Any) -> Any:
        if name != "settings":
            return type(config)
        return Annotated[type(config), tyro.conf.arg(name=""), tyro.conf.OmitArgPrefixes]

    fields: list[Any] = [
        # A configuration may hold dictionaries; a factory keeps dataclasses from refusing it.
        (name, annotation(name, config), dataclasses.field(default_factory=lambda c=config: c))
        for name, config in configs.items()
    ]
    return dataclasses.make_dataclass(
        base.__name__, fields, bases=(base,), frozen=True, namespace={"__doc__": base.__doc__}
    )
