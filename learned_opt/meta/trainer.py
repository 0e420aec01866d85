"""Meta-training: the one impure loop around the pure meta-step, for everything that is meta-trained."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from learned_opt import runs, zoo
from learned_opt.core.kinds import Trainable, kind_of
from learned_opt.core.sharding import without_mesh
from learned_opt.core.types import Theta
from learned_opt.meta.diagnosis.monitor import Monitor
from learned_opt.meta.fields import Fields
from learned_opt.meta.job import Job, make_trainable, open_run, start_theta
from learned_opt.meta.outer import kept_theta
from learned_opt.meta.settings import Settings
from learned_opt.meta.sharding import problem_mesh
from learned_opt.meta.starts import compiled_run, each_start
from learned_opt.meta.step import MetaState, StepMetrics
from learned_opt.zoo.config import config_of


class Run(NamedTuple):
    """What a meta-training run gives.

    Attributes:
        theta: the meta-parameters of the best validation.
        validation_loss: that validation's loss.
        last_theta: the meta-parameters after the last meta-step, or their running mean; of the best start, if
            there are several.
        metrics: one dictionary a validation, as in the run's `metrics.jsonl`.
        directory: where the run is stored, or `None`.
    """

    theta: Theta
    validation_loss: float
    last_theta: Theta
    metrics: list[dict[str, Any]]
    directory: Path | None

    @property
    def adam_loss(self) -> float:
        """Swept Adam's loss on the validation problems of a learned optimizer; NaN of all else."""
        return self.metrics[-1].get("adam_loss", np.nan)


@without_mesh()
def meta_train(
    model: Any,
    task: Any,
    *,
    validation_task: Any = None,
    start: str | Path | None = None,
    directory: str | Path | None = None,
    mesh: Mesh | None = None,
    quiet: bool = False,
    **settings: Unpack[Fields],
) -> Run:
    """Meta-trains a learned optimizer, a function learner or a weight memory.

    Every `validate_every` meta-steps theta is validated on fresh problems, the best theta so far is kept,
    and with a `directory` the run is checkpointed; a run that was killed goes on with `resume`.

    Args:
        model: the learned optimizer; or a function learner or a weight memory of `in_context`.
        task: what it is trained on: a task; or a family of functions, or a distribution of data sets.
        validation_task: what theta is selected on; the same by default.
        start: where theta starts: the name of a shipped weight, a `.safetensors` file, or the directory of a
            finished run; fresh meta-parameters by default.
        directory: a new directory for the configuration, metrics, checkpoints and the final theta;
            nothing is stored without one.
        mesh: the devices that the problems are split over, a mesh with the one axis "problems"; by default
            all devices of all processes, or one where a single process has devices that do not divide
            `num_problems`. A mesh that is set by `jax.set_mesh` has no influence. Of several processes,
            which must all make the same call, the first writes and shows progress.
        quiet: whether to show no progress.
        **settings: fields of `Settings` and of its estimator, side by side: horizon, truncation,
            num_meta_steps, learning_rate, seed, ...; `estimator` is a name such as `"pes"`, or settings such
            as `estimators.Pes(sigma=0.1)`.

    Returns:
        The best theta and how it came about.

    Raises:
        TypeError: if the model is nothing that can be meta-trained.
        ValueError: if a setting is unknown or out of range, the theta to start from is another
            model's, or the devices do not divide `num_problems`.
        RunError: if the directory holds something already.
        FloatingPointError: if no validation's loss was finite.

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
    checked = Settings.of(kind_of(model), dict(settings))
    mesh = _mesh(checked, mesh)
    theta = start_theta(model, start)
    job = Job(model, task, validation_task, checked, theta)
    trainable = make_trainable(job, mesh)  # before there is a directory that an error would leave behind
    run_directory = None
    if directory is not None:
        config = config_of(model, task, validation_task, checked.to_json())[1]
        run_directory = runs.RunDirectory.create(
            directory,
            {
                **config.to_json(),
                "has_validation_task": validation_task is not None,
                "start": None if start is None else str(start),
                "provenance": runs.provenance(),
            },
        )
    return _run(job, trainable, run_directory, mesh, quiet)


@without_mesh()
def resume(
    directory: str | Path,
    *,
    model: Any = None,
    task: Any = None,
    validation_task: Any = None,
    mesh: Mesh | None = None,
    quiet: bool = False,
) -> Run:
    """Continues a run from its newest checkpoint; the result is bit-identical to an undisturbed run's.

    On another number of devices than before it is the same but for rounding, since sums are taken in another
    order.

    Args:
        directory: of the run.
        model: for a run whose model has no name to be found by: the same as in `meta_train`.
        task: likewise.
        validation_task: likewise.
        mesh: as in `meta_train`.
        quiet: whether to show no progress.

    Returns:
        As `meta_train`; a finished run is returned as it is.

    Raises:
        RunError: if the directory holds no run.
        CheckpointError: if no checkpoint of the run is whole.
        ValueError: if the run's model or task has no name and is not given.

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
    job = open_run(run_directory, model, task, validation_task)
    mesh = _mesh(job.settings, mesh)
    return _run(job, make_trainable(job, mesh), run_directory, mesh, quiet)


def _mesh(settings: Settings, mesh: Mesh | None) -> Mesh | None:
    num_problems = getattr(settings.estimator, "num_problems", None)
    if num_problems is not None and settings.num_starts == 1:
        return problem_mesh(num_problems, mesh)
    if mesh is not None:
        raise ValueError("mesh is for the problems of one start: leave it out, or choose num_starts=1")
    return None


def _run(
    job: Job, trainable: Trainable, directory: runs.RunDirectory | None, mesh: Mesh | None, quiet: bool
) -> Run:
    settings = job.settings
    first, advance = compiled_run(trainable, settings, job.start, mesh)
    steps = settings.num_meta_steps
    with (
        runs.history(directory, first) as history,
        runs.progress(steps, "meta-training", unit="meta-steps", quiet=quiet or not runs.is_first()) as bar,
    ):
        runs.run_periods(
            history,
            advance,
            _validator(trainable, settings.num_starts, Monitor(history.state.theta)),
            num_steps=steps,
            period=settings.validate_every,
            steps_per_call=settings.steps_per_call,
            on_call=lambda step, report, rows: bar.update(
                step, **_progress_figures(report, rows, settings.estimator)
            ),
        )
        state, rows = history.state, history.rows
    if not np.isfinite(state.least_loss):
        raise FloatingPointError(
            "the validation loss was never finite; `learned-opt doctor` looks for the cause"
        )
    theta = jax.device_get(state.best_theta)
    if directory is not None and job.model.config is not None and runs.is_first():
        zoo.save(
            directory.theta_path,
            job.model,
            theta,
            task=job.task,
            validation_task=job.validation_task,
            settings=settings.to_json(),
            overwrite=True,
        )
    runs.barrier("theta is stored")
    kept = kept_theta(state.theta, state.outer_state)
    last = each_start(jax.device_get(kept), settings.num_starts)[rows[-1].get("best_start", 0)]
    return Run(theta, state.least_loss, last, rows, directory and directory.path)


def _validator(trainable: Trainable, num_starts: int, monitor: Monitor) -> Callable[..., Any]:
    """What ends a period: validates theta, keeps the best, and gives the metrics."""

    def end_period(state: MetaState, reports: Sequence[StepMetrics]) -> tuple[MetaState, dict[str, Any]]:
        kept = kept_theta(state.theta, state.outer_state)
        found = [trainable.validate(theta) for theta in each_start(jax.device_get(kept), num_starts)]
        best = int(np.argmin([np.nan_to_num(figures["loss"], nan=np.inf) for figures in found]))
        # All processes take the first one's word, so that none decides otherwise by a rounding.
        figures = {name: runs.broadcast(value) for name, value in found[best].items()}
        loss = figures.pop("loss")
        report = _joined(reports, best if num_starts > 1 else None)
        monitor.check(state.theta, report.gradient_norm, figures.get("diverged", 0.0))
        if loss < state.least_loss:
            theta = kept if num_starts == 1 else jax.tree.map(lambda x: x[best], kept)
            best_loss = jnp.full_like(state.best_loss, loss)
            state = state._replace(best_theta=jax.tree.map(jnp.copy, theta), best_loss=best_loss)
        return state, {
            "validation_loss": loss,
            "best_loss": state.least_loss,
            **figures,
            "skipped": int(np.sum(optax.tree.get(state.outer_state, "total_notfinite"))),
            **({"best_start": best} if num_starts > 1 else {}),
            **_means(report),
        }

    return end_period


def _joined(reports: Sequence[StepMetrics], start: int | None) -> Any:
    """A period's meta-steps; of one start, if there are several."""
    each = [jax.tree.map(lambda x: x if start is None else x[start], report) for report in reports]
    return jax.tree.map(lambda *parts: np.concatenate(parts), *each)  # numpy arrays now


def _progress_figures(
    report: StepMetrics, rows: list[dict[str, Any]], estimator: Any
) -> dict[str, float | None]:
    last = rows[-1] if rows else {}
    averaged = getattr(estimator, "log_floor", None) is not None
    return {
        "meta-loss": float(np.median(report.meta_loss[..., -1])),
        "final loss by logarithms" if averaged else "final loss": last.get("validation_loss"),
        "tuned adam": last.get("adam_loss"),
        "skipped": last.get("skipped") or None,
    }


def _means(report: Any) -> dict[str, float | None]:
    """The means of a period's meta-steps, those that were not finite left out."""
    return {
        "meta_loss": _finite_mean(report.meta_loss),
        "gradient_norm": _finite_mean(report.gradient_norm),
        "last_loss": _finite_mean(report.last_loss[report.ends_trajectory]),
    }


def _finite_mean(values: np.ndarray) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else None
