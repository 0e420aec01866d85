"""What is public is documented: arguments, return value, example, and an entry in the API page."""

import dataclasses
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import docstring_parser
import pytest

import learned_opt
from learned_opt.__main__ import main
from learned_opt.core.kinds import KINDS
from learned_opt.training import estimators

API_PAGE = Path(__file__).parents[1] / "docs" / "api.md"
MODULES = [
    learned_opt,
    *(
        importlib.import_module(f"learned_opt.{module.name}")
        for module in pkgutil.iter_modules(learned_opt.__path__)
        if module.ispkg
    ),
    estimators,
]
PUBLIC = {f"{module.__name__}.{name}": getattr(module, name) for module in MODULES for name in module.__all__}


def _gaps(obj: Any) -> list[str]:
    """What the docstring of a public function or class lacks."""
    text = inspect.getdoc(obj) or ""
    doc = _parsed(text)
    if not doc.short_description:
        return ["a first line"]

    # What a dataclass inherits is described where it comes from.
    inherited = obj.__mro__[1:] if dataclasses.is_dataclass(obj) and inspect.isclass(obj) else ()
    docs = (doc, *(_parsed(inspect.getdoc(base) or "") for base in inherited))
    described = {
        name for d in docs for p in d.params for name in re.split(r",\s*", p.arg_name) if p.description
    }
    names, kind = _names_to_describe(obj)
    gaps = [f"{kind}: {name}" for name in names if name not in described]
    if kind == "Args":
        if ">>>" not in text:
            gaps.append("Example")
        if not inspect.isclass(obj) and _returns_something(obj) and not doc.returns:
            gaps.append("Returns")
    return gaps


def _parsed(text: str) -> docstring_parser.Docstring:
    return docstring_parser.parse(text, style=docstring_parser.DocstringStyle.GOOGLE)


def _names_to_describe(obj: Any) -> tuple[list[str], str]:
    """The fields of a record, or the parameters of anything that is called; and their section."""
    if inspect.isclass(obj):
        if dataclasses.is_dataclass(obj):
            return [f.name for f in dataclasses.fields(obj)], "Attributes"
        if hasattr(obj, "_fields"):  # a NamedTuple
            return list(obj._fields), "Attributes"
        if hasattr(obj, "model_fields"):  # a pydantic model
            return list(obj.model_fields), "Attributes"
        if getattr(obj, "_is_protocol", False):
            return list(inspect.get_annotations(obj)), "Attributes"
        if issubclass(obj, BaseException):
            return [], "Attributes"
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    parameters = inspect.signature(obj).parameters.values()
    return [stars.get(p.kind, "") + p.name for p in parameters], "Args"


def _returns_something(function: Any) -> bool:
    return inspect.signature(function).return_annotation not in (None, "None")


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_all_names_what_exists(module: ModuleType):
    missing = [name for name in module.__all__ if not hasattr(module, name)]
    assert not missing, f"{module.__name__}.__all__ names what is not there: {missing}"
    assert len(set(module.__all__)) == len(module.__all__)
    assert module.__doc__, f"{module.__name__} has no docstring"


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_is_documented(name: str):
    obj = PUBLIC[name]
    # Modules are walked themselves; a constant or a type alias has no docstring of its own.
    if inspect.isclass(obj) or inspect.isfunction(obj):
        gaps = _gaps(obj)
        assert not gaps, f"the docstring of {name} lacks: {', '.join(gaps)}"
    package, short_name = name.rsplit(".", 1)
    assert re.search(rf"\b{short_name}\b", _api_section(package)), f"docs/api.md lacks {name}"


def _api_section(package: str) -> str:
    """The part of the API page on a subpackage; what comes before the first is on the package."""
    face, *sections = re.split(r"^## (.*)$", API_PAGE.read_text(), flags=re.MULTILINE)
    by_package = {"learned_opt": face} | dict(zip(sections[::2], sections[1::2], strict=True))
    return by_package.get(".".join(package.split(".")[:2]), "")


def test_everything_that_is_registered_is_in_the_api_page():
    registered = {name for kind in KINDS.values() for r in (kind.models, kind.tasks) for name in r.names()}
    registered |= {settings.__name__ for settings in estimators.registry.configs.values()}
    documented = set(re.findall(r"^\.\. auto(?:function|class):: (\w+)$", API_PAGE.read_text(), re.MULTILINE))
    assert registered <= documented, f"docs/api.md lacks {sorted(registered - documented)}"


def test_the_api_page_names_what_exists():
    """Sphinx warns of what is not there; so does this, without Sphinx."""
    package, obj, missing = "", None, []
    directive = re.compile(r"(?:\.\. (currentmodule|py:module|auto\w+)::|   :(members):) (.+)")
    for kind, members, names in directive.findall(API_PAGE.read_text()):
        if members:
            fields = {f for base in inspect.getmro(obj) for f in getattr(base, "__annotations__", {})}
            missing += [name for name in names.split(", ") if name not in fields and not hasattr(obj, name)]
        elif kind.startswith("auto"):
            obj = pkgutil.resolve_name(names if "." in names else f"{package}.{names}")
        else:
            package = names
    assert not missing, f"docs/api.md names members that are not there: {missing}"


def test_gaps_are_found():
    def undocumented(x: int, *, y: int) -> int: ...

    def half_documented(x: int, *, y: int) -> int:
        """Adds.

        Args:
            x: a number.
        """

    def documented(x: int, *, y: int, **kwargs: int) -> None:
        """Prints.

        Args:
            x, y: numbers.
            **kwargs: ignored.

        Example:
            >>> documented(1, y=2)
        """

    assert _gaps(undocumented) == ["a first line"]
    assert _gaps(half_documented) == ["Args: y", "Example", "Returns"]
    assert _gaps(documented) == []


def test_shipped_rules_need_no_extra():
    """The libraries of extras are imported by the functions that need them, and are missed by these alone."""
    extras = "PIL array_record jinja2 matplotlib orbax requests rich sklearn tensorflow_datasets tyro uniplot"
    code = f"""
import sys
sys.modules.update(dict.fromkeys({["chex", *extras.split()]}))  # which makes them missing
import jax.numpy as jnp, learned_opt
print("pydantic" in sys.modules)  # it takes a tenth of an import, and is needed where settings are read
params = {{"w": jnp.ones((2, 2))}}
tx = learned_opt.pretrained()
updates, _ = tx.update(params, tx.init(params), params)
print(bool((updates["w"] < 0).all()))
try:
    learned_opt.datasets.load("digits")
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "False",
        "True",
        "sklearn is missing, for the digits: pip install 'learned-opt[data]'",
    ]


def test_the_command_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(learned_opt, "cli", raising=False)
    monkeypatch.setitem(sys.modules, "learned_opt.cli", None)
    with pytest.raises(SystemExit, match=r"missing, for the command line: .*'learned-opt\[all\]'"):
        main()
