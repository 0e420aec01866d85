"""What a run trains, on what and how: from the arguments of `meta_train`, or from a run's directory."""

from pathlib import Path
from typing import Any, NamedTuple

from jax.sharding import Mesh

from learned_opt import runs, zoo
from learned_opt.core.kinds import Trainable, kind_of
from learned_opt.core.types import Theta
from learned_opt.meta.settings import Settings, settings_of
from learned_opt.zoo.store import check_theta


class Job(NamedTuple):
    """What a run trains, on what and how."""

    model: Any
    task: Any
    validation_task: Any  # `None` where it is the task
    settings: Settings
    start: Theta | None  # `None` for a fresh one


def open_run(run: runs.RunDirectory, model: Any = None, task: Any = None, validation_task: Any = None) -> Job:
    """The job of a run, made again from its configuration; what has no name there must be given."""
    if "kind" not in run.config:
        raise runs.RunError(
            f"{run.path} was made by an older learned_opt, or by something else than meta-training; start it "
            "anew in another directory"
        )
    config = zoo.Config.from_json(run.config)

    def made(given: Any, named: Any, argument: str) -> Any:
        if given is None and named is None:
            raise ValueError(
                f"this run's {argument} was made from something without a name; "
                f"pass the same one to resume({argument}=...)"
            )
        return named.make() if given is None else given

    model = made(model, config.model, "model")
    if run.config["has_validation_task"]:
        validation_task = made(validation_task, config.validation_task, "validation_task")
    settings = settings_of(config)
    return Job(
        model,
        made(task, config.task, "task"),
        validation_task,
        settings,
        start_theta(model, run.config["start"]),
    )


def start_theta(model: Any, start: str | Path | None) -> Theta | None:
    """The theta that a run starts from, as in `meta_train`, or `None` for fresh ones."""
    if start is None:
        return None
    theta = zoo.load(start).theta
    check_theta(model, theta)
    return theta


def make_trainable(job: Job, mesh: Mesh | None = None) -> Trainable:
    """What the trainer sees of a model and its task, the problems split over the mesh if there is one."""
    model, task, validation_task, settings, _ = job
    validation_task = task if validation_task is None else validation_task
    return kind_of(model).trainable(model, task, validation_task, settings, mesh)
