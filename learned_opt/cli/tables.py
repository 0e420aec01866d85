"""A user's table of samples, from a file: its header, its index, its targets and its numbers."""

import dataclasses
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from learned_opt.cli.text_tables import (
    INFINITE,
    MISSING,
    Dialect,
    Record,
    Records,
    listed,
    number,
    read_records,
    shown,
)

Rows = list[tuple[int, dict[str, str]]]

UNNAMED = re.compile(r"(Unnamed: \d+(_level_\d+)?)?")  # as pandas writes, and reads, a column without a name
INDEX_NAMES = ("index", "level_0")  # that pandas gives an index which becomes a column


@dataclasses.dataclass(frozen=True)
class Problem:
    """A binary problem from a file."""

    inputs: np.ndarray  # f[num_samples, num_inputs]
    targets: np.ndarray  # f[num_samples]
    queries: np.ndarray  # f[num_queries, num_inputs]
    classes: tuple[str, str]  # what the user calls the targets 0 and 1
    rows: Sequence[int]  # where each query comes from: its line in a file of text, or its number
    notes: list[str]  # what was found in the files, a line each


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of text: its columns' names, the line and the fields by column of every row, and notes."""

    path: Path
    names: list[str]
    rows: Rows
    notes: str


def read_problem(
    path: Path, target: str | None = None, queries_path: Path | None = None, dialect: Dialect | None = None
) -> Problem:
    """A user's problem from a table of text or an .npz file; errors name what is wrong and where it stands.

    The targets are the last column by default, the queries the rows without a target.
    """
    dialect = Dialect() if dialect is None else dialect
    _check_file(path)
    if path.suffix == ".npz":
        return _read_arrays(path)
    table = read_table(path, dialect, target)
    column = target or table.names[-1]
    if column not in table.names:
        raise ValueError(f"{path} has no column {column!r}; it has {listed(table.names)}")
    names = [name for name in table.names if name != column]
    known = [(line, row) for line, row in table.rows if row[column] not in MISSING]
    unknown = [(line, row) for line, row in table.rows if row[column] in MISSING]
    inputs = _numbers(path, names, known, dialect.decimal)
    targets, classes = _targets([row[column] for _, row in known], f"the column {column!r} of {path}")
    _check_varied(path, names, inputs)
    notes, asked = [table.notes], table
    if queries_path is not None:
        if unknown:
            raise ValueError(
                f"{path}, line {unknown[0][0]}: the target {column!r} is missing; fill it in, leave the row "
                "out, or leave --queries out to have such rows predicted"
            )
        asked = _read_queries(queries_path, dialect, path, names)
        unknown = asked.rows
        notes.append(asked.notes)
    elif not unknown:
        raise ValueError(
            f"{path}: there is nothing to predict; leave the target of some rows empty or give --queries"
        )
    queries = _numbers(asked.path, names, unknown, dialect.decimal)
    zero, one = map(shown, classes)
    notes.append(
        f"targets: {column!r}, {zero} is 0 and {one} is 1; inputs: {listed(names)}; {len(known)} samples, "
        f"{len(unknown)} to predict"
    )
    return Problem(inputs, targets, queries, classes, [line for line, _ in unknown], notes)


def read_table(path: Path, dialect: Dialect, target: str | None = None) -> Table:
    """A table of text, its header and its index told from its samples."""
    records = read_records(path, dialect)
    names, rows, header_line = _named(path, records, dialect, target)
    notes = list(records.notes)
    notes.append(f"header in line {header_line}" if header_line else f"no header: columns 1 to {len(names)}")
    left_out = 0 if dialect.keep_index else _leading_indices(names, rows, header_line is not None)
    if left_out:
        what = ", ".join(repr(name) if name else "which has no name" for name in names[:left_out])
        notes.append(f"the first column, {what}, left out as an index (--keep-index uses it)")
    elif _counts(rows, 0) and len(names) > 2:
        notes.append(f"the column {names[0]!r} counts the rows: take it out if it is no input")
    if records.comments:
        notes.append(f"{len(records.comments)} lines of comments left out")
    names = [name or f"column {i}" for i, name in enumerate(names, start=1)]
    kept = names[left_out:]
    if len(kept) < 2 or not rows:
        raise ValueError(f"{path}: give a header with at least two columns, and rows below it")
    if len(set(kept)) < len(kept):
        raise ValueError(f"{path}: the header names a column twice: {listed(kept)}")
    pairs = [(r.line, dict(zip(kept, r.fields[left_out:], strict=True))) for r in rows]
    return Table(path, kept, pairs, f"{path}: {'; '.join(notes)}")


def _named(
    path: Path, records: Records, dialect: Dialect, target: str | None
) -> tuple[list[str], list[Record], int | None]:
    """The columns' names, the samples, and the line of the header if there is one."""
    first, rest = records.rows[0], records.rows[1:]
    above = [c for c in records.comments if c.line < first.line and len(c.fields) == len(first.fields)]
    if dialect.header == "yes" or (
        dialect.header == "auto" and _is_header(path, first, rest, dialect, target)
    ):
        return list(first.fields), rest, first.line
    if dialect.header == "auto" and above:  # as numpy.savetxt writes it
        return list(above[-1].fields), records.rows, above[-1].line
    return [str(i) for i in range(1, len(first.fields) + 1)], records.rows, None


def _is_header(path: Path, first: Record, rest: list[Record], dialect: Dialect, target: str | None) -> bool:
    """Whether the first row names the columns; `ValueError` if that cannot be told from the rows below it."""
    if not rest or (target is not None and target in first.fields):
        return True

    def numeric(text: str) -> bool:
        return number(text, dialect.decimal) is not None

    counting = [field for field in first.fields if numeric(field)]
    counts = counting == [str(i) for i in range(len(counting))]  # as pandas names columns by default
    votes = set()
    for i, field in enumerate(first.fields):
        below = {record.fields[i] for record in rest} - MISSING
        if field in MISSING or not below:
            continue
        if numeric(field):
            # A third class of targets is none.
            third = i == len(first.fields) - 1 and len(below) == 2 and field not in below
            votes.add(counts or third)
        elif all(map(numeric, below)):
            votes.add(True)
        elif field in below or len(below) > 1:
            votes.add(field not in below)
    if len(votes) > 1:
        raise ValueError(
            f"{path}, line {first.line}: {listed(first.fields)} may name the columns or be the first row; "
            "say which: --header yes or --header no"
        )
    return votes == {True}


def _leading_indices(names: list[str], rows: list[Record], header_given: bool) -> int:
    """How many of the first columns are an index."""
    if not header_given:
        return int(_counts(rows, 0) and len(names) > 2)
    unnamed = 0
    while unnamed < len(names) - 2 and UNNAMED.fullmatch(names[unnamed]):
        unnamed += 1
    return unnamed or int(len(names) > 2 and names[0] in INDEX_NAMES and _counts(rows, 0))


def _counts(rows: list[Record], column: int) -> bool:
    """Whether a column counts the rows, upwards by 1."""
    texts = [record.fields[column] for record in rows]
    if len(texts) < 3 or not all(text.isascii() and text.isdecimal() for text in texts):
        return False
    return texts == [str(i) for i in range(int(texts[0]), int(texts[0]) + len(texts))]


def _read_queries(path: Path, dialect: Dialect, samples_path: Path, names: list[str]) -> Table:
    _check_file(path)
    table = read_table(path, dialect)
    for name in names:
        if name not in table.names:
            raise ValueError(
                f"{path} has no column {name!r}, which {samples_path} has; it has {listed(table.names)}"
            )
    return table


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise ValueError(f"{path} is a directory; give a file")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; check the path")


def _read_arrays(path: Path) -> Problem:
    wanted = ("inputs", "targets", "queries")
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            missing = [name for name in wanted if name not in arrays]
            if missing:
                raise ValueError(f"it lacks {', '.join(missing)}; it has {', '.join(arrays) or 'nothing'}")
            inputs, targets, queries = (arrays[name] for name in wanted)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: {error}") from error
    return Problem(inputs, targets, queries, ("0", "1"), range(len(queries)), [])


def _numbers(path: Path, columns: list[str], rows: Rows, decimal: str) -> np.ndarray:
    values = [
        [_number(row[name], f"{path}, line {line}, column {name!r}", decimal) for name in columns]
        for line, row in rows
    ]
    return np.array(values, np.float64).reshape(len(rows), len(columns))


def _number(text: str, where: str, decimal: str) -> float:
    if text in MISSING or INFINITE.fullmatch(text):
        what = f"{text} is missing or infinite" if text else "a value is missing"
        raise ValueError(f"{where}: {what}; mend it or leave the row out")
    value = number(text, decimal)
    if value is None:
        other = "," if decimal == "." else "."
        hint = f" (with --decimal {other} it is one)" if number(text, other) is not None else ""
        raise ValueError(
            f"{where}: {shown(text)} is no number{hint}; mend it, or leave out the row, or a column of text"
        )
    if not np.isfinite(value):
        raise ValueError(f"{where}: {shown(text)} is too large; give the column in a larger unit")
    return value


def _check_varied(path: Path, names: list[str], inputs: np.ndarray) -> None:
    for name, values in zip(names, inputs.T, strict=True):
        if len(values) and np.all(values == values[0]):
            raise ValueError(
                f"{path}, column {name!r}: it is {values[0]:g} in every row with a target, so it tells "
                "nothing; leave that column out"
            )


def _targets(texts: list[str], where: str) -> tuple[np.ndarray, tuple[str, str]]:
    found = sorted(set(texts))
    if len(found) != 2:
        some = ", ".join(map(shown, found[:5])) + (", ..." if len(found) > 5 else "")
        raise ValueError(
            f"{where} holds {len(found)} different values ({some}); the targets must be of two classes"
        )
    return np.array([float(text == found[1]) for text in texts]), (found[0], found[1])
