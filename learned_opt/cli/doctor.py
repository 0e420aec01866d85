"""`learned-opt doctor`: why a recipe or a run does not learn."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table
from rich.text import Text

from learned_opt import meta
from learned_opt.cli.common import print_json
from learned_opt.cli.options import parse, target
from learned_opt.cli.recipes import RecipeOptions, overridden, recipe_listing, recipe_name
from learned_opt.meta.trainer import start_theta

USAGE = """\
usage: learned-opt doctor {{RECIPE,RUN}} [OPTIONS]

Makes a few meta-gradients and trajectories of a recipe, or of a run as it stands, and says what keeps it from
learning: noise, NaN and the leaf it is in, steps of the wrong size, saturated gates, too little memory. Every
field of a recipe can be overridden, as with train:

  learned-opt doctor lstm-quadratic --truncation 100
  learned-opt doctor runs/lstm-quadratic

Exits with status 1 if anything was found.

{recipes}"""


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Options of doctor for a run.

    Attributes:
        num_seeds: draws of problems that meta-gradients are compared over.
        num_trajectories: problems whose trajectories are watched.
        json: prints the diagnosis as JSON.
    """

    num_seeds: int = 4
    num_trajectories: int = 8
    json: bool = False


@dataclasses.dataclass(frozen=True)
class Options(RecipeOptions, RunOptions):
    """Options of doctor for a recipe.

    Attributes:
        start: the theta to look at: a shipped optimizer's name, a .safetensors file or a finished run.
    """

    start: str | None = None


def command(words: Sequence[str]) -> None:
    """Runs `learned-opt doctor`."""
    name, rest = target(words, USAGE.format(recipes=recipe_listing("optimizer")))
    as_json, diagnosis = _of_run(name, rest) if Path(name).is_dir() else _of_recipe(name, rest)
    if as_json:
        findings = [finding._asdict() for finding in diagnosis.findings]
        print_json({"of": name, "measured": diagnosis.measured, "findings": findings})
    else:
        show(diagnosis, name)
    if diagnosis.findings:
        raise SystemExit(1)


def show(diagnosis: meta.Diagnosis, name: str) -> None:
    """Prints the diagnosis of a recipe or a run."""
    console = Console()
    measured = Table("what", "measured", title=Text(name))
    for what, text in diagnosis.measured.items():
        measured.add_row(escape(what), escape(text))
    console.print(measured)
    if not diagnosis.findings:
        console.print("nothing found")
        return
    for finding in diagnosis.findings:
        table = Table(show_header=False, title=f"[bold red]{finding.name}", title_justify="left")
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for label, text in (("measured", finding.measured), ("likely", finding.cause), ("fix", finding.fix)):
            # Escaped: names of leaves have brackets, which are rich's markup.
            table.add_row(label, escape(text))
        console.print(table)


def _of_run(name: str, rest: Sequence[str]) -> tuple[bool, meta.Diagnosis]:
    """Whether JSON is asked for, and the diagnosis."""
    options = parse(RunOptions, rest, f"learned-opt doctor {name}", "Why a run does not learn.")
    with _waiting():
        return options.json, meta.doctor_run(
            name, num_seeds=options.num_seeds, num_trajectories=options.num_trajectories
        )


def _of_recipe(name: str, rest: Sequence[str]) -> tuple[bool, meta.Diagnosis]:
    name = recipe_name(name)
    kind = meta.recipe(name).kind
    if kind.name != "optimizer":
        raise ValueError(f"{name} trains a {kind.name}; doctor looks at learned optimizers alone")
    options, recipe = overridden(Options, name, rest, "doctor")
    lopt = recipe.model.make()
    with _waiting():
        return options.json, meta.doctor(
            lopt,
            recipe.task.make(),
            theta=start_theta(lopt, options.start),
            num_seeds=options.num_seeds,
            num_trajectories=options.num_trajectories,
            **recipe.settings.flat(),
        )


def _waiting() -> Status:
    return Console(stderr=True).status("compiling, and making a few meta-gradients")
