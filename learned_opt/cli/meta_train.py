"""`learned-opt meta-train` and `learned-opt resume`."""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import jax
import tyro

from learned_opt import in_context, meta, runs, tasks
from learned_opt.cli.options import listing, parse, target, with_configs

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
usage: learned-opt resume RUN [--distributed]

Continues the meta-training run in the directory RUN from its newest checkpoint. The result is identical
to the bit to that of a run that was never stopped; on another number of devices, to rounding."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of meta-train.

    Attributes:
        directory: where the run is stored; runs/RECIPE by default.
        start: where theta starts: a shipped optimizer's name, a .safetensors file or a finished run.
        wrap: what is put around the task, innermost first: random_scaling, convex_term, gradient_noise,
            normalized_loss.
        distributed: whether this is one of several processes, on one cluster, that share the problems.
    """

    directory: Path | None = None
    start: str | None = None
    wrap: tuple[str, ...] = ()
    distributed: bool = False


@dataclasses.dataclass(frozen=True)
class ResumeOptions:
    """Options of resume.

    Attributes:
        distributed: whether this is one of several processes, on one cluster, that share the problems.
    """

    distributed: bool = False


def command(words: Sequence[str]) -> None:
    """Runs `learned-opt meta-train`."""
    runs.use_every_core()
    recipes = listing({name: recipe.summary for name, recipe in meta.RECIPES.items()})
    name, rest = target(words, USAGE.format(recipes=recipes))
    recipe = meta.recipe(name)
    configs = with_configs(Options, optimizer=recipe.optimizer, task=recipe.task, settings=recipe.settings)
    # The settings' own flags need no prefix: --horizon, not --settings.horizon.
    configs.__annotations__["settings"] = Annotated[meta.Settings, tyro.conf.arg(name="")]
    options = parse(configs, rest, f"learned-opt meta-train {name}", recipe.summary)
    options = dataclasses.replace(options, task=_wrapped(options.task, options.wrap))
    if options.distributed:
        _join()
    directory = options.directory or _directory(name)
    runs.RunDirectory.check_free(directory)  # before an earlier recipe runs for it
    start = options.start or _earlier_run(recipe)
    _report(_train(options, start, directory))


def resume_command(words: Sequence[str]) -> None:
    """Runs `learned-opt resume`."""
    runs.use_every_core()
    directory, rest = target(words, RESUME_USAGE)
    if parse(ResumeOptions, rest, f"learned-opt resume {directory}", RESUME_USAGE).distributed:
        _join()
    with continuable(directory):
        config = runs.RunDirectory.open(directory).config
        if "learner" in config or "memory" in config:
            again = in_context.resume_learner if "learner" in config else in_context.resume_weight_memory
            trained = again(directory)
            print(f"validation loss {trained.validation_loss:.4g}")
            return
        run = meta.resume(directory)
    _report(run)


def _join() -> None:
    """Makes the devices of all processes one job's; before jax is first used."""
    try:
        jax.distributed.initialize()
    except ValueError as error:
        raise ValueError(
            f"--distributed: {error} It finds the other processes under SLURM, Open MPI, Kubernetes and on "
            "Cloud TPUs; elsewhere call jax.distributed.initialize(address, num_processes, process_id) and "
            "learned_opt.meta_train in a script"
        ) from error


def _wrapped(task: Any, names: Sequence[str]) -> Any:
    """A task's configuration inside wrappers, with their default arguments."""
    for name in names:
        wrapper = tasks.registry.get(name)
        if "task" not in (field.name for field in dataclasses.fields(wrapper)):
            raise ValueError(f"--wrap {name}: that is a task of its own, and not a wrapper of one")
        task = wrapper(task=task)
    return task


def _directory(name: str) -> Path:
    return Path("runs") / name


def _earlier_run(recipe: meta.Recipe) -> Path | None:
    """The run that a recipe goes on from; made or continued first where it is not finished."""
    if recipe.start is None:
        return None
    directory, earlier = _directory(recipe.start), meta.recipe(recipe.start)
    finished, begun = runs.RunDirectory(directory, {}).theta_path.exists(), directory.exists()
    runs.barrier(f"{recipe.start} is looked for")  # before a process makes it
    if not finished:
        _say(f"{recipe.start} comes first, in {directory}")
        if begun:
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


def _say(text: str) -> None:
    """Prints it, once for all processes."""
    if runs.is_first():
        print(text)


def _report(run: meta.Run) -> None:
    _say(
        f"validation loss {run.validation_loss:.4g}, swept Adam's {run.adam_loss:.4g} "
        f"(ratio {run.validation_loss / run.adam_loss:.3f})\n"
        f"next: learned-opt evaluate {run.directory}"
    )
