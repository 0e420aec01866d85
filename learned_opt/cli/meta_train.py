"""`learned-opt meta-train` and `learned-opt resume`."""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import tyro

from learned_opt import meta
from learned_opt.cli.options import parse, target, with_configs

USAGE = """\
usage: learned-opt meta-train RECIPE [OPTIONS]

Meta-trains by a recipe. Every field of the recipe can be overridden:

  learned-opt meta-train lstm-mnist --directory runs/wide --task.hidden-sizes 40 --num-meta-steps 2000

recipes:
{recipes}

`learned-opt meta-train RECIPE --help` lists the options with the recipe's values."""

RESUME_USAGE = """\
usage: learned-opt resume RUN

Continues the meta-training run in the directory RUN from its newest checkpoint. The result is identical
to the bit to that of a run that was never stopped."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of meta-train.

    Attributes:
        directory: where the run is stored; runs/RECIPE by default.
        start: where theta starts: a shipped optimizer's name, a .safetensors file or a finished run.
    """

    directory: Path | None = None
    start: str | None = None


def command(words: Sequence[str]) -> None:
    """Runs `learned-opt meta-train`."""
    recipes = "\n".join(f"  {name:<18}{r.summary}" for name, r in meta.RECIPES.items())
    name, rest = target(words, USAGE.format(recipes=recipes))
    recipe = meta.recipe(name)
    configs = with_configs(Options, optimizer=recipe.optimizer, task=recipe.task, settings=recipe.settings)
    # The settings' own flags need no prefix: --horizon, not --settings.horizon.
    configs.__annotations__["settings"] = Annotated[meta.Settings, tyro.conf.arg(name="")]
    options = parse(configs, rest, f"learned-opt meta-train {name}", recipe.summary)
    directory = options.directory or Path("runs") / name
    with _continuable(directory):
        run = meta.meta_train(
            options.optimizer.make(),
            options.task.make(),
            start=options.start or recipe.start,
            directory=directory,
            **dataclasses.asdict(options.settings),
        )
    _report(run)


def resume_command(words: Sequence[str]) -> None:
    """Runs `learned-opt resume`."""
    directory, _ = target(words, RESUME_USAGE)
    with _continuable(directory):
        run = meta.resume(directory)
    _report(run)


@contextlib.contextmanager
def _continuable(directory: str | Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        print(f"\nstopped; go on with: learned-opt resume {directory}", file=sys.stderr)
        raise SystemExit(130) from None


def _report(run: meta.Run) -> None:
    print(
        f"validation loss {run.validation_loss:.4g}, swept Adam's {run.adam_loss:.4g} "
        f"(ratio {run.validation_loss / run.adam_loss:.3f})\n"
        f"next: learned-opt evaluate {run.directory}"
    )
