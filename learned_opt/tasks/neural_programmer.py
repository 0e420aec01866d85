"""Training a Neural Programmer on questions on tables.

Reference:
    Neelakantan, Le, Sutskever, Neural Programmer: inducing latent programs with gradient descent, ICLR 2016.
"""

import functools
import math

import haiku as hk
import jax
import jax.numpy as jnp
import optax

from learned_opt.core.errors import check_at_least
from learned_opt.core.types import Array, Key, Params, Task
from learned_opt.networks.neural_programmer import Answer, NeuralProgrammer
from learned_opt.tasks.registry import registry
from learned_opt.tasks.table_questions import MAX_WORDS, WORDS, Question, draw_questions

HUBER_DELTA = 10.0
LOOKUP_WEIGHT = 25.0
NUM_TEST_QUESTIONS = 512
_LEAST_PROBABILITY = 1e-6


@registry.register
def neural_programmer(
    num_columns: int = 1,
    num_rows: int = 8,
    width: int = 32,
    num_steps: int = 4,
    batch_size: int = 50,
    exploration: float = 0.0,
) -> Task:
    r"""The loss of a Neural Programmer on generated questions on tables of numbers.

    .. math::

        f(x) = \frac{1}{B} \sum_{i=1}^{B}
            \begin{cases} \operatorname{Huber}_{10}(s_i - y_i) & \text{where the answer is a number} \\
            -\frac{25}{MC} \sum_{jk} \bigl(Y_{ijk} \log p_{ijk} + (1 - Y_{ijk}) \log(1 - p_{ijk})\bigr)
            & \text{where it is a set of entries} \end{cases}

    A question such as "greater N A and lesser N B sum C" has to be turned into a program: which operation on
    which column, step by step. Only the answer is known. All problems share the kinds of questions; they
    differ in their starting points and batches.

    Args:
        num_columns: C, of a table; with one, questions do not name it.
        num_rows: M, of a table.
        width: of the vectors of words, operations, columns and of the recurrent states.
        num_steps: operations in a row; the questions need four.
        batch_size: B, questions in a minibatch, each with a table of its own.
        exploration: what the optimizer sees is the loss less this times the mean entropy of the selections of
            operations, in nats and summed over the steps. A network that has settled on programs looks for
            others under it. It is meant for a part of the training, since programs stay vague with it; below
            zero, for the end, it makes them definite.

    Returns:
        The task; params as haiku makes them; the metric `exact_answers` is the share of 512 fresh questions
        that the program of the largest selections answers exactly.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> task = neural_programmer(width=8)
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> x, batch = jax.jit(task.init)(keys[0], ()), jax.jit(task.batch)(keys[1], (), task.data)
        >>> batch.table.shape, bool(jax.jit(task.loss)(x, (), batch) > 1)
        ((50, 8, 1), True)

    Reference:
        Equations of section 2; the losses and their constants are those of section 3. The bonus for entropy
        is not the paper's: Williams and Peng, Function optimization using connectionist reinforcement
        learning algorithms, Connection Science 3, 1991, have it for the policies of reinforcement learning.
    """
    check_at_least(
        1,
        num_columns=num_columns,
        num_rows=num_rows,
        width=width,
        num_steps=num_steps,
        batch_size=batch_size,
    )
    if not math.isfinite(exploration):
        raise ValueError(f"exploration={exploration}: has to be a finite number; 0 is no exploration")
    soft, hard = (
        hk.without_apply_rng(
            hk.transform(
                lambda *question, hard=hard: NeuralProgrammer(
                    len(WORDS) + num_columns, width, num_steps, hard
                )(*question)
            )
        )
        for hard in (False, True)
    )
    draw = functools.partial(draw_questions, num_rows=num_rows, num_columns=num_columns)

    def init(key: Key, problem: tuple[()]) -> Params:
        del problem
        nothing = jnp.zeros(MAX_WORDS, jnp.int32), jnp.zeros(2), jnp.zeros(2, jnp.int32)
        return soft.init(key, *nothing, jnp.zeros((num_rows, num_columns)))

    def batch(key: Key, problem: tuple[()], data: tuple[()]) -> Question:
        del problem, data
        return draw(key, batch_size)

    def loss(params: Params, problem: tuple[()], batch: Question, exploration: float = 0.0) -> Array:
        del problem
        answers, entropies = jax.vmap(soft.apply, (None, 0, 0, 0, 0))(params, *batch[:4])
        return jnp.mean(jax.vmap(answer_loss)(answers, batch)) - exploration * jnp.mean(entropies)

    def metrics(params: Params, problem: tuple[()], data: tuple[()]) -> dict[str, Array]:
        del problem, data
        questions = draw(jax.random.key(0), NUM_TEST_QUESTIONS)
        answers, _ = jax.vmap(hard.apply, (None, 0, 0, 0, 0))(params, *questions[:4])
        return {"exact_answers": jnp.mean(jax.vmap(is_exact)(answers, questions).astype(jnp.float32))}

    seen = functools.partial(loss, exploration=exploration) if exploration else None
    return Task(lambda key: (), init, batch, loss, (), metrics, smooth=seen)


def answer_loss(answer: Answer, question: Question) -> Array:
    """The loss of one answer f32[]: Huber's of a number, weighted cross-entropy of a set of entries."""
    scalar = optax.huber_loss(answer.scalar, question.scalar, delta=HUBER_DELTA)
    p = jnp.clip(answer.lookup, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    entries = jnp.where(question.lookup > 0, jnp.log(p), jnp.log1p(-p))
    return jnp.where(question.is_scalar, scalar, -LOOKUP_WEIGHT * jnp.mean(entries))


def is_exact(answer: Answer, question: Question) -> Array:
    """Whether an answer is right in all of it, bool[]: its number, and its set of entries."""
    number = jnp.abs(answer.scalar - question.scalar) < 1e-3
    return number & jnp.all((answer.lookup > 0.5) == (question.lookup > 0.5))
