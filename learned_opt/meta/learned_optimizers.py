"""Learned optimizers as something to be meta-trained: the estimators' view of them, and their validation."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from learned_opt import optimizers, tasks
from learned_opt.core.kinds import Kind, Trainable, register_kind
from learned_opt.core.remembered import remembered
from learned_opt.core.types import Estimator, LearnedOptimizer, Task, Theta
from learned_opt.meta.diagnosis.checks import diverged
from learned_opt.meta.settings import Settings
from learned_opt.meta.sharding import replicated, use_mesh
from learned_opt.training.estimators.settings import UnrollSettings, registry
from learned_opt.training.evaluate import trajectories
from learned_opt.training.tune import loss_at, mean_loss, tune, with_prox

DEFAULT = "tbptt"


def trainable(
    lopt: LearnedOptimizer, task: Task, validation_task: Task, settings: Settings, mesh: Mesh | None
) -> Trainable:
    """What the trainer sees of a learned optimizer, its problems split over the mesh if there is one.

    A validation reports the mean loss at the horizon, as `tune.mean_loss` says, that of Adam with a swept
    learning rate on the same problems, and the share of problems that diverged; but for an estimator that has
    a validation of its own.
    """
    task = task._replace(data=replicated(mesh, task.data))
    estimator: UnrollSettings = settings.estimator
    own = estimator.validation(lopt, validation_task, settings.validation_key())
    return Trainable(
        lopt.init,
        _estimator(estimator, lopt._replace(config=None), task._replace(config=None, data=())),
        own or _validation(lopt, validation_task, settings, mesh),
        task.data,
    )


@remembered
def _estimator(settings: UnrollSettings, lopt: LearnedOptimizer, task: Task) -> Estimator:
    return settings.make(lopt, task)


def _validation(
    lopt: LearnedOptimizer, task: Task, settings: Settings, mesh: Mesh | None
) -> Callable[[Theta], dict[str, float]]:
    estimator: UnrollSettings = settings.estimator
    keys = jax.random.split(settings.validation_key(), estimator.num_validation_problems)
    last = estimator.horizon + estimator.window // 2
    task = task._replace(metrics=None, data=replicated(mesh, task.data))

    def measured(build: Any, theta: Theta) -> tuple[float, float]:
        with use_mesh(mesh):
            curves = np.asarray(trajectories(build, task, last, theta, keys)[0])
        losses = loss_at(curves, estimator.horizon, estimator.window)
        share_diverged = float(diverged(curves[:, 0], losses).mean())
        mean = mean_loss(losses, getattr(estimator, "log_floor", None))
        return mean if np.isfinite(mean) else float("inf"), share_diverged

    @functools.cache
    def adam_loss() -> float:
        with use_mesh(mesh):
            swept = tune(
                optax.adam,
                task,
                num_steps=estimator.horizon,
                num_problems=estimator.num_validation_problems,
                seed=settings.seed,
                window=estimator.window,
            )
        return measured(with_prox(optax.adam, task), swept.learning_rate)[0]

    def validate(theta: Theta) -> dict[str, float]:
        loss, share_diverged = measured(lopt.build, theta)
        return {"loss": loss, "adam_loss": adam_loss(), "diverged": share_diverged}

    return validate


def _names() -> list[str]:
    """All that are registered and unroll a learned optimizer."""
    return [name for name, settings in registry.configs.items() if issubclass(settings, UnrollSettings)]


KIND = register_kind(
    Kind(
        name="optimizer",
        plural="optimizers",
        model=LearnedOptimizer,
        models=optimizers.registry,
        tasks=tasks.registry,
        estimators=(DEFAULT, *(name for name in _names() if name != DEFAULT)),
        trainable=trainable,
    )
)
