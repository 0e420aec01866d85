"""What the commands do for function learners: networks that learn a function in their own state."""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from learned_opt import in_context, meta, reports, runs, zoo
from learned_opt.cli.common import print_json, with_imports
from learned_opt.cli.comparison import brief
from learned_opt.cli.options import chosen, parse, with_configs
from learned_opt.cli.stored import label, report_path, trained_on, what_next, write_report
from learned_opt.in_context.functions import families
from learned_opt.in_context.functions.evaluation import SETTLED, Evaluation
from learned_opt.meta.settings import settings_of
from learned_opt.training.estimators.settings import check_positive

COLUMNS = {
    "functions": reports.Column("family"),
    "mse": reports.Column("mean squared error", digits=3),
    "spread": reports.Column("spread over seeds", digits=2),
    "bayes_mse": reports.Column("Bayes-optimal", digits=3),
    "switching_mse": reports.Column("Bayes-optimal, not told when", digits=3),
    "mean_mse": reports.Column("running mean", digits=3),
    "settled_mse": reports.Column(f"from example {SETTLED + 1} on", digits=3),
    "cycles": reports.Column("cycles to learn", digits=3),
    "accuracy": reports.Column("accuracy"),
    "bayes_accuracy": reports.Column("Bayes-optimal accuracy"),
}


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """Options of evaluate for a function learner.

    Attributes:
        task_name: a family of test functions, in place of the one that it was trained on.
        length: examples of each function; as in its validation by default.
        num_functions: functions in a sequence, one after another without reset.
        num_sequences: fresh sequences of each seed.
        seeds: how many times; the spread is over them.
        seed: the first.
        out: writes a report to this HTML file.
        json: prints the result as JSON.
    """

    task_name: Annotated[str | None, tyro.conf.arg(name="task")] = None
    length: int | None = None
    num_functions: int = 1
    num_sequences: int = 1000
    seeds: int = 3
    seed: int = 1000
    out: Path | None = None
    json: bool = False


@dataclasses.dataclass(frozen=True)
class InspectOptions:
    """Options of inspect for a function learner.

    Attributes:
        out: of the report; NAME.html by default, or report.html in the run's directory.
        settled: examples of a function before cells are read.
        seed: of the sequences.
    """

    out: Path | None = None
    settled: int = 32
    seed: int = 0


def evaluate(what: str, words: Sequence[str]) -> None:
    """Runs `learned-opt evaluate` for a function learner."""
    about = "Runs a function learner on fresh sequences, its state reset at the start of each."
    stored = zoo.load(what, "function learner")
    name = chosen(words, "--task")
    family = trained_on(what, stored) if name is None else families.registry.get(name)()
    options: Any = parse(
        with_configs(EvaluateOptions, task=family), words, f"learned-opt evaluate {what}", about
    )
    check_positive(options, "seeds")
    if options.out is not None:
        reports.require_plots()
    trained_with = settings_of(stored.config).estimator
    length = trained_with.examples_in_validation if options.length is None else options.length
    evaluations = _evaluations(stored, options, length)
    rows = [{"functions": part, **in_context.mean_summary(each)} for part, each in evaluations.items()]
    columns = {k: c for k, c in COLUMNS.items() if any(row.get(k) is not None for row in rows)}
    title = (
        f"{label(what)} on {brief(options.task)}, {length} examples of a function, "
        f"{options.seeds} x {options.num_sequences:,} fresh sequences"
    )
    if options.num_functions > 1:
        title += f", {options.num_functions} functions in a row, the state kept from each to the next"
    written = None
    if options.out is not None:
        errors = reports.Section(
            "Errors",
            rows=rows,
            columns=columns,
            figures=[
                in_context.error_curve({label(what): first}, title=f"Error against time, {part}")
                for part, (first, *_) in evaluations.items()
            ],
            command=with_imports(shlex.join(["learned-opt", "evaluate", what, *words])),
        )
        sections = [errors, *_training(what, stored, rows[0])]
        written = write_report(options.out, f"{label(what)} on fresh sequences", stored, sections)
    if options.json:
        print_json(
            {
                "learner": label(what),
                "config": stored.config.to_json(),
                "task": families.registry.to_json(options.task),
                "length": length,
                **{k: getattr(options, k) for k in ("num_functions", "num_sequences", "seeds", "seed")},
                "rows": rows,
            }
        )
        return
    reports.print_table(rows, columns, title=title)
    if written is not None:
        print(written)


def _evaluations(stored: zoo.Stored, options: Any, length: int) -> dict[str, list[Evaluation]]:
    """One evaluation a seed, by part of the family."""
    families_by_part = parts(options.task)
    evaluations: dict[str, list[Evaluation]] = {part: [] for part in families_by_part}
    draws = [(part, options.seed + i) for part in families_by_part for i in range(options.seeds)]
    with runs.progress(len(draws), "running fresh sequences", unit="seeds") as bar:
        for done, (part, seed) in enumerate(draws):
            bar.update(done)
            evaluations[part].append(
                in_context.evaluate_learner(
                    stored.model,
                    stored.theta,
                    families_by_part[part],
                    length=length,
                    num_functions=options.num_functions,
                    num_sequences=options.num_sequences,
                    seed=seed,
                )
            )
        bar.update(len(draws))
    return evaluations


def inspect(what: str, words: Sequence[str]) -> None:
    """Runs `learned-opt inspect` for a function learner."""
    about = "Takes a function learner apart: its account in the terminal, all of it in one HTML report."
    options = parse(InspectOptions, words, f"learned-opt inspect {what}", about)
    reports.require_plots()
    stored = zoo.load(what, "function learner")
    family = trained_on(what, stored).make()
    chosen = {"settled": options.settled, "length": options.settled + 64, "seed": options.seed}
    with Console(stderr=True).status("compiling"):
        ablation = in_context.inspect_learner(stored.model, stored.theta, family, **chosen)
        probes = in_context.probe_learner(stored.model, stored.theta, family, **chosen)
    one_by_one, together = in_context.describe(ablation), in_context.describe_probes(probes)
    sections = in_context.ablation_sections(ablation, one_by_one)
    sections += in_context.probe_sections(probes, together)
    written = write_report(options.out or report_path(what), f"Inside {label(what)}", stored, sections)
    print("\n".join([*one_by_one, "", *together, written]))


def after_training(run: meta.Run) -> str:
    """What there is to say of a finished run."""
    settings = settings_of(zoo.load(run.directory or "").config)
    epochs = settings.num_meta_steps * settings.estimator.epochs_per_step
    return f"validation loss {run.validation_loss:.4g} after {epochs:,.0f} epochs\n" + what_next(
        "evaluate", run
    )


def parts(config: Any) -> dict[str, in_context.Family]:
    """The family of a configuration, and what it holds out of training."""
    if getattr(config, "num_held_out", 0):
        held_out = dataclasses.replace(config, part="held_out").make()
        return {"training": config.make(), "held out": held_out}
    return {config.name: config.make()}


def _training(what: str, stored: zoo.Stored, row: Mapping[str, Any]) -> list[reports.Section]:
    """How a run came to its learner."""
    if not Path(what).is_dir():
        return []
    rows = runs.read_metrics(runs.RunDirectory.open(what).metrics_path)
    estimator = settings_of(stored.config).estimator
    curve = in_context.training_curve(rows, estimator, row["bayes_mse"], title="Meta-training")
    return [reports.Section("Meta-training", figures=[curve])]
