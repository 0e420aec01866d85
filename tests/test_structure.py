"""The house keeps its size: files, functions and argument lists that a reader can hold in mind."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(path for part in ("learned_opt", "benchmarks") for path in (ROOT / part).rglob("*.py"))
MOST_LINES, MOST_BODY_LINES, MOST_ARGUMENTS = 350, 60, 8


def functions(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            yield node


def body_lines(function: ast.FunctionDef) -> int:
    """Without the docstring."""
    body = function.body[ast.get_docstring(function) is not None :]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def arguments(function: ast.FunctionDef) -> list[str]:
    names = [a.arg for a in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls")]


def is_registered(function: ast.FunctionDef) -> bool:
    """The signature of a registered factory is a dataclass of settings, written once."""
    return any(ast.unparse(decorator).endswith("registry.register") for decorator in function.decorator_list)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path: Path):
    assert len(path.read_text().splitlines()) <= MOST_LINES
    for function in functions(path):
        assert body_lines(function) <= MOST_BODY_LINES, function.name
        assert is_registered(function) or len(arguments(function)) <= MOST_ARGUMENTS, function.name
