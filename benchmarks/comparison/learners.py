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
    seed: int = evaluation.EVALUATION_STREAM,
) -> list[dict[str, float | None]]:
    """The figures of each of the stacked thetas, as `Evaluation.summary`, on fresh sequences of its own.

    `family(*tables)` makes the family of one theta; the tables are stacked as the thetas are.
    """

    def one(theta: Theta, key: Key, *tables: Array) -> tuple[Array, ...]:
        keys = jax.random.split(key, num_sequences)
        return evaluation.judge(learner, theta, family(*tables), keys, length)

    num = len(jax.tree.leaves(thetas)[0])
    keys = jax.random.split(jax.random.key(seed), num)
    found = map(np.asarray, jax.jit(jax.vmap(one))(thetas, keys, *tables))
    binary = family(*(table[0] for table in tables)).binary
    return [in_context.Evaluation(*fields, binary=binary).summary() for fields in zip(*found, strict=True)]
