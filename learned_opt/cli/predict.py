"""`learned-opt predict`: a user's binary problem, learned by a weight memory."""

import csv
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from learned_opt import in_context
from learned_opt.cli.options import parse, target
from learned_opt.cli.tables import read_problem
from learned_opt.cli.text_tables import Dialect

USAGE = """\
usage: learned-opt predict DATA [OPTIONS]

Learns a binary problem of yours in one pass and predicts, with an LSTM that stores a network's weights in its
cells. DATA is one of

  a table       as pandas, numpy and spreadsheets write it: .csv, .tsv, .txt, compressed or not. The column of
                the targets is the last, or --target NAME, and holds two different values. Rows without a
                target are predicted, or those of --queries FILE.
  a .npz file   with arrays `inputs` [n, d], `targets` [n] of 0 and 1, and `queries` [m, d].

  learned-opt predict iris.csv --target species --out predictions.csv

Delimiter, header, index and encoding of a table are detected; what was found is written to standard error.

`learned-opt predict DATA --help` lists the options."""

DESCRIPTION = """\
Learns a binary problem in one pass and predicts.

  learned-opt predict iris.csv --target species --out predictions.csv"""


@dataclasses.dataclass(frozen=True)
class Options(Dialect):
    """Options of predict.

    Attributes:
        target: the column of the targets; the last by default.
        queries: a table of samples to be predicted, with the same columns, with or without the target.
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


def command(words: Sequence[str]) -> None:
    """Runs `learned-opt predict`."""
    name, rest = ("DATA", words) if words[:1] in (["-h"], ["--help"]) else target(words, USAGE)
    options = parse(Options, rest, f"learned-opt predict {name}", DESCRIPTION)
    problem = read_problem(Path(name), options.target, options.queries, options)
    print("\n".join(problem.notes), end="\n" if problem.notes else "", file=sys.stderr)
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
