"""Named, typed configurations, written once: as the signature of the function that they call.

A `Registry` turns a factory such as `lstm(*, hidden_sizes: tuple[int, ...] = (20, 20), ...)` into a frozen
dataclass of the same fields. What the factory returns carries that dataclass as its `config`, so that a
run can store it as JSON, a command line can override it, and `make` can build the object again.
"""

import dataclasses
import functools
import hashlib
import inspect
import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np

from learned_opt.core.config import validated
from learned_opt.core.errors import unknown_name

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class Registry:
    """Factories of one kind by name, and the configuration class of each.

    Args:
        kind: what the factories make, such as `"optimizer"`; the word that errors use.

    Attributes:
        kind: as given.
        configs: the configuration classes by name.

    Example:
        >>> from typing import NamedTuple
        >>> class Box(NamedTuple):
        ...     side: float
        ...     config: object = None
        >>> boxes = Registry("box")
        >>> @boxes.register
        ... def cube(side: float = 1.0) -> Box:
        ...     return Box(side)
        >>> boxes.to_json(cube(side=2.0).config)
        {'name': 'cube', 'side': 2.0}
        >>> boxes.from_json({"name": "cube", "side": 3.0}).make().side
        3.0
    """

    def __init__(self, kind: str):
        self.kind = kind
        self.configs: dict[str, type] = {}
        self._functions = functools.lru_cache(maxsize=16)(lambda config, given, data: {})

    def register(self, factory: F) -> F:
        """Registers a factory under its own name and gives what it returns a `config`."""
        name = factory.__name__
        signature = inspect.signature(factory, eval_str=True)
        fields: list[Any] = []
        for p in signature.parameters.values():
            default = dataclasses.MISSING if p.default is p.empty else p.default
            # A factory that wraps products of its own kind is configured by their configs.
            product = signature.return_annotation
            annotation = Any if p.annotation in (product, tuple[product, ...]) else p.annotation
            fields.append((p.name, annotation, dataclasses.field(default=default)))
        config_class = dataclasses.make_dataclass(
            name,
            fields,
            frozen=True,
            kw_only=True,
            namespace={
                "name": name,
                "__doc__": _brief(inspect.getdoc(factory) or ""),
                "__pydantic_config__": {"extra": "forbid", "arbitrary_types_allowed": True},
                "make": lambda self: wrapped(**_made(_arguments(self))),
            },
        )
        self.configs[name] = config_class

        @functools.wraps(factory)
        def wrapped(*args, **kwargs):
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            arguments = {k: _each(lambda x: getattr(x, "config", x), v) for k, v in bound.arguments.items()}
            # An argument that is itself a factory's product, or a bare function, has to have a name.
            nameless = any(
                callable(v) or (_has_none(v) and not _has_none(bound.arguments[k]))
                for k, v in arguments.items()
            )
            made = factory(*bound.args, **bound.kwargs)
            if nameless:
                return made._replace(config=None)
            made = made._replace(config=config_class(**arguments))
            return self._with_known_functions(made, tuple(bound.arguments.values()))

        return wrapped  # type: ignore[return-value]

    def _with_known_functions(self, made: Any, arguments: tuple[Any, ...]) -> Any:
        """A product with the functions of the first that was made of the same, which jit then knows."""
        try:
            config = type(made.config), json.dumps(self.to_json(made.config))
            functions = self._functions(config, _functions_in(arguments), _digest(getattr(made, "data", ())))
        except (TypeError, RuntimeError):  # an argument that is none of JSON's, data that cannot be read here
            return made
        if not functions:
            functions.update({name: value for name, value in made._asdict().items() if callable(value)})
        return made._replace(**functions)

    def add(self, config_class: type[T]) -> type[T]:
        """Registers a frozen dataclass that was written by hand, under its attribute `name`."""
        self.configs[config_class.name] = config_class  # type: ignore[attr-defined]
        return config_class

    def names(self) -> tuple[str, ...]:
        """The registered names, in the order of registration."""
        return tuple(self.configs)

    def get(self, name: str) -> type:
        """The configuration class of a name; `ValueError` with the nearest match if there is none."""
        if name not in self.configs:
            raise unknown_name(self.kind, name, self.configs)
        return self.configs[name]

    def to_json(self, config: Any) -> dict[str, Any]:
        """A configuration as a JSON-able dictionary, with its `name` first."""
        values = {
            k: _each(lambda x: self.to_json(x) if hasattr(x, "make") else x, v)
            for k, v in _arguments(config).items()
        }
        return {"name": config.name, **values}

    def from_json(self, data: Any) -> Any:
        """The configuration that `to_json` wrote; `ValueError` naming what does not fit."""
        if not isinstance(data, dict) or "name" not in data:
            raise ValueError(f"a {self.kind} needs a 'name' (one of {', '.join(self.configs)}), got {data!r}")
        try:
            config_class = self.get(data["name"])
        except ValueError as error:
            raise ValueError(
                f"{error}. One of your own is known once the module that registers it is imported; on the "
                "command line: --import MODULE"
            ) from None
        arguments = {
            k: _each(lambda x: self.from_json(x) if _is_config_json(x) else x, v)
            for k, v in data.items()
            if k != "name"
        }
        return validated(config_class, arguments, f"{self.kind} {data['name']!r}")


def _arguments(config: Any) -> dict[str, Any]:
    return {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}


def _functions_in(arguments: tuple[Any, ...]) -> tuple[Callable[..., Any], ...]:
    """Those of products among the arguments, which may have been replaced since their config made them."""
    each = [v for a in arguments for v in (a if type(a) in (tuple, list) else (a,))]
    return tuple(f for v in each if hasattr(v, "config") for f in v if callable(f))


def _digest(data: Any) -> bytes:
    """What tells data of other contents, types or structure apart."""
    leaves, structure = jax.tree.flatten(data)
    digest = hashlib.blake2b(repr(structure).encode())
    for leaf in map(np.asarray, leaves):
        digest.update(f"{leaf.dtype}{leaf.shape}".encode())
        digest.update(leaf.tobytes())
    return digest.digest()


def _made(arguments: dict[str, Any]) -> dict[str, Any]:
    return {k: _each(lambda x: x.make() if hasattr(x, "make") else x, v) for k, v in arguments.items()}


def _each(function: Callable[[Any], Any], value: Any) -> Any:
    """A function of a value, or of each value of a tuple of them (a list, where it comes from JSON)."""
    return tuple(map(function, value)) if type(value) in (tuple, list) else function(value)


def _has_none(value: Any) -> bool:
    return any(v is None for v in value) if type(value) is tuple else value is None


def _brief(doc: str) -> str:
    """The first line of a docstring and its arguments: what a command line's help has room for."""
    arguments = re.search(r"^Args:\n(?:[ \t].*\n?|\n)*", doc, flags=re.MULTILINE)
    return doc.split("\n", 1)[0] + (f"\n\n{arguments[0]}" if arguments else "")


def _is_config_json(value: Any) -> bool:
    return isinstance(value, dict) and "name" in value
