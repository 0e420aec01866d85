"""Meta-training: the one impure loop around the pure meta-step."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from learned_opt import optimizers, runs, tasks, zoo
from learned_opt.core.config import validated
from learned_opt.core.types import Data, Key, LearnedOptimizer, Task, Theta
from learned_opt.meta.alarms import Alarms
from learned_opt.meta.findings import diverged
from learned_opt.meta.settings import Settings
from learned_opt.meta.sharding import compiled, in_force, problem_mesh, replicated
from learned_opt.meta.step import MetaState, StepMetrics, initial_state, meta_steps
from learned_opt.training.evaluate import trajectories
from learned_opt.training.tune import loss_at, mean_loss, tune, with_prox

# Theta is selected on problems that neither meta-training nor evaluation of the same seed draws.
TRAINING_STREAM, VALIDATION_STREAM = 0x7A1, 0x5E1


class Run(NamedTuple):
    """What a meta-training run gives.

    Attributes:
        theta: the meta-parameters of the best validation.
        validation_loss: their mean loss at the horizon, on the validation problems, as `tune.mean_loss` says.
        adam_loss: swept Adam's on the same problems.
        last_theta: the meta-parameters after the last meta-step.
        metrics: one dictionary a validation, as in the run's `metrics.jsonl`.
        directory: where the run is stored, or `None`.
    """

    theta: Theta
    validation_loss: float
    adam_loss: float
    last_theta: Theta
    metrics: list[dict[str, Any]]
    directory: Path | None


def meta_train(
    lopt: LearnedOptimizer,
    task: Task,
    *,
    start: str | Path | None = None,
    directory: str | Path | None = None,
    mesh: Mesh | None = None,
    quiet: bool = False,
    **settings: Any,
) -> Run:
    """Meta-trains a learned optimizer on a task.

    Every `validate_every` meta-steps theta is validated on fresh problems, the best theta so far is kept,
    and with a `directory` the run is checkpointed; a run that was killed goes on with `resume`.

    Args:
        lopt: the learned optimizer.
        task: what it is trained on.
        start: where theta starts: a shipped optimizer's name, a `.safetensors` file, or the directory of a
            finished run; fresh meta-parameters by default.
        directory: a new directory for the configuration, metrics, checkpoints and the final theta;
            nothing is stored without one.
        mesh: the devices that the problems are split over, a mesh with the one axis "problems"; by default
            all devices of all processes, or one where a single process has devices that do not divide
            `num_problems`. Of several processes, which must all make the same call, the first writes and
            shows progress.
        quiet: whether to show no progress.
        **settings: fields of `Settings`: horizon, truncation, num_meta_steps, learning_rate, seed, ...

    Returns:
        The best theta and how it came about.

    Raises:
        ValueError: if a setting is unknown or out of range, the theta to start from is another
            optimizer's, or the devices do not divide `num_problems`.
        RunError: if the directory holds something already.

    Example:
        >>> from learned_opt import optimizers, tasks
        >>> run = meta_train(
        ...     optimizers.lstm(hidden_sizes=(4,)),
        ...     tasks.quadratic(dim=2),
        ...     horizon=10,
        ...     truncation=5,
        ...     num_problems=4,
        ...     num_meta_steps=4,
        ...     validate_every=2,
        ...     steps_per_call=2,
        ...     quiet=True,
        ... )
        >>> len(run.metrics)
        2
    """
    checked = validated(Settings, settings, "settings")
    mesh = problem_mesh(checked.num_problems, mesh)
    theta = start_theta(lopt, start)
    run_directory = None
    if directory is not None:
        run_directory = runs.RunDirectory.create(
            directory,
            {
                "optimizer": lopt.config and optimizers.registry.to_json(lopt.config),
                "task": task.config and tasks.registry.to_json(task.config),
                "settings": dataclasses.asdict(checked),
                "start": None if start is None else str(start),
                "provenance": runs.provenance(),
            },
        )
    return _run(lopt, task, checked, theta, run_directory, mesh, quiet)


def resume(
    directory: str | Path,
    *,
    lopt: LearnedOptimizer | None = None,
    task: Task | None = None,
    mesh: Mesh | None = None,
    quiet: bool = False,
) -> Run:
    """Continues a run from its newest checkpoint; the result is bit-identical to an undisturbed run's.

    On another number of devices than before it is the same but for rounding, since sums are taken in another
    order.

    Args:
        directory: of the run.
        lopt: the learned optimizer, for a run whose optimizer has no name to be found by.
        task: likewise.
        mesh: the devices to go on with, as `meta_train` takes it, whatever they were before.
        quiet: whether to show no progress.

    Returns:
        As `meta_train`; a finished run is returned as it is.

    Raises:
        RunError: if the directory holds no run, or its configuration is damaged.
        CheckpointError: if no checkpoint of the run is whole.
        ValueError: if the run's optimizer or task has no name and is not given, or the devices do not
            divide `num_problems`.

    Example:
        >>> import tempfile
        >>> from learned_opt import optimizers, tasks
        >>> path = tempfile.mkdtemp() + "/run"
        >>> run = meta_train(
        ...     optimizers.lstm(hidden_sizes=(4,)),
        ...     tasks.quadratic(dim=2),
        ...     directory=path,
        ...     horizon=10,
        ...     truncation=5,
        ...     num_problems=4,
        ...     num_meta_steps=2,
        ...     validate_every=2,
        ...     quiet=True,
        ... )
        >>> resume(path, quiet=True).validation_loss == run.validation_loss
        True
    """
    run_directory = runs.RunDirectory.open(directory)
    lopt, task, settings = open_run(run_directory, lopt, task)
    theta = start_theta(lopt, run_directory.config["start"])
    mesh = problem_mesh(settings.num_problems, mesh)
    return _run(lopt, task, settings, theta, run_directory, mesh, quiet)


def open_run(
    run: runs.RunDirectory, lopt: LearnedOptimizer | None = None, task: Task | None = None
) -> tuple[LearnedOptimizer, Task, Settings]:
    """What a run is of, made again from its configuration.

    Args:
        run: its directory.
        lopt: the learned optimizer, where it has no name to be found by.
        task: likewise.

    Returns:
        The learned optimizer, the task and the settings.

    Raises:
        ValueError: if the optimizer or the task has no name and is not given.
    """
    return (
        lopt or _named(optimizers.registry, run.config["optimizer"], "lopt"),
        task or _named(tasks.registry, run.config["task"], "task"),
        validated(Settings, run.config["settings"], "settings"),
    )


def _named(registry: Any, config: Any, argument: str) -> Any:
    if config is None:
        raise ValueError(
            f"this run's {registry.kind} was made from something without a name; "
            f"pass the same one to resume({argument}=...)"
        )
    return registry.from_json(config).make()


def start_theta(lopt: LearnedOptimizer, start: str | Path | None) -> Theta | None:
    """The theta that a run starts from.

    Args:
        lopt: the learned optimizer.
        start: as in `meta_train`.

    Returns:
        Theta, or `None` for fresh ones.

    Raises:
        FileNotFoundError: if there is no such run or file.
        ValueError: if it is another optimizer's.
    """
    if start is None:
        return None
    path = Path(start)
    if len(path.parts) > 1 and not path.exists():
        raise FileNotFoundError(f"start={str(start)!r}: there is no such run or file; check the path")
    if path.is_dir():
        path = runs.RunDirectory.open(path).theta_path
    theta = (zoo.load(path) if path.suffix == ".safetensors" else zoo.shipped(str(start))).theta
    lopt.build(theta)  # an error names the leaf that does not fit
    return theta


def first_state(lopt: LearnedOptimizer, task: Task, settings: Settings, theta: Theta | None) -> MetaState:
    """The state that a run begins with.

    Args:
        lopt: the learned optimizer.
        task: what it is trained on.
        settings: of the run.
        theta: meta-parameters to start from; `None` for fresh ones.

    Returns:
        The state before the first meta-step.
    """
    estimator = settings.make_estimator(lopt, task)
    outer = settings.outer_optimizer()
    return initial_state(_training_key(settings), _init(lopt, theta), outer, estimator, task.data)


def _init(lopt: LearnedOptimizer, theta: Theta | None) -> Callable[[Key], Theta]:
    return lopt.init if theta is None else lambda key: jax.tree.map(jnp.asarray, theta)


def _training_key(settings: Settings) -> Key:
    return jax.random.fold_in(jax.random.key(settings.seed), TRAINING_STREAM)


def _run(
    lopt: LearnedOptimizer,
    task: Task,
    settings: Settings,
    theta: Theta | None,
    directory: runs.RunDirectory | None,
    mesh: Mesh | None,
    quiet: bool,
) -> Run:
    training_key, data = replicated(mesh, (_training_key(settings), task.data))
    task = task._replace(data=data)
    outer = settings.outer_optimizer()
    estimator = settings.make_estimator(lopt, task)

    def begin(key: Key, data: Data) -> MetaState:
        return initial_state(key, _init(lopt, theta), outer, estimator, data)

    def several_meta_steps(key: Key, state: MetaState, data: Data, num_steps: int):
        return meta_steps(key, state, data, outer, estimator, num_steps)

    first, advance = compiled(mesh, begin, several_meta_steps, training_key, data)

    with runs.history(directory, first) as history:
        alarms = Alarms(history.state.theta)
        validate, adam_loss = _validation(lopt, task, settings, mesh)

        def end_period(state: MetaState, reports: Sequence[StepMetrics]):
            # All processes take the first one's word, so that none decides otherwise by a rounding.
            loss, share_diverged = map(runs.agreed, validate(jax.device_get(state.theta)))
            norms = np.concatenate([report.gradient_norm for report in reports])
            alarms.look(state.theta, norms, share_diverged)
            if loss < float(state.best_loss):
                best_theta = jax.tree.map(jnp.copy, state.theta)
                state = state._replace(best_theta=best_theta, best_loss=jnp.full_like(state.best_loss, loss))
            return state, {
                "validation_loss": loss,
                "best_loss": float(state.best_loss),
                "adam_loss": adam_loss,
                "diverged": share_diverged,
                "skipped": int(optax.tree.get(state.outer_state, "total_notfinite")),
                **_summary(reports),
            }

        runs.run_periods(
            history,
            advance,
            end_period,
            num_steps=settings.num_meta_steps,
            period=settings.validate_every,
            steps_per_call=settings.steps_per_call,
            title="meta-training",
            unit="meta-steps",
            figures=lambda report, rows: {
                "meta-loss": float(report.meta_loss[-1]),
                "final loss": rows[-1]["validation_loss"] if rows else None,
                "tuned adam": adam_loss,
            },
            quiet=quiet,
        )
        state = history.state

    if not np.isfinite(state.best_loss):
        raise FloatingPointError(
            "the validation loss was never finite; lower learning_rate or output_scale, or clip_norm"
        )
    theta = jax.device_get(state.best_theta)
    if directory is not None and lopt.config is not None and runs.is_first():
        runs.save_weights(
            directory.theta_path,
            theta,
            {"optimizer": optimizers.registry.to_json(lopt.config)},
            overwrite=True,
        )
    runs.barrier("theta is stored")
    return Run(
        theta,
        float(state.best_loss),
        adam_loss,
        jax.device_get(state.theta),
        history.rows,
        directory and directory.path,
    )


def _validation(lopt: LearnedOptimizer, task: Task, settings: Settings, mesh: Mesh | None):
    """From theta to its mean loss on the validation problems and how many diverged; swept Adam's loss."""
    key = jax.random.fold_in(jax.random.key(settings.seed), VALIDATION_STREAM)
    keys = jax.random.split(key, settings.num_validation_problems)
    last = settings.horizon + settings.window // 2
    task = task._replace(metrics=None)

    def validate(build: Any, theta: Theta) -> tuple[float, float]:
        with in_force(mesh):
            curves = np.asarray(trajectories(build, task, last, theta, keys)[0])
        losses = loss_at(curves, settings.horizon, settings.window)
        share_diverged = float(diverged(curves[:, 0], losses).mean())
        mean = mean_loss(losses, settings.log_floor)
        return mean if np.isfinite(mean) else float("inf"), share_diverged

    with in_force(mesh):
        adam = tune(
            optax.adam,
            task,
            num_steps=settings.horizon,
            num_problems=settings.num_validation_problems,
            seed=settings.seed,
            window=settings.window,
        )
    adam_loss, _ = validate(with_prox(optax.adam, task), adam.learning_rate)
    return functools.partial(validate, lopt.build), adam_loss


def _summary(reports: Sequence[StepMetrics]) -> dict[str, float | None]:
    """The means of a period's meta-steps, those that were not finite left out."""
    meta_loss, gradient_norm, last_loss, ends = (
        np.concatenate(values) for values in zip(*reports, strict=True)
    )
    return {
        "meta_loss": _finite_mean(meta_loss),
        "gradient_norm": _finite_mean(gradient_norm),
        "last_loss": _finite_mean(last_loss[ends]),
    }


def _finite_mean(values: np.ndarray) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else None
