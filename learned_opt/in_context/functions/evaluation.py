"""Judging a function learner on fresh sequences, beside the Bayes-optimal predictor."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from learned_opt.core.errors import check_at_least
from learned_opt.core.types import Array, Key, Theta
from learned_opt.in_context.functions.families import Family, bayes_outputs, examples
from learned_opt.in_context.functions.learners import FunctionLearner

SETTLED = 10  # examples after which a function should be known
CHUNK = 50  # sequences that are judged side by side
EVALUATION_STREAM = 0xE7A1


class Evaluation(NamedTuple):
    """A learner on fresh sequences, beside the Bayes-optimal predictor on the same ones.

    Attributes:
        errors: f32[num_sequences, T], outputs minus targets.
        bayes_errors: f32[num_sequences, T], likewise.
        correct: f32[num_sequences, T], whether the output is on the target's side of 1/2; a half for a tie.
        bayes_correct: f32[num_sequences, T], likewise.
        binary: whether the targets are 0 or 1, so that `correct` means something.
        num_functions: functions in a sequence, as many examples of each.
    """

    errors: np.ndarray
    bayes_errors: np.ndarray
    correct: np.ndarray
    bayes_correct: np.ndarray
    binary: bool
    num_functions: int = 1

    def summary(self) -> dict[str, float | None]:
        """The figures of a table's row: mean squared errors, and accuracies where there are any."""
        squared, bayes = np.square(self.errors), np.square(self.bayes_errors)
        of_each = squared.reshape(len(squared), self.num_functions, -1)
        return {
            "mse": float(squared.mean()),
            "bayes_mse": float(bayes.mean()),
            "settled_mse": float(of_each[..., SETTLED:].mean()) if of_each.shape[2] > SETTLED else None,
            "accuracy": float(self.correct.mean()) if self.binary else None,
            "bayes_accuracy": float(self.bayes_correct.mean()) if self.binary else None,
        }


def mean_summary(evaluations: Sequence[Evaluation]) -> dict[str, float | None]:
    """The means of several evaluations' figures, and how far their mean squared errors are apart.

    Args:
        evaluations: of the same learner with several seeds, or of several learners.

    Returns:
        As `Evaluation.summary`, with `spread`, the largest mean squared error minus the smallest.

    Example:
        >>> zeros = np.zeros((2, 3))
        >>> evaluation = Evaluation(zeros, zeros, zeros == 0, zeros + 1, binary=True)
        >>> mean_summary([evaluation])["accuracy"]
        1.0
    """
    summaries = [e.summary() for e in evaluations]
    errors = [s["mse"] for s in summaries if s["mse"] is not None]

    def mean(name: str) -> float | None:
        values = [s[name] for s in summaries]
        return None if None in values else float(np.mean(values))  # type: ignore[arg-type]

    return {name: mean(name) for name in summaries[0]} | {"spread": max(errors) - min(errors)}


def evaluate_learner(
    learner: FunctionLearner,
    theta: Theta,
    family: Family,
    *,
    length: int,
    num_functions: int = 1,
    num_sequences: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Runs a learner on fresh sequences, its state reset at the start of each.

    Args:
        learner: the network.
        theta: its parameters.
        family: of the functions.
        length: examples of each function.
        num_functions: functions in a sequence, one after another without reset.
        num_sequences: fresh ones.
        seed: of the sequences; no training or validation of any seed draws the same.

    Returns:
        Its errors, and those of the Bayes-optimal predictor.

    Raises:
        ValueError: if a number is below 1.

    Example:
        >>> from learned_opt.in_context.functions import families, learners
        >>> learner, family = learners.gru(num_units=2), families.boolean()
        >>> theta = learner.init(jax.random.key(0))
        >>> evaluation = evaluate_learner(learner, theta, family, length=64, num_sequences=100)
        >>> evaluation.errors.shape, round(evaluation.summary()["bayes_mse"], 3)
        ((100, 64), 0.016)
    """
    check_at_least(1, length=length, num_functions=num_functions, num_sequences=num_sequences)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), EVALUATION_STREAM), num_sequences)
    run = jax.jit(lambda theta, keys: judge(learner, theta, family, keys, length, num_functions))
    return Evaluation(*map(np.asarray, run(theta, keys)), binary=family.binary, num_functions=num_functions)


def judge(
    learner: FunctionLearner,
    theta: Theta,
    family: Family,
    keys: Array,
    length: int,
    num_functions: int = 1,
) -> tuple[Array, Array, Array, Array]:
    """Runs a learner on a sequence for each key; pure, so that it vmaps over thetas and families.

    What an `Evaluation` holds but for `binary`, each [num_sequences, num_functions * length].
    """

    def one(key: Key) -> tuple[Array, Array, Array, Array]:
        drawn = examples(family, key, length, num_functions)
        outputs = learner.predict(theta, drawn.inputs)
        bayes = bayes_outputs(family, drawn, num_functions)

        def correct(outputs: Array) -> Array:
            same = (outputs > 0.5) == (drawn.targets > 0.5)
            return jnp.where(outputs == 0.5, 0.5, same.astype(jnp.float32))

        return outputs - drawn.targets, bayes - drawn.targets, correct(outputs), correct(bayes)

    return jax.lax.map(one, keys, batch_size=CHUNK)
