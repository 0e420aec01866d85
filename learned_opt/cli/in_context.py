"""`learned-opt in-context`: networks that learn inside their own state."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro
from rich.console import Console

from learned_opt import in_context, reports, runs
from learned_opt.cli import weight_memory
from learned_opt.cli.meta_train import continuable
from learned_opt.cli.options import listing, parse, target, with_configs
from learned_opt.core.errors import unknown_name
from learned_opt.in_context.functions.evaluation import SETTLED, Evaluation
from learned_opt.in_context.functions.sequences import StoredLearner

USAGE = """\
usage: learned-opt in-context {commands} ... [OPTIONS]

Recurrent networks that learn in their state while their weights stay fixed: functions of two variables, or
the weights of another network.

  learned-opt in-context train RECIPE     meta-trains one; every field of the recipe can be overridden
  learned-opt in-context evaluate WHAT    a run, file or shipped learner on fresh sequences, beside the limit
  learned-opt in-context inspect WHAT     what its cells store, as an account and as a report
  learned-opt in-context predict DATA     predictions for a binary problem of your own, by a weight memory

recipes:
{recipes}

shipped: {shipped}"""

T = TypeVar("T")

FAMILY_COLUMNS = {
    "functions": reports.Column("functions"),
    "mse": reports.Column("mean squared error", digits=3),
    "spread": reports.Column("spread over seeds", digits=2),
    "bayes_mse": reports.Column("Bayes-optimal", digits=3),
    "settled_mse": reports.Column(f"from example {SETTLED + 1} on", digits=3),
    "accuracy": reports.Column("accuracy"),
    "bayes_accuracy": reports.Column("Bayes-optimal accuracy"),
}


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """Options of in-context train.

    Attributes:
        directory: where the run is stored; runs/RECIPE by default.
    """

    directory: Path | None = None


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """Options of in-context evaluate.

    Attributes:
        length: examples of each function; as in its validation by default.
        num_functions: functions in a sequence, one after another without reset.
        num_sequences: fresh sequences of each seed.
        seeds: how many times; the spread is over them.
        seed: the first.
        out: writes a report to this HTML file.
    """

    length: int | None = None
    num_functions: int = 1
    num_sequences: int = 1000
    seeds: int = 3
    seed: int = 1000
    out: Path | None = None


@dataclasses.dataclass(frozen=True)
class InspectOptions:
    """Options of in-context inspect.

    Attributes:
        out: of the report; report.html in the run's directory by default.
        settled: examples of a function before cells are read.
        seed: of the sequences.
    """

    out: Path | None = None
    settled: int = 32
    seed: int = 0


def command(words: Sequence[str]) -> None:
    """Runs `learned-opt in-context`."""
    shipped = _shipped()
    every = {**in_context.LEARNER_RECIPES, **in_context.MEMORY_RECIPES}
    recipes = listing({name: recipe.summary for name, recipe in every.items()})
    usage = USAGE.format(
        commands="{" + ",".join(COMMANDS) + "}", recipes=recipes, shipped=", ".join(shipped) or "none"
    )
    name, rest = target(words, usage)
    if name not in COMMANDS:
        raise unknown_name("command of in-context", name, COMMANDS)
    COMMANDS[name](rest, usage)


def train(words: Sequence[str], usage: str) -> None:
    """Runs `learned-opt in-context train`."""
    name, rest = target(words, usage)
    if name in in_context.MEMORY_RECIPES:
        return weight_memory.train(name, rest)
    recipe = in_context.learner_recipe(name)
    configs = with_configs(
        TrainOptions, learner=recipe.learner, family=recipe.family, settings=recipe.settings
    )
    # The settings' own flags need no prefix: --length, not --settings.length.
    configs.__annotations__["settings"] = Annotated[in_context.LearnerSettings, tyro.conf.arg(name="")]
    options: Any = parse(configs, rest, f"learned-opt in-context train {name}", recipe.summary)
    directory = options.directory or Path("runs") / name
    with continuable(directory):
        trained = in_context.train_learner(
            options.learner.make(),
            options.family.make(),
            directory=directory,
            **dataclasses.asdict(options.settings),
        )
    print(
        f"validation loss {trained.validation_loss:.4g} after {options.settings.num_epochs:,.0f} epochs\n"
        f"next: learned-opt in-context evaluate {directory}"
    )


def evaluate(words: Sequence[str], usage: str) -> None:
    """Runs `learned-opt in-context evaluate`."""
    if _is_memory(words):
        return weight_memory.evaluate(words[0], words[1:])
    name, options = _what(
        words,
        usage,
        EvaluateOptions,
        "evaluate",
        "Runs a function learner on fresh sequences, its state reset at the start of each.",
    )
    if options.seeds < 1:
        raise ValueError(f"seeds={options.seeds!r}: it must be at least 1")
    if options.out is not None:
        reports.require_plots()
    stored = in_context.load_learner(name)
    length = options.length or stored.settings.test_length
    rows, first = [], {}
    with Console(stderr=True).status("compiling"):
        for part, family in parts(stored).items():
            evaluations = [
                in_context.evaluate_learner(
                    stored.learner,
                    stored.theta,
                    family,
                    length=length,
                    num_functions=options.num_functions,
                    num_sequences=options.num_sequences,
                    seed=options.seed + i,
                )
                for i in range(options.seeds)
            ]
            first[part] = evaluations[0]
            rows.append({"functions": part, **in_context.mean_summary(evaluations)})
    label = Path(name).stem
    shown = {k: c for k, c in FAMILY_COLUMNS.items() if any(row.get(k) is not None for row in rows)}
    Console().print(reports.terminal_table(rows, shown, title=f"{label}, {length} examples of a function"))
    if options.out is not None:
        command = " ".join(["learned-opt in-context evaluate", *words])
        _report(options.out, label, stored, rows, shown, first, name, command)
        print(f"report: {options.out}")


def inspect(words: Sequence[str], usage: str) -> None:
    """Runs `learned-opt in-context inspect`."""
    if _is_memory(words):
        return weight_memory.inspect(words[0], words[1:])
    name, options = _what(
        words,
        usage,
        InspectOptions,
        "inspect",
        "Takes a function learner apart: its account in the terminal, all of it in one HTML report.",
    )
    reports.require_plots()
    stored = in_context.load_learner(name)
    with Console(stderr=True).status("compiling"):
        surgery = in_context.inspect_learner(
            stored.learner,
            stored.theta,
            stored.family,
            settled=options.settled,
            length=options.settled + 64,
            seed=options.seed,
        )
    sentences = in_context.account(surgery)
    print("\n".join(sentences))
    out = options.out
    if out is None:
        out = (
            runs.RunDirectory.open(name).report_path
            if Path(name).is_dir()
            else Path(f"{Path(name).stem}.html")
        )
    reports.write_report(
        out,
        title=f"Inside {Path(name).stem}",
        summary=f"Learner: {stored.learner.config}. Family: {stored.family.config}.",
        sections=in_context.surgery_sections(surgery, sentences),
    )
    print(f"report: {out}")


def _shipped() -> list[str]:
    return sorted(path.stem for path in in_context.WEIGHTS.rglob("*.safetensors"))


def _is_memory(words: Sequence[str]) -> bool:
    """Whether a command is given a weight memory; an unknown name is met with all that are shipped."""
    if not words or words[0].startswith("-"):
        return False
    path = Path(words[0])
    if not path.is_dir() and path.suffix != ".safetensors" and words[0] not in _shipped():
        raise unknown_name("learner", words[0], _shipped())
    return in_context.is_memory(path)


def _what(words: Sequence[str], usage: str, options: type[T], name: str, about: str) -> tuple[str, T]:
    """The run, file or learner that a command is given, and its options; `--help` works without one."""
    asked = bool(words) and words[0] in ("-h", "--help")
    what, rest = ("WHAT", words) if asked else target(words, usage)
    return what, parse(options, rest, f"learned-opt in-context {name} {what}", about)


def parts(stored: StoredLearner) -> dict[str, in_context.Family]:
    """The family that a learner was trained on, and what was held out of it."""
    config: Any = stored.family.config
    if getattr(config, "num_held_out", 0):
        held_out = dataclasses.replace(config, part="held_out").make()
        return {"training": stored.family, "held out": held_out}
    return {config.name: stored.family}


def _report(
    out: Path,
    label: str,
    stored: StoredLearner,
    rows: list[dict[str, Any]],
    columns: dict[str, reports.Column],
    evaluations: dict[str, Evaluation],
    name: str,
    command: str,
) -> None:
    sections = [
        reports.Section(
            "Errors",
            rows=rows,
            columns=columns,
            figures=[
                in_context.error_curve({label: e}, title=f"Error against time, {part}")
                for part, e in evaluations.items()
            ],
            command=command,
        )
    ]
    if Path(name).is_dir():
        curve = in_context.training_curve(
            runs.read_metrics(runs.RunDirectory.open(name).metrics_path),
            stored.settings,
            rows[0]["bayes_mse"],
            title="Meta-training",
        )
        sections.append(reports.Section("Meta-training", figures=[curve]))
    reports.write_report(
        out,
        title=f"{label} on fresh sequences",
        summary=f"Learner: {stored.learner.config}. Family: {stored.family.config}.",
        sections=sections,
    )


COMMANDS: dict[str, Callable[[Sequence[str], str], None]] = {
    "train": train,
    "evaluate": evaluate,
    "inspect": inspect,
    "predict": weight_memory.predict,
}
