"""`learned-opt train` and `learned-opt resume`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import jax

from learned_opt import meta, runs
from learned_opt.cli.common import continuable
from learned_opt.cli.kinds import COMMANDS_OF
from learned_opt.cli.options import parse, target, wrapped
from learned_opt.cli.recipes import RecipeOptions, overridden, recipe_listing, recipe_name

USAGE = """\
usage: learned-opt train {{RECIPE,FILE.py}} [OPTIONS]

Meta-trains by a recipe, or by the one that a Python file of yours registers. Every field of the recipe can be
overridden:

  learned-opt train lstm-mnist-short --directory runs/wide --task.hidden-sizes 40 --num-meta-steps 2000
  learned-opt train lstm-quadratic --estimator pes --sigma 0.1 --optimizer.hidden-sizes 10
  learned-opt train boolean-16 --model.num-cells 8
  learned-opt train mine.py

A recipe that goes on from another's run has that one run first, in runs/RECIPE, unless it is finished there
or --start names another theta.

{recipes}

`learned-opt train RECIPE --help` lists the options with the recipe's values."""

RESUME_USAGE = """\
usage: learned-opt resume RUN [--distributed]

Continues the meta-training run in the directory RUN from its newest checkpoint. The result is identical
to the bit to that of a run that was never stopped; on another number of devices, to rounding.

  learned-opt resume runs/lstm-mnist"""


@dataclasses.dataclass(frozen=True)
class ResumeOptions:
    """Options of resume.

    Attributes:
        distributed: whether this is one of several processes, on one cluster, that share the problems.
    """

    distributed: bool = False


@dataclasses.dataclass(frozen=True)
class Options(RecipeOptions, ResumeOptions):
    """Options of train.

    Attributes:
        directory: where the run is stored; runs/RECIPE by default.
        start: where theta starts: the name of what is shipped, a .safetensors file or a finished run.
        wrap: what is put around the task, innermost first: random_scaling, convex_term, gradient_noise,
            normalized_loss.
    """

    directory: Path | None = None
    start: str | None = None
    wrap: tuple[str, ...] = ()


def command(words: Sequence[str]) -> None:
    """Runs `learned-opt train`."""
    runs.use_every_core()
    name, rest = target(words, USAGE.format(recipes=recipe_listing()))
    name = recipe_name(name)
    options, recipe = overridden(Options, name, rest, "train")
    recipe = _wrapped(recipe, options.wrap)
    if options.distributed:
        _join()
    directory = options.directory or Path("runs") / name
    runs.RunDirectory.check_free(directory)  # before an earlier recipe runs for it
    _train(recipe, options.start or _earlier_run(recipe), directory)


def resume_command(words: Sequence[str]) -> None:
    """Runs `learned-opt resume`."""
    runs.use_every_core()
    directory, rest = target(words, RESUME_USAGE)
    if parse(ResumeOptions, rest, f"learned-opt resume {directory}", RESUME_USAGE).distributed:
        _join()
    _resume(Path(directory))


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


def _wrapped(recipe: meta.Recipe, names: Sequence[str]) -> meta.Recipe:
    """A recipe whose task is inside wrappers, with their default arguments."""
    task = recipe.task
    for name in names:
        task = wrapped(task, name, recipe.kind.tasks)
    return dataclasses.replace(recipe, task=task)


def _earlier_run(recipe: meta.Recipe) -> Path | None:
    """The run that a recipe goes on from; made or continued first where it is not finished."""
    if recipe.start is None:
        return None
    directory, earlier = Path("runs") / recipe.start, meta.recipe(recipe.start)
    finished, begun = runs.RunDirectory(directory, {}).theta_path.exists(), directory.exists()
    runs.barrier(f"{recipe.start} is looked for")  # before a process makes it
    if not finished:
        _say(f"{recipe.start} comes first, in {directory}")
        if begun:
            _resume(directory)
        else:
            _train(earlier, _earlier_run(earlier), directory)
    return directory


def _train(recipe: meta.Recipe, start: str | Path | None, directory: Path) -> None:
    with continuable(directory):
        run = meta.meta_train(
            recipe.model.make(),
            recipe.task.make(),
            validation_task=recipe.validation_task and recipe.validation_task.make(),
            start=start,
            directory=directory,
            **recipe.settings.flat(),
        )
    _report(run, recipe.kind.name)


def _resume(directory: Path) -> None:
    with continuable(directory):
        run = meta.resume(directory)
    _report(run, runs.RunDirectory.open(directory).config["kind"])


def _report(run: meta.Run, kind: str) -> None:
    last = run.metrics[-1]
    if last["skipped"]:
        _say(
            f"{last['skipped']:,} meta-gradients of {last['step']:,} meta-steps were not finite and were "
            "skipped; `learned-opt doctor` looks for the cause"
        )
    _say(COMMANDS_OF[kind].after_training(run))


def _say(text: str) -> None:
    """Prints it, once for all processes."""
    if runs.is_first():
        print(text)
