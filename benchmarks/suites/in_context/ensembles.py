"""Function learners of several seeds, trained and judged side by side in one program."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

from learned_opt import in_context
from learned_opt.core.types import Array, Key, Theta
from learned_opt.in_context import evaluation, learning
from learned_opt.in_context.families import Family
from learned_opt.in_context.learners import FunctionLearner
from learned_opt.in_context.training import TrainingState

RATES_SEED = 0x5EED  # of the trial of learning rates
WIDER, MAX_WIDER = 3.0, 3  # a sweep whose best lies on its edge goes on by two such factors, so many times


def train(
    learner: FunctionLearner,
    family: Family,
    settings: in_context.LearnerSettings,
    *,
    num_seeds: int,
    rates: tuple[float, ...],
) -> tuple[Theta, float, list[float]]:
    """Meta-trains a learner with several seeds, each with the learning rate that a trial found best.

    In the trial every learning rate is tried on one seed of its own, for the first quarter of the steps; the
    best has the least mean loss over the second half of it. While it is the least or the greatest, others
    beyond it are tried.

    Args:
        learner: the network.
        family: of the functions.
        settings: of the training; its learning rate and seed are not used. None of its validations is made:
            what comes out is the theta after the last step.
        num_seeds: how many.
        rates: peak learning rates to try; where it is one, it is taken.

    Returns:
        The thetas, stacked; the learning rate; all that were tried, in order.
    """
    loss = learning.training_loss(learner, family, settings)
    # The steps of a schedule with peak 1 are scaled, so that one program serves all learning rates.
    schedule = dataclasses.replace(settings, learning_rate=1.0).optimizer()

    def start(key: Key, rate: Array) -> TrainingState:
        return in_context.first_state(key, learner.init, _scaled(schedule, rate))

    def advance(key: Key, rate: Array, state: TrainingState) -> tuple[TrainingState, Array]:
        optimizer = _scaled(schedule, rate)
        state, (losses, _) = in_context.training_steps(key, state, loss, optimizer, settings.steps_per_call)
        return state, losses

    started, advanced = jax.jit(jax.vmap(start)), jax.jit(jax.vmap(advance), donate_argnums=2)

    def run(seed: int, rates: Array, num_steps: int) -> tuple[TrainingState, np.ndarray]:
        key = jax.random.key(seed)
        theta_keys, step_keys = jax.random.split(key, (2, len(rates)))
        state, losses = started(theta_keys, rates), []
        for _ in range(0, num_steps, settings.steps_per_call):
            state, found = advanced(step_keys, rates, state)
            losses.append(np.asarray(found))
        return state, np.concatenate(losses, axis=1)

    tried: dict[float, float] = {}

    def trial(rates: Sequence[float]) -> None:
        _, losses = run(RATES_SEED, jnp.asarray(rates, jnp.float32), settings.num_steps // 4)
        means = losses[:, losses.shape[1] // 2 :].mean(axis=1)
        tried.update(zip(rates, np.nan_to_num(means, nan=np.inf).tolist(), strict=True))

    best = rates[0]
    if len(rates) > 1:
        trial(rates)
        best = min(tried, key=tried.__getitem__)
        for _ in range(MAX_WIDER):
            if min(tried) < best < max(tried):
                break
            factor = WIDER if best == max(tried) else 1 / WIDER
            trial((best * factor, best * factor**2))
            best = min(tried, key=tried.__getitem__)
    state, _ = run(settings.seed, jnp.full(num_seeds, best, jnp.float32), settings.num_steps)
    return state.theta, best, sorted(tried or rates)


def judge(
    learner: FunctionLearner,
    thetas: Theta,
    family: Family,
    *,
    length: int,
    num_sequences: int,
) -> list[dict[str, float | None]]:
    """The figures of each seed's learner on fresh sequences of its own.

    Args:
        learner: the network.
        thetas: stacked, one a seed.
        family: of the functions.
        length: examples of a function.
        num_sequences: of each seed.

    Returns:
        As `Evaluation.summary`, one a seed.
    """

    def one(theta: Theta, key: Key) -> tuple[Array, ...]:
        keys = jax.random.split(key, num_sequences)
        return evaluation.judge(learner, theta, family, keys, length)

    num_seeds = len(jax.tree.leaves(thetas)[0])
    keys = jax.random.split(jax.random.key(evaluation.EVALUATION_STREAM), num_seeds)
    found = map(np.asarray, jax.jit(jax.vmap(one))(thetas, keys))
    return [
        in_context.Evaluation(*fields, binary=family.binary).summary() for fields in zip(*found, strict=True)
    ]


def _scaled(schedule: optax.GradientTransformation, rate: Array) -> optax.GradientTransformation:
    return optax.chain(schedule, optax.scale(rate))
