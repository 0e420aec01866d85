"""Function learners of several seeds, trained side by side in one program."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from learned_opt import in_context, training
from learned_opt.core.types import Array, Key, Theta
from learned_opt.in_context.functions.families import Family
from learned_opt.in_context.functions.learners import FunctionLearner
from learned_opt.meta import Settings

RATES_SEED = 0x5EED  # of the trial of learning rates
WIDER = 3.0  # a sweep whose best lies on its edge goes on by two such factors


def train(
    learner: FunctionLearner,
    family: Family,
    settings: Settings,
    *,
    num_seeds: int,
    rates: tuple[float, ...],
) -> tuple[Theta, float, list[float]]:
    """Meta-trains seeds with the best learning rate of a trial; stacked thetas, the rate, all rates tried.

    In the trial each rate has one seed and a quarter of the steps; the least mean loss over the second half
    wins. While it is the least or greatest rate, others beyond it are tried; a single rate is taken as it is.
    """
    loss = in_context.sequence_loss(learner, family, settings.estimator)
    # The steps of a schedule with peak 1 are scaled, so that one program serves all learning rates.
    schedule = dataclasses.replace(settings, learning_rate=1.0).make_outer_optimizer()

    def optimizer(rate: Array) -> optax.GradientTransformation:
        return optax.chain(schedule, optax.scale(rate))

    def start(key: Key, rate: Array) -> tuple[Theta, optax.OptState]:
        theta = learner.init(key)
        return theta, optimizer(rate).init(theta)

    def advance(key: Key, rate: Array, theta: Theta, opt_state: Any, first: Array) -> training.Minimized:
        return training.minimize(
            lambda theta, step: loss(theta, jax.random.fold_in(key, step)),
            theta,
            optimizer(rate),
            num_steps=settings.steps_per_call,
            opt_state=opt_state,
            first_step=first,
        )

    started, advanced = jax.jit(jax.vmap(start)), jax.jit(jax.vmap(advance, (0, 0, 0, 0, None)))

    def run(seed: int, rates: Any, num_steps: int) -> tuple[Theta, np.ndarray]:
        """The thetas, and the losses f32[len(rates), num_steps]; in calls that can be interrupted."""
        rates = jnp.asarray(rates, jnp.float32)
        theta_keys, step_keys = jax.random.split(jax.random.key(seed), (2, len(rates)))
        theta, opt_state = started(theta_keys, rates)
        losses = []
        for first in range(0, num_steps, settings.steps_per_call):
            theta, opt_state, found, _ = advanced(step_keys, rates, theta, opt_state, first)
            losses.append(np.asarray(found))
        return theta, np.concatenate(losses, axis=1)

    def trial(rates: np.ndarray) -> np.ndarray:
        _, losses = run(RATES_SEED, rates, settings.num_meta_steps // 4)
        return losses[:, losses.shape[1] // 2 :].mean(axis=1)

    best, tried = rates[0], list(rates)
    if len(rates) > 1:
        found = training.sweep(trial, rates, factors=(WIDER, WIDER**2))
        best, tried = found.best, found.points.tolist()
    return run(settings.seed, np.full(num_seeds, best), settings.num_meta_steps)[0], best, tried
