"""`learned-opt evaluate`: an optimizer against baselines with swept learning rates."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optax
from rich.console import Console

from learned_opt import reports, runs, tasks, training, zoo
from learned_opt.cli.options import parse, target, with_configs
from learned_opt.cli.report import comparison_sections, print_comparison
from learned_opt.zoo.store import Stored

USAGE = """\
usage: learned-opt evaluate {NAME,RUN,FILE} [OPTIONS]

Runs a shipped optimizer (see `learned-opt list`), the result of a meta-training run, or a .safetensors
file on fresh problems, beside SGD, momentum, NAG, RMSprop and Adam with swept learning rates.

  learned-opt evaluate lstm-quadratic
  learned-opt evaluate lstm-mnist --num-steps 200 --task.hidden-sizes 40
  learned-opt evaluate lstm-mnist --task.dataset digits --out report.html

`learned-opt evaluate NAME --help` lists the options with their values for NAME."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of evaluate.

    Attributes:
        num_steps: the step at which losses are compared.
        extra_steps: steps beyond it that the curves show.
        num_problems: fresh problems.
        window: a loss is averaged over this odd number of steps around num_steps.
        learning_rate: factor on the learned updates.
        seed: of the fresh problems; the sweeps use the next seed.
        out: writes a report to this HTML file.
    """

    num_steps: int = 100
    extra_steps: int = 0
    num_problems: int = 64
    window: int = 1
    learning_rate: float = 1.0
    seed: int = 1000
    out: Path | None = None


# What the claims in the cards and in the README are measured with, unless told otherwise.
DEFAULTS: dict[str, Options] = {
    "quadratic": Options(num_problems=1000),
    "classification": Options(num_problems=5, window=9),
    "sparse_coding": Options(num_problems=128),
}


def command(words: Sequence[str]) -> None:
    """Runs `learned-opt evaluate`."""
    console = Console(stderr=True)
    with console.status("compiling") as status:
        label, options, comparison = measure(
            words, on_progress=lambda entry: status.update(f"running {entry}")
        )
    print_comparison(comparison, label)
    if options.out is not None:
        reports.write_report(
            options.out,
            title=f"{label} beside swept baselines",
            summary=f"Task: {options.task}.",
            sections=comparison_sections(comparison, label, " ".join(["learned-opt evaluate", *words])),
        )
        print(f"report: {options.out}")


def measure(
    words: Sequence[str], on_progress: Callable[[str], None] = lambda name: None
) -> tuple[str, Any, training.Comparison]:
    """What `learned-opt evaluate` measures.

    Args:
        words: the command's, the optimizer first.
        on_progress: called with the name of each optimizer before its turn.

    Returns:
        The optimizer's label, the options, and the comparison.
    """
    name, rest = target(words, USAGE)
    stored, task_config = _find(name)
    options_class = with_configs(Options, task=task_config)
    defaults = DEFAULTS.get(task_config.name, Options())
    options: Any = parse(
        options_class,
        rest,
        f"learned-opt evaluate {name}",
        "Compares an optimizer with swept baselines on fresh problems.",
        default=options_class(**dataclasses.asdict(defaults)),
    )
    if options.out is not None:
        reports.require_plots()
    label = Path(name).stem
    comparison = training.compare(
        {label: optax.chain(stored.lopt.build(stored.theta), optax.scale(options.learning_rate))},
        options.task.make(),
        num_steps=options.num_steps,
        extra_steps=options.extra_steps,
        num_problems=options.num_problems,
        window=options.window,
        seed=options.seed,
        on_progress=on_progress,
    )
    return label, options, comparison


def _find(name: str) -> tuple[Stored, Any]:
    """The optimizer behind a name, run or file, and the configuration of the task to try it on."""
    path = Path(name)
    if path.is_dir():
        run = runs.RunDirectory.open(path)
        if run.config["task"] is None:
            raise ValueError(f"{name}: the run's task has no name; use learned_opt.compare in Python")
        return zoo.load(run.theta_path), _plain(tasks.registry.from_json(run.config["task"]))
    if path.suffix == ".safetensors":
        return zoo.load(path), tasks.registry.get("quadratic")()
    stored = zoo.shipped(name)
    return stored, _plain(tasks.registry.from_json(zoo.available()[name].task))


def _plain(task_config: Any) -> Any:
    """The task inside its augmentations, the first of a mixture: compared is on plain problems."""
    while hasattr(task_config, "task") or hasattr(task_config, "tasks"):
        task_config = task_config.task if hasattr(task_config, "task") else task_config.tasks[0]
    return task_config
