"""`learned-opt demo`: the main job, from nothing to a report."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

from learned_opt import datasets, meta, reports, runs, training
from learned_opt.cli import style
from learned_opt.cli.common import continuable
from learned_opt.cli.comparison import comparison_sections, print_comparison, progress
from learned_opt.cli.options import parse

DESCRIPTION = """\
Meta-trains a coordinatewise LSTM optimizer on handwritten digits, evaluates it on problems that it has
never seen beside SGD, momentum, NAG, RMSprop and Adam with swept learning rates, prints the table and
writes a report. Uses MNIST where it is prepared (learned-opt prepare-data mnist), else scikit-learn's
digits. With --quick it takes seconds and compares with SGD and Adam alone.
`learned-opt demo style CONTENT STYLE` paints a picture in another's style instead.

  learned-opt demo --quick
  learned-opt demo --directory runs/mine --seed 1"""

NAME = "your LSTM"


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of demo.

    Attributes:
        directory: where the run and its report are stored; runs/demo-DATE by default.
        dataset: mnist, fashion_mnist or digits; MNIST where it is prepared, else digits.
        quick: seconds instead of minutes, and SGD and Adam alone beside it, to see that everything works;
            the result is poor.
        seed: of everything random.
    """

    directory: Path | None = None
    dataset: str | None = None
    quick: bool = False
    seed: int = 0


def command(words: Sequence[str]) -> None:
    """Runs `learned-opt demo`."""
    if words[:1] == ["style"]:
        style.command(words[1:])
        return
    runs.use_every_core()
    options = parse(Options, words, "learned-opt demo", DESCRIPTION)
    reports.require_plots()
    dataset = options.dataset or ("mnist" if datasets.is_prepared("mnist") else "digits")
    why = {
        "mnist": "MNIST, which is prepared on this machine",
        "digits": "scikit-learn's 8x8 digits (for MNIST: learned-opt prepare-data mnist)",
    }.get(dataset, dataset)
    print(f"Data: {why}.")

    recipe = _recipe(dataset, options)
    directory = options.directory or Path("runs") / time.strftime("demo-%Y%m%d-%H%M%S")
    with continuable(directory):
        run = meta.meta_train(
            recipe.model.make(), recipe.task.make(), directory=directory, **recipe.settings.flat()
        )
    comparison = _compare(recipe, run, options)
    print_comparison(comparison, NAME, recipe.task)

    again = f"learned-opt demo --dataset {dataset} --seed {options.seed}"
    if options.quick:
        again += " --quick"
    report = directory / "report.html"
    curve = reports.meta_training_curve(run.metrics, title="Meta-training")
    reports.write_report(
        report,
        title=f"A learned optimizer on {dataset}",
        summary=(
            f"A coordinatewise LSTM was meta-trained for {recipe.settings.num_meta_steps} meta-steps to "
            f"train a small classifier for {comparison.num_steps} steps. It is compared on "
            f"{len(comparison[NAME].curves)} starting points and minibatch orders that it has never seen. "
            f"Data: {why}."
        ),
        sections=[
            *comparison_sections(comparison, NAME, recipe.task, again),
            reports.Section("Meta-training", figures=[curve]),
        ],
    )
    print(f"\nreport:   {report}\ntheta:    {directory / 'theta.safetensors'}\nagain:    {again}")


def _recipe(dataset: str, options: Options) -> meta.Recipe:
    """What is trained on a data set."""
    recipe = meta.recipe("demo-mnist" if dataset != "digits" else "demo-digits")
    fields = recipe.settings.flat() | {"seed": options.seed}
    if options.quick:
        fields |= {"num_problems": 1, "num_meta_steps": 10, "validate_every": 5, "num_validation_problems": 2}
    return dataclasses.replace(
        recipe,
        task=dataclasses.replace(recipe.task, dataset=dataset),
        settings=meta.Settings.of(recipe.kind, fields),
    )


def _compare(recipe: meta.Recipe, run: meta.Run, options: Options) -> training.Comparison:
    """What was trained beside swept baselines, on fresh problems."""
    num_problems = 2 if options.quick else 20 if recipe.task.dataset == "digits" else 5
    estimator = recipe.settings.estimator
    baselines = training.BASELINES
    if options.quick:
        baselines = {name: baselines[name] for name in ("sgd", "adam")}
    with progress(len(baselines) + 1) as on_progress:
        return training.compare(
            {NAME: recipe.model.make().build(run.theta)},
            recipe.task.make(),
            baselines=baselines,
            num_steps=estimator.horizon,
            extra_steps=0 if options.quick else estimator.horizon,
            num_problems=num_problems,
            window=estimator.window,
            seed=options.seed + 1000,
            on_progress=on_progress,
        )
