"""`learned-opt meta-train` and `learned-opt resume`."""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from learned_opt import in_context, meta, runs
from learned_opt.cli.options import parse, target, with_configs

USAGE = """\
usage: learned-opt meta-train RECIPE [OPTIONS]

Meta-trains by a recipe. Every field of the recipe can be overridden:

  learned-opt meta-train lstm-mnist-short --directory runs/wide --task.hidden-sizes 40 --num-meta-steps 2000

A recipe that goes on from another's run has that one run first, in runs/RECIPE, unless it is finished there
or --start names another theta.

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
    directory = options.directory or _directory(name)
    runs.RunDirectory.check_free(directory)  # before an earlier recipe runs for it
    start = options.start or _earlier_run(recipe)
    _report(_train(options, start, directory))


def resume_command(words: Sequence[str]) -> None:
    """Runs `learned-opt resume`."""
    directory, _ = target(words, RESUME_USAGE)
    with continuable(directory):
        config = runs.RunDirectory.open(directory).config
        if "learner" in config or "memory" in config:
            again = in_context.resume_learner if "learner" in config else in_context.resume_weight_memory
            trained = again(directory)
            print(f"validation loss {trained.validation_loss:.4g}")
            return
        run = meta.resume(directory)
    _report(run)


def _directory(name: str) -> Path:
    return Path("runs") / name


def _earlier_run(recipe: meta.Recipe) -> Path | None:
    """The run that a recipe goes on from; made or continued first where it is not finished."""
    if recipe.start is None:
        return None
    directory, earlier = _directory(recipe.start), meta.recipe(recipe.start)
    if not runs.RunDirectory(directory, {}).theta_path.exists():
        print(f"{recipe.start} comes first, in {directory}")
        if directory.exists():
            with continuable(directory):
                _report(meta.resume(directory))
        else:
            _report(_train(earlier, _earlier_run(earlier), directory))
    return directory


def _train(what: Any, start: str | Path | None, directory: Path) -> meta.Run:
    """Runs a recipe, or options of its fields."""
    with continuable(directory):
        return meta.meta_train(
            what.optimizer.make(),
            what.task.make(),
            start=start,
            directory=directory,
            **dataclasses.asdict(what.settings),
        )


@contextlib.contextmanager
def continuable(directory: str | Path) -> Iterator[None]:
    """Says how to go on with a run that is stopped from the keyboard."""
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
