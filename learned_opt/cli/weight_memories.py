"""What the commands do for weight memories: networks that store another network's weights in their cells."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import jax
from rich.console import Console

from learned_opt import in_context, meta, reports, runs, zoo
from learned_opt.cli.common import print_json
from learned_opt.cli.comparison import brief
from learned_opt.cli.options import parse
from learned_opt.cli.stored import label, report_path, trained_on, what_next, write_report
from learned_opt.in_context.memory.figures import LOSSES
from learned_opt.training.estimators.settings import check_positive

ACCOUNT_DATASETS = 100


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """Options of evaluate for a weight memory.

    Attributes:
        num_datasets: fresh data sets, of the kind that theta was selected on.
        num_orders: random orders of the samples over which the second row averages.
        seed: of the data sets.
        json: prints the result as JSON.
    """

    num_datasets: int = 500
    num_orders: int = 16
    seed: int = 1000
    json: bool = False


def evaluate(what: str, words: Sequence[str]) -> None:
    """Runs `learned-opt evaluate` for a weight memory."""
    about = "Runs a weight memory on fresh data sets; `python -m benchmarks run weight_memory` compares it."
    options = parse(EvaluateOptions, words, f"learned-opt evaluate {what}", about)
    check_positive(options, "num_datasets", "num_orders")
    stored = zoo.load(what, "weight memory")
    trained_on(what, stored)
    data, num_train = in_context.comparison_datasets(stored, options.num_datasets, seed=options.seed)
    rows = []
    # Only probabilities of two classes are averaged.
    averages = (None, options.num_orders) if stored.model.targets.name == "binary" else (None,)
    with runs.progress(len(averages), "predicting fresh data sets", unit="rows") as bar:
        for done, orders in enumerate(averages):
            bar.update(done)
            losses = in_context.memory_losses(
                stored.model, stored.theta, data, num_train, num_orders=orders, seed=options.seed
            )
            rows.append(
                {
                    "predictions": "of one pass" if orders is None else f"averaged over {orders} orders",
                    "mean": float(losses.mean()),
                    "std": float(losses.std()),
                }
            )
        bar.update(len(averages))
    if options.json:
        numbers = {k: getattr(options, k) for k in ("num_datasets", "num_orders", "seed")}
        print_json({"memory": label(what), "config": stored.config.to_json(), **numbers, "rows": rows})
        return
    columns = {
        "predictions": reports.Column("predictions"),
        "mean": reports.Column(f"mean {LOSSES[stored.model.targets.name]}", digits=4),
        "std": reports.Column("standard deviation over data sets", digits=3),
    }
    selected_on = stored.config.validation_task or stored.config.task
    title = f"{label(what)}, test samples of {options.num_datasets:,} data sets of {brief(selected_on)}"
    reports.print_table(rows, columns, title=title)


@dataclasses.dataclass(frozen=True)
class InspectOptions:
    """Options of inspect for a weight memory.

    Attributes:
        out: of the report; NAME.html by default, or report.html in the run's directory.
        num_train: training samples of the 200 of every data set.
        seed: of the data sets.
    """

    out: Path | None = None
    num_train: int = 100
    seed: int = 1000


def inspect(what: str, words: Sequence[str]) -> None:
    """Runs `learned-opt inspect` for a weight memory."""
    about = "Draws what a weight memory learns: its learning curve and its weights over time."
    options = parse(InspectOptions, words, f"learned-opt inspect {what}", about)
    reports.require_plots()
    stored = zoo.load(what, "weight memory")
    trained_on(what, stored)
    data, _ = in_context.draw_datasets(
        in_context.selected_on(stored),
        jax.random.key(options.seed),
        ACCOUNT_DATASETS,
        options.num_train,
        options.num_train,
    )
    with Console(stderr=True).status("compiling"):
        sections = in_context.memory_sections(stored.model, stored.theta, data, options.num_train)
        moved = in_context.moved_section(stored, data, options.num_train)
    written = write_report(
        options.out or report_path(what), f"Inside {label(what)}", stored, [*sections, moved]
    )
    reports.print_table(sections[-1].rows, title="Root mean squares of the parameters")
    print(f"{moved.prose}\n{written}")


def after_training(run: meta.Run) -> str:
    """What there is to say of a finished run."""
    return f"validation loss {run.validation_loss:.4g}, the mean loss over test samples\n" + what_next(
        "inspect", run
    )
