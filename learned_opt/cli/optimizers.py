"""What the commands do for learned optimizers."""

import dataclasses
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import optax
import tyro

from learned_opt import meta, reports, tasks, training, zoo
from learned_opt.cli.common import print_json, with_imports
from learned_opt.cli.comparison import brief, comparison_sections, print_comparison, progress, ratio
from learned_opt.cli.options import chosen, parse, with_configs, wrapped
from learned_opt.cli.stored import label, trained_on, what_next
from learned_opt.meta.settings import settings_of


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of evaluate for a learned optimizer.

    Attributes:
        task_name: a task to measure it on, in place of the one that it was trained on.
        wrap: what is put around the task, such as gradient_noise; the task's own options are then
            --task.task.NAME.
        num_steps: the step at which losses are compared; the horizon that it was trained for by default.
        extra_steps: steps beyond it that the curves show.
        num_problems: fresh problems.
        window: a loss is averaged over this odd number of steps around num_steps.
        learning_rate: factor on the learned updates.
        seed: of the fresh problems; the sweeps use the next seed.
        out: writes a report to this HTML file.
        json: prints the result as JSON.
    """

    task_name: Annotated[str | None, tyro.conf.arg(name="task")] = None
    wrap: str | None = None
    num_steps: int = 100
    extra_steps: int = 0
    num_problems: int = 64
    window: int = 1
    learning_rate: float = 1.0
    seed: int = 1000
    out: Path | None = None
    json: bool = False

    def __post_init__(self):
        if not np.isfinite(self.learning_rate):
            raise ValueError(f"learning_rate={self.learning_rate!r}: it must be a finite number")


# What the claims in the cards and in the README are measured with, unless told otherwise.
DEFAULTS: dict[str, Options] = {
    "quadratic": Options(num_problems=1000),
    "classification": Options(num_problems=5, window=9),
    "sparse_coding": Options(num_problems=128),
}


def evaluate(what: str, words: Sequence[str]) -> None:
    """Runs `learned-opt evaluate` for a learned optimizer."""
    words = [what, *words]
    with progress(len(training.BASELINES) + 1) as on_progress:
        name, options, comparison = measure(words, on_progress)
    if options.out is not None:  # first: the terminal may be gone
        command = with_imports(shlex.join(["learned-opt", "evaluate", *words]))
        reports.write_report(
            options.out,
            title=f"{name} beside swept baselines",
            summary=f"Task: {options.task}.",
            sections=comparison_sections(comparison, name, options.task, command),
        )
    if options.json:
        print_json(
            {
                "optimizer": name,
                "config": zoo.load(what).config.to_json(),
                "task": tasks.registry.to_json(options.task),
                **{key: getattr(options, key) for key in ("num_steps", "num_problems", "window", "seed")},
                "learning_rate": options.learning_rate,
                "rows": comparison.rows(),
            }
        )
        return
    print_comparison(comparison, name, options.task)
    print(_origin(zoo.load(what, "optimizer"), options))
    if options.out is not None:
        print(f"report: {options.out}")


def _origin(stored: zoo.Stored, options: Any) -> str:
    """What an optimizer was trained on and for how long, beside what it was measured on."""
    config = stored.config
    on = "a task that the file does not name" if config.task is None else brief(config.task)
    horizon = _horizon(config)
    steps = "a number of steps that the file does not name" if horizon is None else f"{horizon} steps"
    return f"Trained on {on}, for {steps}; measured on {brief(options.task)}, at step {options.num_steps}."


def _horizon(config: zoo.Config) -> int | None:
    """The steps that an optimizer was trained for, where it says so."""
    settings = config.settings or {}
    if "horizon" in settings:  # all that a user's own file may say
        return settings["horizon"]
    return settings_of(config).estimator.horizon if settings else None


def measure(
    words: Sequence[str], on_progress: Callable[[str], None] = lambda name: None
) -> tuple[str, Any, training.Comparison]:
    """What `learned-opt evaluate` measures by its words: the optimizer's label, the options, the comparison.

    `on_progress` is called with the name of each optimizer before its turn.
    """
    what, *rest = words
    stored = zoo.load(what, "optimizer")
    task = _task(what, stored, chosen(rest, "--task"))
    defaults = DEFAULTS.get(task.name, Options())
    wrapper = chosen(rest, "--wrap")
    if wrapper is not None:
        task = wrapped(task, wrapper, tasks.registry)
    options_class = with_configs(Options, task=task)
    horizon = _horizon(stored.config)
    if horizon is not None:
        defaults = dataclasses.replace(defaults, num_steps=horizon)
    options: Any = parse(
        options_class,
        rest,
        f"learned-opt evaluate {what}",
        "Compares an optimizer with swept baselines on fresh problems.",
        default=options_class(**dataclasses.asdict(defaults)),
    )
    if options.out is not None:
        reports.require_plots()
    name = label(what)
    comparison = training.compare(
        {name: optax.chain(stored.lopt.build(stored.theta), optax.scale(options.learning_rate))},
        options.task.make(),
        num_steps=options.num_steps,
        extra_steps=options.extra_steps,
        num_problems=options.num_problems,
        window=options.window,
        seed=options.seed,
        on_progress=on_progress,
    )
    return name, options, comparison


def inspect(what: str, words: Sequence[str]) -> None:
    """Says what there is in place of `learned-opt inspect` for a learned optimizer."""
    raise ValueError(
        f"{what} is a learned optimizer, and inspect takes function learners and weight memories apart; see "
        f"`learned-opt evaluate {what}`, or `learned-opt doctor` for a recipe or a run"
    )


def after_training(run: meta.Run) -> str:
    """What there is to say of a finished run."""
    estimator = settings_of(zoo.load(run.directory or "", "optimizer").config).estimator
    averaged = ", of the mean of logarithms" if getattr(estimator, "log_floor", None) is not None else ""
    words = f"validation loss {run.validation_loss:.4g}{averaged}"
    if np.isfinite(run.adam_loss):
        words += f", swept Adam's {run.adam_loss:.4g} (ratio {ratio(run.validation_loss, run.adam_loss)})"
    return f"{words}\n{what_next('evaluate', run)}"


def _task(what: str, stored: zoo.Stored, name: str | None) -> Any:
    """The configuration of the task to measure an optimizer on."""
    if name is None:
        return _plain(trained_on(what, stored, "name a task to measure it on: --task NAME"))
    task = tasks.registry.get(name)
    if any(field.default is dataclasses.MISSING for field in dataclasses.fields(task)):
        raise ValueError(f"--task {name}: that wraps other tasks; name a task by itself")
    return task()


def _plain(task: Any) -> Any:
    """The task inside its augmentations, the first of a mixture: problems are compared on as they are."""
    while hasattr(task, "task") or hasattr(task, "tasks"):
        task = task.task if hasattr(task, "task") else task.tasks[0]
    return task
