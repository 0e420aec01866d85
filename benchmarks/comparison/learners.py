"""Function learners of several seeds or splits, judged side by side in one program."""

from collections.abc import Callable

import jax
import numpy as np

from learned_opt import in_context
from learned_opt.core.types import Array, Key, Theta
from learned_opt.in_context.functions import evaluation
from learned_opt.in_context.functions.families import Family
from learned_opt.in_context.functions.learners import FunctionLearner


def judge(
    learner: FunctionLearner,
    thetas: Theta,
    family: Callable[..., Family],
    *tables: np.ndarray,
    length: int,
    num_sequences: int,
) -> list[dict[str, float | None]]:
    """The figures of each theta on fresh sequences of its own.

    Args:
        learner: the network.
        thetas: stacked.
        family: `family(*tables)`, of the functions of one theta.
        *tables: stacked as the thetas are; none where all have the same family.
        length: examples of a function.
        num_sequences: of each theta.

    Returns:
        As `Evaluation.summary`, one a theta.
    """

    def one(theta: Theta, key: Key, *tables: Array) -> tuple[Array, ...]:
        keys = jax.random.split(key, num_sequences)
        return evaluation.judge(learner, theta, family(*tables), keys, length)

    num = len(jax.tree.leaves(thetas)[0])
    keys = jax.random.split(jax.random.key(evaluation.EVALUATION_STREAM), num)
    found = map(np.asarray, jax.jit(jax.vmap(one))(thetas, keys, *tables))
    binary = family(*(table[0] for table in tables)).binary
    return [in_context.Evaluation(*fields, binary=binary).summary() for fields in zip(*found, strict=True)]
