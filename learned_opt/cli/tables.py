"""A user's table of samples, from a file."""

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

Rows = list[tuple[int, dict[str, str]]]


@dataclasses.dataclass(frozen=True)
class Problem:
    """A binary problem from a file."""

    inputs: np.ndarray  # f[num_samples, num_inputs]
    targets: np.ndarray  # f[num_samples]
    queries: np.ndarray  # f[num_queries, num_inputs]
    classes: tuple[str, str]  # what the user calls the targets 0 and 1
    rows: Sequence[int]  # where each query comes from: its line in a .csv file, or its number


@dataclasses.dataclass(frozen=True)
class Table:
    """A .csv file: its header, and the line and the texts by column of every row."""

    path: Path
    names: list[str]
    rows: Rows


def read_problem(path: Path, target: str | None = None, queries_path: Path | None = None) -> Problem:
    """A user's problem from a .csv or .npz file; errors name what is wrong and where it stands.

    The targets are the last column by default, the queries the rows without a target.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; check the path")
    if path.suffix == ".npz":
        return _read_arrays(path)
    if path.suffix != ".csv":
        raise ValueError(f"{path}: give a .csv file with a header, or an .npz file of arrays")
    table = _read_table(path)
    column = target or table.names[-1]
    if column not in table.names:
        raise ValueError(f"{path} has no column {column!r}; it has {', '.join(table.names)}")
    names = [name for name in table.names if name != column]
    known = [(line, row) for line, row in table.rows if row[column]]
    unknown = [(line, row) for line, row in table.rows if not row[column]]
    inputs = _numbers(table.path, names, known)
    if queries_path is not None:
        if unknown:
            raise ValueError(
                f"{path}, line {unknown[0][0]}: the target {column!r} is missing; fill it in, leave the row "
                "out, or leave --queries out to have such rows predicted"
            )
        table = _read_table(queries_path)
        for name in names:
            if name not in table.names:
                raise ValueError(f"{queries_path} has no column {name!r}, which {path} has")
        unknown = table.rows
    elif not unknown:
        raise ValueError(
            f"{path}: there is nothing to predict; leave the target of some rows empty or give --queries"
        )
    queries = _numbers(table.path, names, unknown)
    targets, classes = _targets([row[column] for _, row in known], f"the column {column!r} of {path}")
    return Problem(inputs, targets, queries, classes, [line for line, _ in unknown])


def _read_arrays(path: Path) -> Problem:
    with np.load(path) as arrays:
        missing = [name for name in ("inputs", "targets", "queries") if name not in arrays]
        if missing:
            raise ValueError(f"{path} lacks {', '.join(missing)}; it has {', '.join(arrays) or 'nothing'}")
        inputs, targets, queries = (arrays[name] for name in ("inputs", "targets", "queries"))
    return Problem(inputs, targets, queries, ("0", "1"), range(len(queries)))


def _read_table(path: Path) -> Table:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        names = [name.strip() for name in next(reader, [])]
        texts = ((reader.line_num, [text.strip() for text in row]) for row in reader)
        rows = [(line, row) for line, row in texts if any(row)]
    if len(names) < 2 or not rows:
        raise ValueError(f"{path}: give a header with at least two columns, and rows below it")
    if len(set(names)) < len(names):
        raise ValueError(f"{path}: the header names a column twice: {', '.join(names)}")
    for line, row in rows:
        if len(row) != len(names):
            raise ValueError(f"{path}, line {line}: {len(row)} values for {len(names)} columns")
    return Table(path, names, [(line, dict(zip(names, row, strict=True))) for line, row in rows])


def _numbers(path: Path, columns: list[str], rows: Rows) -> np.ndarray:
    values = [
        [_number(row[name], f"{path}, line {line}, column {name!r}") for name in columns]
        for line, row in rows
    ]
    return np.array(values).reshape(len(rows), len(columns))


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        what = f"{text!r} is no number" if text else "a value is missing"
        raise ValueError(f"{where}: {what}; mend it or leave the row out") from None
    if not np.isfinite(value):
        raise ValueError(f"{where}: {text} is missing or infinite; mend it or leave the row out")
    return value


def _targets(texts: list[str], where: str) -> tuple[np.ndarray, tuple[str, str]]:
    found = sorted(set(texts))
    if len(found) != 2:
        shown = ", ".join(map(repr, found[:5])) + (", ..." if len(found) > 5 else "")
        raise ValueError(
            f"{where} holds {len(found)} different values ({shown}); the targets must be of two classes"
        )
    return np.array([float(text == found[1]) for text in texts]), (found[0], found[1])
