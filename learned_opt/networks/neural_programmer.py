r"""The Neural Programmer: a network that answers questions by composing operations on a table.

Reference:
    Neelakantan, Le, Sutskever, Neural Programmer: inducing latent programs with gradient descent, ICLR 2016.
    Deviations: a table's entry is compared with each number of the question and the outcomes are averaged by
    the attention over numbers, where the paper compares with the averaged number, which gives that attention
    no gradient; where it is sharp, as in a hard program, both are the same. Operations that select no rows
    leave the selection as it was, and each step has a vector of its own: without them, all steps of an
    untrained network do nearly the same, and on few rows.
"""

from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from learned_opt.core.types import Array

OPERATIONS = ("sum", "count", "difference", "greater", "lesser", "and", "or", "assign", "reset")
VECTOR_DEVIATION = 0.2  # small: selections that start sharp stay where they are
# The derivative of w log w is infinite at a weight that underflowed, and times the softmax's 0 it is NaN.
_LEAST_WEIGHT = 1e-9
GREATER, LESSER = OPERATIONS.index("greater"), OPERATIONS.index("lesser")


class Registers(NamedTuple):
    """What operations read of the steps before.

    Attributes:
        rows: f32[M], the row selection of step t - 1.
        rows_before: f32[M], that of step t - 2.
        scalars: f32[3], the scalar outputs of steps t - 1, t - 2 and t - 3.
    """

    rows: Array
    rows_before: Array
    scalars: Array


class Answer(NamedTuple):
    """What a program says after a step.

    Attributes:
        scalar: f32[], of the operations sum, count and difference.
        lookup: f32[M, C], the probability that an entry of the table is in the answer, of assign.
    """

    scalar: Array
    lookup: Array


def first_registers(num_rows: int) -> Registers:
    """All rows selected, no scalars."""
    return Registers(jnp.ones(num_rows), jnp.ones(num_rows), jnp.zeros(3))


def run_operations(
    registers: Registers, table: Array, greater: Array, lesser: Array, operation: Array, column: Array
) -> tuple[Registers, Answer]:
    r"""One step of a program: all operations on all columns, weighted by the selection.

    .. math::

        \mathrm{sum}[j] &= \textstyle\sum_i r_{t-1}[i]\, T[i][j], \qquad
            \mathrm{count} = \textstyle\sum_i r_{t-1}[i], \qquad \mathrm{diff} = s_{t-3} - s_{t-1} \\
        s_t &= a_\mathrm{count}\, \mathrm{count} + a_\mathrm{diff}\, \mathrm{diff}
            + \textstyle\sum_j b_j a_\mathrm{sum}\, \mathrm{sum}[j] \\
        r_t[i] &= a_\mathrm{and} \min(r_{t-1}[i], r_{t-2}[i]) + a_\mathrm{or} \max(r_{t-1}[i], r_{t-2}[i])
            + a_\mathrm{reset} \\
            &\quad + (a_\mathrm{sum} + a_\mathrm{count} + a_\mathrm{diff} + a_\mathrm{assign})\, r_{t-1}[i]
            + \textstyle\sum_j b_j (a_\mathrm{greater}\, g[i][j] + a_\mathrm{lesser}\, l[i][j]) \\
        \mathrm{lookup}[i][j] &= b_j a_\mathrm{assign} r_{t-1}[i]

    Args:
        registers: r and s of the steps before.
        table: f32[M, C], T.
        greater: f32[M, C], g, which entries are greater than the question's number.
        lesser: f32[M, C], l, which are lesser.
        operation: f32[9], a, the weights of `OPERATIONS`.
        column: f32[C], b, the weights of the columns.

    Returns:
        The registers for the next step, and the answer after this one.

    Example:
        >>> table = jnp.array([[1.0], [2.0], [4.0]])
        >>> above = jnp.array([[0.0], [1.0], [1.0]])
        >>> one = jax.nn.one_hot(OPERATIONS.index("sum"), len(OPERATIONS))
        >>> _, answer = run_operations(first_registers(3), table, above, 1 - above, one, jnp.ones(1))
        >>> float(answer.scalar)
        7.0
    """
    rows, before, scalars = registers
    a = dict(zip(OPERATIONS, operation, strict=True))
    scalar = (
        a["sum"] * (column @ (rows @ table))
        + a["count"] * jnp.sum(rows)
        + a["difference"] * (scalars[2] - scalars[0])
    )
    selected = (
        a["and"] * jnp.minimum(rows, before)
        + a["or"] * jnp.maximum(rows, before)
        + a["reset"]
        + (a["sum"] + a["count"] + a["difference"] + a["assign"]) * rows
        + (a["greater"] * greater + a["lesser"] * lesser) @ column
    )
    lookup = a["assign"] * rows[:, None] * column[None]
    return Registers(selected, rows, jnp.stack([scalar, scalars[0], scalars[1]])), Answer(scalar, lookup)


class NeuralProgrammer(hk.Module):
    r"""Question and table to answer, through a program of soft selections.

    .. math::

        z_i &= \tanh(W_q [z_{i-1}; V(w_i)]), \qquad q = z_Q \\
        a_t &= \operatorname{softmax}(U \tanh(W_o [q; h_t + e_t])), \qquad
            b_t = \operatorname{softmax}(P \tanh(W_c [q; h_t + e_t])) \\
        h_t &= \tanh(W_h [a_{t-1}^\top U; b_{t-1}^\top P; h_{t-1}]), \qquad
            \beta_o = \operatorname{softmax}(Z\, U(o))

    V are the word vectors, P those of the columns' names, U those of the operations, e those of the steps; Z
    has the question network's states at the words to the left of the numbers, and :math:`\beta_o` says with
    which number the comparison o is made.

    Args:
        num_words: of the vocabulary, the columns' names last.
        width: d, of all vectors.
        num_steps: T, operations in a row.
        hard: whether the largest weight of each selection is taken for one, as the paper does to answer.
        name: of the module.

    Example:
        >>> net = hk.without_apply_rng(hk.transform(lambda *question: NeuralProgrammer(9, 4)(*question)))
        >>> question = jnp.array([4, 0, -1]), jnp.array([2.0, 0.0]), jnp.array([0, -1]), jnp.ones((3, 1))
        >>> answer, entropy = net.apply(net.init(jax.random.key(0), *question), *question)
        >>> answer.lookup.shape, entropy.shape
        ((3, 1), ())
    """

    def __init__(
        self, num_words: int, width: int, num_steps: int = 4, hard: bool = False, name: str | None = None
    ):
        super().__init__(name=name)
        self.num_words, self.width, self.num_steps, self.hard = num_words, width, num_steps, hard

    def __call__(self, words: Array, numbers: Array, places: Array, table: Array) -> tuple[Answer, Array]:
        """The answer to one question.

        Args:
            words: i32[L], -1 behind the question's end.
            numbers: f32[N], those in the question.
            places: i32[N], which word is to the left of each; -1 where there is no number.
            table: f32[M, C].

        Returns:
            The answer, and the entropy f32[] of the selections of operations, in nats, summed over the steps.
        """
        start = hk.initializers.RandomNormal(VECTOR_DEVIATION)
        vectors = hk.get_parameter("words", (self.num_words, self.width), init=start)
        operations = hk.get_parameter("operations", (len(OPERATIONS), self.width), init=start)
        steps = hk.get_parameter("steps", (self.num_steps, self.width), init=hk.initializers.RandomNormal())
        columns = vectors[self.num_words - table.shape[1] :]
        states = self._read(jax.nn.one_hot(words, self.num_words) @ vectors, words >= 0)
        question = states[-1]

        at_numbers = jax.nn.one_hot(places, len(words)) @ states
        compared = jnp.stack([table[None] > numbers[:, None, None], table[None] < numbers[:, None, None]])
        scores = operations[jnp.array([GREATER, LESSER])] @ at_numbers.T
        pivots = self._selected(jnp.where(places[None] >= 0, scores, -1e9))
        greater, lesser = jnp.einsum("on,onij->oij", pivots, compared.astype(table.dtype))

        op_net, col_net, history_net = (
            hk.Linear(self.width, name=n) for n in ("operation", "column", "history")
        )

        def step(carry: tuple[Registers, Array], place: Array):
            registers, history = carry
            seen = jnp.concatenate([question, history + place])
            operation = self._selected(operations @ jnp.tanh(op_net(seen)))
            column = self._selected(columns @ jnp.tanh(col_net(seen)))
            registers, answer = run_operations(registers, table, greater, lesser, operation, column)
            past = jnp.concatenate([operation @ operations, column @ columns, history])
            return (registers, jnp.tanh(history_net(past))), (answer, _entropy(operation))

        first = first_registers(table.shape[0]), jnp.zeros(self.width)
        _, (answers, entropies) = hk.scan(step, first, steps)
        return jax.tree.map(lambda leaf: leaf[-1], answers), jnp.sum(entropies)

    def _read(self, vectors: Array, there: Array) -> Array:
        """The question network's states f32[L, width]; behind the question's end, the last again."""
        reader = hk.Linear(self.width, name="question")

        def body(state: Array, word: tuple[Array, Array]) -> tuple[Array, Array]:
            vector, there = word
            read = jnp.tanh(reader(jnp.concatenate([state, vector])))
            state = jnp.where(there, read, state)
            return state, state

        return hk.scan(body, jnp.zeros(self.width), (vectors, there))[1]

    def _selected(self, scores: Array) -> Array:
        if self.hard:
            return jax.nn.one_hot(jnp.argmax(scores, axis=-1), scores.shape[-1])
        return jax.nn.softmax(scores, axis=-1)


def _entropy(weights: Array) -> Array:
    return -jnp.sum(weights * jnp.log(jnp.maximum(weights, _LEAST_WEIGHT)))
