"""`learned-opt in-context` for weight memories: predict, train, evaluate, inspect."""

import csv
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro
from rich.console import Console

from learned_opt import in_context, reports, runs
from learned_opt.cli.meta_train import continuable
from learned_opt.cli.options import parse, target, with_configs

PREDICT_USAGE = """\
usage: learned-opt in-context predict DATA [OPTIONS]

Learns a binary problem of yours in one pass and predicts, with an LSTM that stores a network's weights in its
cells. DATA is one of

  a .csv file   with a header; the column of the targets is the last, or --target NAME, and holds two
                different values. Rows without a target are predicted, or those of --queries FILE.
  a .npz file   with arrays `inputs` [n, d], `targets` [n] of 0 and 1, and `queries` [m, d].

  learned-opt in-context predict iris.csv --target species --out predictions.csv

`learned-opt in-context predict DATA --help` lists the options."""

ACCOUNT_DATASETS = 100


@dataclasses.dataclass(frozen=True)
class PredictOptions:
    """Options of in-context predict.

    Attributes:
        target: the column of the targets; the last by default.
        queries: a .csv file of samples to be predicted, with the same columns, with or without the target.
        weights: a shipped weight memory, a finished run's directory or a .safetensors file.
        num_orders: random orders of the samples over which predictions are averaged.
        seed: of the orders.
        out: where the predictions are written, as .csv; the terminal by default.
    """

    target: str | None = None
    queries: Path | None = None
    weights: str = in_context.DEFAULT_MEMORY
    num_orders: int = 16
    seed: int = 0
    out: Path | None = None


@dataclasses.dataclass(frozen=True)
class Problem:
    """A binary problem from a file.

    Attributes:
        inputs: f[num_samples, num_inputs].
        targets: f[num_samples].
        queries: f[num_queries, num_inputs].
        classes: what the user calls the targets 0 and 1.
        rows: where each query comes from: its line in a .csv file, or its number.
    """

    inputs: np.ndarray
    targets: np.ndarray
    queries: np.ndarray
    classes: tuple[str, str]
    rows: Sequence[int]


@dataclasses.dataclass(frozen=True)
class Table:
    """A .csv file: its header, and the line and the texts of every row."""

    path: Path
    names: list[str]
    rows: list[tuple[int, list[str]]]


def predict(words: Sequence[str], usage: str) -> None:
    """Runs `learned-opt in-context predict`."""
    del usage
    name, rest = ("DATA", words) if "--help" in words[:1] else target(words, PREDICT_USAGE)
    options = parse(
        PredictOptions,
        rest,
        f"learned-opt in-context predict {name}",
        "Learns a binary problem in one pass and predicts.",
    )
    problem = read_problem(Path(name), options)
    with Console(stderr=True).status("learning"):
        probabilities = in_context.predict(
            problem.inputs,
            problem.targets,
            problem.queries,
            weights=options.weights,
            num_orders=options.num_orders,
            seed=options.seed,
        )
    zero, one = problem.classes
    lines = [["row", "prediction", f"probability of {one}"]]
    for row, p in zip(problem.rows, probabilities, strict=True):
        lines.append([str(row), one if p > 0.5 else zero, f"{p:.4f}"])
    if options.out is None:
        csv.writer(sys.stdout, lineterminator="\n").writerows(lines)
    else:
        with options.out.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(lines)
        print(f"{len(probabilities)} predictions from {len(problem.inputs)} samples: {options.out}")


def read_problem(path: Path, options: PredictOptions) -> Problem:
    """A user's problem from a .csv or .npz file.

    Args:
        path: of the file.
        options: the command's.

    Returns:
        The problem.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming what is missing, no number, or not binary, and where it stands.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; check the path")
    if path.suffix == ".npz":
        return _read_arrays(path)
    if path.suffix != ".csv":
        raise ValueError(f"{path}: give a .csv file with a header, or an .npz file of arrays")
    table = _read_table(path)
    column = options.target or table.names[-1]
    if column not in table.names:
        raise ValueError(f"{path} has no column {column!r}; it has {', '.join(table.names)}")
    at = table.names.index(column)
    known = [(line, texts) for line, texts in table.rows if texts[at].strip()]
    unknown = [(line, texts) for line, texts in table.rows if not texts[at].strip()]
    inputs = _numbers(table, [i for i in range(len(table.names)) if i != at], known)
    names = [name for name in table.names if name != column]
    if options.queries is not None:
        if unknown:
            raise ValueError(
                f"{path}, line {unknown[0][0]}: the target {column!r} is missing; fill it in, leave the row "
                "out, or leave --queries out to have such rows predicted"
            )
        other = _read_table(options.queries)
        for name in names:
            if name not in other.names:
                raise ValueError(f"{options.queries} has no column {name!r}, which {path} has")
        queries, unknown = _numbers(other, [other.names.index(n) for n in names], other.rows), other.rows
    elif not unknown:
        raise ValueError(
            f"{path}: there is nothing to predict; leave the target of some rows empty or give --queries"
        )
    else:
        queries = _numbers(table, [i for i in range(len(table.names)) if i != at], unknown)
    targets, classes = _targets([texts[at].strip() for _, texts in known], f"the column {column!r} of {path}")
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
        rows = [(reader.line_num, row) for row in reader if any(text.strip() for text in row)]
    if len(names) < 2 or not rows:
        raise ValueError(f"{path}: give a header with at least two columns, and rows below it")
    if len(set(names)) < len(names):
        raise ValueError(f"{path}: the header names a column twice: {', '.join(names)}")
    for line, row in rows:
        if len(row) != len(names):
            raise ValueError(f"{path}, line {line}: {len(row)} values for {len(names)} columns")
    return Table(path, names, rows)


def _numbers(table: Table, columns: list[int], rows: list[tuple[int, list[str]]]) -> np.ndarray:
    def values(line: int, row: list[str]) -> Iterator[float]:
        for i in columns:
            where = f"{table.path}, line {line}, column {table.names[i]!r}"
            text = row[i].strip()
            try:
                value = float(text)
            except ValueError:
                what = f"{text!r} is no number" if text else "a value is missing"
                raise ValueError(f"{where}: {what}; mend it or leave the row out") from None
            if not np.isfinite(value):
                raise ValueError(f"{where}: {text} is missing or infinite; mend it or leave the row out")
            yield value

    return np.array([list(values(line, row)) for line, row in rows]).reshape(len(rows), len(columns))


def _targets(texts: list[str], where: str) -> tuple[np.ndarray, tuple[str, str]]:
    found = sorted(set(texts))
    if len(found) != 2:
        shown = ", ".join(map(repr, found[:5])) + (", ..." if len(found) > 5 else "")
        raise ValueError(
            f"{where} holds {len(found)} different values ({shown}); the targets must be of two classes"
        )
    return np.array([float(text == found[1]) for text in texts]), (found[0], found[1])


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """Options of in-context train.

    Attributes:
        directory: where the run is stored; runs/RECIPE by default.
    """

    directory: Path | None = None


def train(name: str, words: Sequence[str]) -> None:
    """Runs `learned-opt in-context train` for a weight memory's recipe."""
    recipe = in_context.MEMORY_RECIPES[name]
    configs = with_configs(
        TrainOptions,
        memory=recipe.memory,
        data=recipe.data,
        validation=recipe.validation,
        settings=recipe.settings,
    )
    # The settings' own flags need no prefix: --batch-size, not --settings.batch-size.
    configs.__annotations__["settings"] = Annotated[in_context.WeightMemorySettings, tyro.conf.arg(name="")]
    options: Any = parse(configs, words, f"learned-opt in-context train {name}", recipe.summary)
    directory = options.directory or Path("runs") / name
    with continuable(directory):
        trained = in_context.train_weight_memory(
            options.memory.make(),
            options.data.make(),
            validation=options.validation.make(),
            directory=directory,
            **dataclasses.asdict(options.settings),
        )
    print(
        f"mean cross entropy {trained.validation_loss:.4g} over test samples\n"
        f"next: learned-opt in-context inspect {directory}"
    )


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """Options of in-context evaluate.

    Attributes:
        num_datasets: fresh data sets, of the kind that theta was selected on.
        num_orders: random orders of the samples over which the second row averages.
        seed: of the data sets.
    """

    num_datasets: int = 500
    num_orders: int = 16
    seed: int = 1000


def evaluate(name: str, words: Sequence[str]) -> None:
    """Runs `learned-opt in-context evaluate` for a weight memory."""
    options = parse(
        EvaluateOptions,
        words,
        f"learned-opt in-context evaluate {name}",
        "Runs a weight memory on fresh data sets; `python -m benchmarks run weight_memory` compares it.",
    )
    for field in ("num_datasets", "num_orders"):
        if getattr(options, field) < 1:
            raise ValueError(f"{field}={getattr(options, field)!r}: it must be at least 1")
    stored = in_context.load_memory(name)
    data, num_train = in_context.comparison_datasets(stored, options.num_datasets, seed=options.seed)
    rows = []
    with Console(stderr=True).status("compiling"):
        for orders in (None, options.num_orders):
            losses = in_context.memory_losses(
                stored.memory, stored.theta, data, num_train, num_orders=orders, seed=options.seed
            )
            rows.append(
                {
                    "predictions": "of one pass" if orders is None else f"averaged over {orders} orders",
                    "mean": float(losses.mean()),
                    "std": float(losses.std()),
                }
            )
    columns = {
        "predictions": reports.Column("predictions"),
        "mean": reports.Column("mean cross entropy", digits=4),
        "std": reports.Column("standard deviation over data sets", digits=3),
    }
    title = f"{Path(name).stem}, test samples of {options.num_datasets:,} data sets"
    Console().print(reports.terminal_table(rows, columns, title=title))


@dataclasses.dataclass(frozen=True)
class InspectOptions:
    """Options of in-context inspect.

    Attributes:
        out: of the report; NAME.html by default, or report.html in the run's directory.
        num_train: training samples of the 200 of every data set.
        seed: of the data sets.
    """

    out: Path | None = None
    num_train: int = 100
    seed: int = 1000


def inspect(name: str, words: Sequence[str]) -> None:
    """Runs `learned-opt in-context inspect` for a weight memory."""
    options = parse(
        InspectOptions,
        words,
        f"learned-opt in-context inspect {name}",
        "Draws what a weight memory learns: its learning curve and its weights over time.",
    )
    reports.require_plots()
    stored = in_context.load_memory(name)
    data, _ = in_context.draw_datasets(
        stored.validation,
        jax.random.key(options.seed),
        ACCOUNT_DATASETS,
        options.num_train,
        options.num_train,
    )
    with Console(stderr=True).status("compiling"):
        sections = in_context.memory_sections(stored.memory, stored.theta, data, options.num_train)
    Console().print(reports.terminal_table(sections[-1].rows, title="Root mean squares of the parameters"))
    out = options.out
    if out is None:
        path = Path(name)
        out = runs.RunDirectory.open(path).report_path if path.is_dir() else Path(f"{path.stem}.html")
    reports.write_report(
        out,
        title=f"Inside {Path(name).stem}",
        summary=f"Network: {stored.memory.config}. Data: {stored.validation.config}.",
        sections=sections,
    )
    print(f"report: {out}")
