"""Function learners on random splits of the functions of two bits: all splits in one program."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from learned_opt import in_context, training
from learned_opt.core.types import Array, Key, Theta
from learned_opt.in_context import families
from learned_opt.in_context.functions.bayes import row_of
from learned_opt.in_context.functions.learners import FunctionLearner
from learned_opt.in_context.functions.sequences import last_shown
from learned_opt.meta import Settings

# A probe: three pairs are shown so often that their answers are known, and only then all four.
KNOWN, PROBE_LENGTH = 16, 64
PROBE_SEQUENCES = 20  # of every held-out function and every fourth pair
TIMES = 9  # times that the answer to the fourth pair was shown: 0 to 8


class Splits(NamedTuple):
    """The truth tables of several splits: f32[num_splits, n, 4] each."""

    training: np.ndarray
    held_out: np.ndarray


def draw_splits(num_functions: int, num_held_out: int, numbers: range) -> Splits:
    """The splits of these numbers."""
    drawn = [families.split_tables(num_functions, num_held_out, number) for number in numbers]
    return Splits(*map(np.stack, zip(*drawn, strict=True)))


def train(learner: FunctionLearner, settings: Settings, splits: Splits) -> Theta:
    """Meta-trains a learner on each split's training functions; the stacked thetas after the last step."""

    def one(key: Key, tables: Array) -> Theta:
        theta_key, step_key = jax.random.split(key)
        loss = in_context.sequence_loss(learner, families.among(tables, tables), settings.estimator)
        return training.minimize(
            lambda theta, step: loss(theta, jax.random.fold_in(step_key, step)),
            learner.init(theta_key),
            settings.make_outer_optimizer(),
            num_steps=settings.num_meta_steps,
        ).params

    keys = jax.random.split(jax.random.key(settings.seed), len(splits.training))
    return jax.jit(jax.vmap(one))(keys, splits.training)


def known_functions(splits: Splits, part: str) -> np.ndarray:
    """The functions that a Bayes-optimal predictor of a part reckons with, f32[num_splits, n, 4]."""
    return splits.training if part == "training" else np.concatenate(splits, axis=1)


def probe(learner: FunctionLearner, thetas: Theta, splits: Splits) -> np.ndarray:
    """How often a learner says the answer that it was shown where no training function has it.

    Three pairs of a held-out function are shown until their answers are known, and then all four. Only those
    fourth pairs count for which the function that differs there alone is one of training: a learner that
    rules functions out says that one's answer. f[num_splits, 9], after n = 0, ..., 8 showings; NaN in a
    split without such pairs.
    """
    rng = np.random.default_rng(0)
    num_splits, num_held_out, _ = splits.held_out.shape
    shape = (num_splits, num_held_out, 4, PROBE_SEQUENCES)
    fourth = np.broadcast_to(np.arange(4)[:, None, None], (*shape, 1))
    first = (fourth + rng.integers(1, 4, (*shape, KNOWN))) % 4
    rows = np.concatenate([first, rng.integers(0, 4, (*shape, PROBE_LENGTH - KNOWN))], axis=-1)
    tables = np.broadcast_to(splits.held_out[:, :, None, None], (*shape, 4))
    targets = np.take_along_axis(tables, rows, axis=-1)
    previous = np.pad(targets, [(0, 0)] * 4 + [(1, 0)])[..., :-1]
    inputs = np.stack([rows // 2, rows % 2, previous], axis=-1).astype(np.float32)

    run = jax.jit(jax.vmap(jax.vmap(learner.predict, (None, 0))))
    outputs = np.asarray(run(thetas, inputs.reshape(num_splits, -1, PROBE_LENGTH, 3))).reshape(rows.shape)
    # Each held-out function with one answer turned over: is it one of training?
    turned = np.abs(splits.held_out[:, :, None] - np.eye(4))
    decided = (turned[:, :, :, None] == splits.training[:, None, None]).all(-1).any(-1)
    asked = (rows == fourth) & decided[..., None, None]
    times = np.cumsum(asked, axis=-1) - asked
    right = np.where(outputs == 0.5, 0.5, (outputs > 0.5) == (targets > 0.5))
    counted = asked[..., None] & (times[..., None] == np.arange(TIMES))
    with np.errstate(invalid="ignore"):
        return (counted * right[..., None]).sum((1, 2, 3, 4)) / counted.sum((1, 2, 3, 4))


def storing() -> FunctionLearner:
    """One that says the answer last shown for a pair, and 1/2 before any; theta means nothing to it."""

    def predict(theta: Theta, inputs: Array) -> Array:
        del theta
        return last_shown(in_context.Examples(inputs, jnp.append(inputs[1:, 2], 0.0)))

    return _by_hand(predict)


def excluding() -> FunctionLearner:
    """One that says the mean of the functions that contradict the fewest examples; theta is their tables."""

    def predict(theta: Theta, inputs: Array) -> Array:
        values = theta[:, row_of(inputs)]
        wrong = jnp.cumsum(jnp.abs(values[:, :-1] - inputs[None, 1:, 2]) > 0.5, axis=1)
        wrong = jnp.pad(wrong, ((0, 0), (1, 0)))
        fits = (wrong == wrong.min(0, keepdims=True)).astype(jnp.float32)
        return (fits * values).sum(0) / fits.sum(0)

    return _by_hand(predict)


def _by_hand(predict: Callable[[Theta, Array], Array]) -> FunctionLearner:
    return FunctionLearner(lambda key: (), predict, lambda theta, inputs: (), ())
