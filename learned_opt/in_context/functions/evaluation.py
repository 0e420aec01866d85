"""Judging a function learner on fresh sequences, beside the Bayes-optimal predictor and the running mean."""

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
LEARNED = 0.1  # of the running mean's error: what is below it for good has learned the function
CHUNK = 50  # sequences that are judged side by side
EVALUATION_STREAM = 0xE7A1


class Evaluation(NamedTuple):
    """A learner on fresh sequences, beside the Bayes-optimal predictor on the same ones.

    Attributes:
        errors: f32[num_sequences, T], outputs minus targets.
        bayes_errors: f32[num_sequences, T], likewise.
        mean_errors: f32[num_sequences, T], likewise, of the running mean of the targets.
        correct: f32[num_sequences, T], whether the output is on the target's side of 1/2; a half for a tie.
        bayes_correct: f32[num_sequences, T], likewise.
        binary: whether the targets are 0 or 1, so that `correct` means something.
        num_functions: functions in a sequence, as many examples of each.
        switching_errors: f32[num_sequences, T], of several functions those of a Bayes-optimal predictor that
            is not told where one begins, where the family has it.
    """

    errors: np.ndarray
    bayes_errors: np.ndarray
    mean_errors: np.ndarray
    correct: np.ndarray
    bayes_correct: np.ndarray
    binary: bool
    num_functions: int = 1
    switching_errors: np.ndarray | None = None

    def summary(self) -> dict[str, float | None]:
        """The figures of a table's row: mean squared errors, and accuracies where there are any."""
        squared, bayes, mean = map(np.square, (self.errors, self.bayes_errors, self.mean_errors))
        curve = squared.reshape(len(squared), self.num_functions, -1).mean((0, 1))
        untold = self.switching_errors
        return {
            "mse": float(squared.mean()),
            "bayes_mse": float(bayes.mean()),
            **({} if untold is None else {"switching_mse": float(np.square(untold).mean())}),
            "mean_mse": float(mean.mean()),
            "settled_mse": float(curve[SETTLED:].mean()) if len(curve) > SETTLED else None,
            "cycles": cycles_to_learn(curve, LEARNED * float(mean.mean())),
            "accuracy": float(self.correct.mean()) if self.binary else None,
            "bayes_accuracy": float(self.bayes_correct.mean()) if self.binary else None,
        }


def cycles_to_learn(curve: np.ndarray, level: float) -> float | None:
    """Examples that a function takes to be learned, from the mean squared error by example, f[length].

    From the example after these on the error stays at or below the level; `None` if it ends above it.
    """
    above = np.flatnonzero(~(curve <= level))
    cycles = int(above[-1]) + 1 if above.size else 0
    return float(cycles) if cycles < len(curve) else None


def mean_summary(evaluations: Sequence[Evaluation]) -> dict[str, float | None]:
    """The means of several evaluations' figures, and how far their mean squared errors are apart.

    Args:
        evaluations: of the same learner with several seeds, or of several learners.

    Returns:
        As `Evaluation.summary`, with `spread`, the largest mean squared error minus the smallest.

    Example:
        >>> zeros = np.zeros((2, 3))
        >>> evaluation = Evaluation(zeros, zeros, zeros, zeros == 0, zeros + 1, binary=True)
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
        Its errors, those of the Bayes-optimal predictor, and those of the running mean of the targets.

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
    untold = None
    if num_functions > 1 and family.switching is not None:
        predictor = family.switching(1 / length)

        def without_being_told(key: Key) -> Array:
            drawn = examples(family, key, length, num_functions)
            return predictor(drawn.inputs[:, :2], drawn.targets) - drawn.targets

        untold = np.asarray(jax.jit(jax.vmap(without_being_told))(keys))
    found = map(np.asarray, run(theta, keys))
    return Evaluation(*found, binary=family.binary, num_functions=num_functions, switching_errors=untold)


def judge(
    learner: FunctionLearner,
    theta: Theta,
    family: Family,
    keys: Array,
    length: int,
    num_functions: int = 1,
) -> tuple[Array, ...]:
    """Runs a learner on a sequence for each key; pure, so that it vmaps over thetas and families.

    What an `Evaluation` holds but for `binary`, each [num_sequences, num_functions * length].
    """

    def one(key: Key) -> tuple[Array, ...]:
        drawn = examples(family, key, length, num_functions)
        outputs = learner.predict(theta, drawn.inputs)
        bayes = bayes_outputs(family, drawn, num_functions)

        def correct(outputs: Array) -> Array:
            same = (outputs > 0.5) == (drawn.targets > 0.5)
            return jnp.where(outputs == 0.5, 0.5, same.astype(jnp.float32))

        means = running_means(drawn.targets, num_functions)
        errors = [said - drawn.targets for said in (outputs, bayes, means)]
        return *errors, correct(outputs), correct(bayes)

    return jax.lax.map(one, keys, batch_size=CHUNK)


def running_means(targets: Array, num_functions: int = 1) -> Array:
    """The mean of the targets of each function before each example, 1/2 before any: f32[T] -> f32[T].

    What a predictor knows that looks at no input; one that learns has to be well below it.
    """
    of_each = targets.reshape(num_functions, -1)
    before = jnp.cumsum(of_each, axis=1) - of_each
    seen = jnp.arange(of_each.shape[1], dtype=targets.dtype)[None, :]
    return jnp.where(seen > 0, before / jnp.maximum(seen, 1), 0.5).reshape(-1)
