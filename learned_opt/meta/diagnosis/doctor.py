"""Why a task never learns: a few meta-gradients and trajectories, and what they show."""

import dataclasses
import functools
import os
from pathlib import Path
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np
import optax

from learned_opt import runs
from learned_opt.core.debugging import not_finite_is_a_result
from learned_opt.core.errors import check_at_least
from learned_opt.core.kinds import kind_of
from learned_opt.core.sharding import off_explicit_mesh, without_mesh
from learned_opt.core.types import Data, Key, LearnedOptimizer, Task, Theta
from learned_opt.meta.diagnosis.checks import (
    Diagnosis,
    check_gradients,
    check_memory,
    check_metrics,
    check_movement,
    check_order,
    truncation_of,
)
from learned_opt.meta.diagnosis.diagnostics import leaf_names, watched_trajectories
from learned_opt.meta.diagnosis.trajectory_checks import check_floor, check_trajectories
from learned_opt.meta.fields import Fields
from learned_opt.meta.job import open_run
from learned_opt.meta.settings import Settings
from learned_opt.meta.starts import first_state
from learned_opt.training.estimators.settings import UnrollSettings
from learned_opt.training.evaluate import trajectories
from learned_opt.training.tune import with_prox

STREAM = 0xD0C  # of keys: no problem of the run's is drawn again
ADAMS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # learning rates, enough to see whether there is anything to gain


@without_mesh()
@not_finite_is_a_result()
def doctor(
    lopt: LearnedOptimizer,
    task: Task,
    *,
    theta: Theta | None = None,
    num_seeds: int = 4,
    num_truncations: int = 3,
    num_trajectories: int = 8,
    max_steps: int = 1000,
    memory: int | None = None,
    **settings: Unpack[Fields],
) -> Diagnosis:
    """Looks for what keeps meta-training from learning, in about the time of a dozen meta-steps.

    Meta-gradients of several seeds are compared with one another, those of first with those of second order,
    and trajectories are watched from inside: the first NaN and the leaf that it is in, the size of the steps,
    gates at their bounds.

    Args:
        lopt: the learned optimizer.
        task: what it is trained on.
        theta: meta-parameters to look at; fresh ones of the settings' seed by default.
        num_seeds: draws of problems that meta-gradients are compared over.
        num_truncations: consecutive truncations from the start of the trajectories, at most.
        num_trajectories: problems whose trajectories are watched.
        max_steps: inner steps to watch, at most; the horizon if that is shorter.
        memory: bytes available to a meta-step; those of the device, or of the machine, by default.
        **settings: fields of `Settings`, as `meta_train` takes them.

    Returns:
        What was measured, and the findings. If a meta-step does not fit the memory nothing is run and that is
        the only finding.

    Raises:
        ValueError: if a setting or a number is out of range.

    Example:
        >>> from learned_opt import optimizers, tasks
        >>> diagnosis = doctor(
        ...     optimizers.lstm(hidden_sizes=(4,), output_scale=1e-9),
        ...     tasks.quadratic(dim=2),
        ...     horizon=10,
        ...     truncation=5,
        ... )
        >>> "steps-too-small" in [finding.name for finding in diagnosis.findings]
        True
    """
    check_at_least(2, num_seeds=num_seeds)
    check_at_least(1, num_truncations=num_truncations, num_trajectories=num_trajectories, max_steps=max_steps)
    checked = Settings.of(kind_of(lopt), dict(settings))
    task = task._replace(data=off_explicit_mesh(task.data))
    estimator = checked.estimator
    key = jax.random.fold_in(jax.random.key(checked.seed), STREAM)
    theta_key, gradient_key, trajectory_key = jax.random.split(key, 3)
    theta = lopt.init(theta_key) if theta is None else jax.tree.map(jnp.asarray, theta)

    length = min(num_truncations, estimator.horizon // truncation_of(estimator))
    keys = jax.random.split(gradient_key, num_seeds)
    program = _meta_gradients(lopt, task, estimator, length).lower(keys, theta, task.data).compile()
    needed, source = _memory_needed(program, lopt, task, estimator, theta)
    available = memory or _memory_available()
    fits = check_memory(needed, available, source, estimator)
    if fits.findings:
        return fits
    grads = _by_name(program(keys, theta, task.data))

    problem_keys = jax.random.split(trajectory_key, num_trajectories)
    num_steps = min(estimator.horizon, max_steps)
    watch = jax.jit(functools.partial(watched_trajectories, lopt, task), static_argnames="num_steps")
    losses, stats = jax.device_get(watch(theta, task.data, problem_keys, num_steps=num_steps))
    parts = [
        _floor(task, problem_keys, num_steps),
        check_trajectories(
            losses, stats, leaf_names(lopt, task, theta), getattr(lopt.config, "output_scale", None)
        ),
    ]
    if np.isfinite(losses[:, 0]).any():  # else meta-gradients have nothing to do with it
        args = (keys, theta, task.data)
        parts.append(check_gradients(grads, estimator))
        parts += _other_order(lopt, task, estimator, length, grads, args, available)
    return _joined([*parts, fits])


@without_mesh()
def doctor_run(
    directory: str | Path,
    *,
    lopt: LearnedOptimizer | None = None,
    task: Task | None = None,
    **options: Any,
) -> Diagnosis:
    """The same for a run, finished or not, with what its metrics show and how far theta has moved.

    Args:
        directory: of the run; it is only read.
        lopt: the learned optimizer, for a run whose optimizer has no name to be found by.
        task: likewise.
        **options: of `doctor`, or settings to try in place of the run's.

    Returns:
        The diagnosis of the theta of the newest checkpoint, or of the start if there is none.

    Raises:
        RunError: if the directory holds no run.
        ValueError: if the run's optimizer or task has no name and is not given.

    Example:
        >>> import tempfile
        >>> from learned_opt import optimizers, tasks
        >>> from learned_opt.meta import meta_train
        >>> tiny = {"horizon": 10, "truncation": 5, "num_problems": 4, "num_meta_steps": 2, "quiet": True}
        >>> path = tempfile.mkdtemp() + "/run"
        >>> lopt = optimizers.hyperparameters("sgd", {"learning_rate": 0.01})
        >>> run = meta_train(lopt, tasks.quadratic(dim=2), directory=path, **tiny)
        >>> doctor_run(path).measured["theta against its start"]
        '1 of 1 leaves moved'
    """
    run = runs.RunDirectory.open(directory)
    job = open_run(run, lopt, task)
    if not isinstance(job.model, LearnedOptimizer):
        raise TypeError(
            f"{directory} is of a {kind_of(job.model).name}; doctor looks at learned optimizers alone"
        )
    first = jax.device_get(first_state(job).theta)
    checkpoints = runs.Checkpoints(run.checkpoints_path)
    theta, moved = first, []
    if checkpoints.steps():
        like = jax.eval_shape(lambda: first_state(job))
        theta = checkpoints.restore(like)[1].theta
        distances = {
            jax.tree_util.keystr(path): float(np.linalg.norm(np.asarray(leaf, np.float64) - before))
            for (path, leaf), before in zip(
                jax.tree.leaves_with_path(theta), jax.tree.leaves(first), strict=True
            )
        }
        moved = [check_movement(distances)]
    rows = runs.read_metrics(run.metrics_path) if run.metrics_path.exists() else []
    now = doctor(job.model, job.task, theta=theta, **job.settings.flat() | options)
    history = check_metrics(rows, job.settings)
    if any(finding.name == "never-finite" for finding in history.findings):
        moved = []  # of course it has not
    return _joined([history, *moved, now])


def _meta_gradients(lopt: LearnedOptimizer, task: Task, settings: UnrollSettings, length: int) -> Any:
    """Jitted, the meta-gradients of some seeds over the first truncations, leaves [seeds, length, ...]."""
    estimator = settings.make(lopt, task)

    def one_seed(key: Key, theta: Theta, data: Data) -> Theta:
        first_key, *keys = jax.random.split(key, length + 1)

        def step(state: Any, key: Key) -> tuple[Any, Theta]:
            meta_gradient, state = estimator.estimate(key, theta, state, data)
            return state, meta_gradient.grad

        first = estimator.init(first_key, theta, data)
        return jax.lax.scan(step, first, jnp.stack(keys))[1]

    def all_seeds(keys: Key, theta: Theta, data: Data) -> Theta:
        return jax.lax.map(lambda key: one_seed(key, theta, data), keys)

    return jax.jit(all_seeds)


def _by_name(grads: Theta) -> dict[str, np.ndarray]:
    return {jax.tree_util.keystr(path): np.asarray(g) for path, g in jax.tree.leaves_with_path(grads)}


def _other_order(
    lopt: LearnedOptimizer,
    task: Task,
    settings: UnrollSettings,
    length: int,
    grads: dict[str, np.ndarray],
    args: tuple[Any, ...],
    available: int,
) -> list[Diagnosis]:
    """The meta-gradients beside those of the other order, if the estimator has one and it fits the memory."""
    if not hasattr(settings, "second_order"):
        return []
    other = dataclasses.replace(settings, second_order=not settings.second_order)  # type: ignore[call-arg]
    program = _meta_gradients(lopt, task, other, length).lower(*args).compile()
    needed, source = _memory_needed(program, lopt, task, other, args[1])
    if check_memory(needed, available, source, other).findings:
        return []
    return [check_order(grads, _by_name(program(*args)), settings)]


def _memory_needed(
    program: Any, lopt: LearnedOptimizer, task: Task, settings: UnrollSettings, theta: Theta
) -> tuple[int, str]:
    """Bytes of a meta-step as compiled, or where the backend does not say, of the states that it keeps."""
    analysis = program.memory_analysis()
    if analysis is not None and analysis.temp_size_in_bytes:
        sizes = (analysis.temp_size_in_bytes, analysis.argument_size_in_bytes, analysis.output_size_in_bytes)
        return sum(sizes), "of the compiled program"
    estimator = settings.make(lopt, task)
    state = jax.eval_shape(estimator.init, jax.random.key(0), theta, task.data)
    size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state) if x.dtype != jax.dtypes.prng_key)
    return size * (truncation_of(settings) + 1), "from the shapes of the states"


def _memory_available() -> int:
    stats = jax.devices()[0].memory_stats() or {}
    return stats.get("bytes_limit") or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _floor(task: Task, keys: Key, num_steps: int) -> Diagnosis:
    """The loss at the start, and where a few Adams bring it on the same problems."""
    plain = task._replace(metrics=None)
    build = with_prox(optax.adam, task)
    curves = np.stack([trajectories(build, plain, num_steps, rate, keys)[0] for rate in ADAMS])
    tail = max(num_steps // 10, 1)  # losses of batches are noisy
    ends = curves[:, :, -tail:].mean(axis=(1, 2))
    return check_floor(float(curves[0, :, 0].mean()), float(np.min(ends, initial=np.inf, where=ends == ends)))


def _joined(parts: list[Diagnosis]) -> Diagnosis:
    measured = {name: text for part in parts for name, text in part.measured.items()}
    return Diagnosis(measured, [finding for part in parts for finding in part.findings])
