"""Questions with their answers, and what the loss and the metric make of answers."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt import tasks
from learned_opt.networks.neural_programmer import OPERATIONS, Answer, first_registers, run_operations
from learned_opt.tasks.neural_programmer import answer_loss, is_exact
from learned_opt.tasks.table_questions import WORDS, Question, draw_questions, templates


def answered(words: list[str], numbers: list[float], table: np.ndarray) -> tuple[float, np.ndarray]:
    """The answer to a question on a table, read word by word."""
    numbers, selections, link = list(numbers), [], "and"
    answers = []
    for i, word in enumerate(words):
        named = words[i + 1] if i + 1 < len(words) else ""
        column = "ABC".index(named) if named in ("A", "B", "C") else 0
        if word in ("greater", "lesser"):
            number = numbers.pop(0)
            selections.append(table[:, column] > number if word == "greater" else table[:, column] < number)
        elif word in ("and", "or"):
            link = word
        elif word in ("sum", "count", "print"):
            answers.append((word, column))
    joined = {"and": np.all, "or": np.any}[link]
    rows = joined(selections, axis=0) if selections else np.ones(len(table), bool)
    found, lookup = [], np.zeros_like(table)
    for word, column in answers:
        if word == "print":
            lookup[rows, column] = 1
        else:
            found.append(table[rows, column].sum() if word == "sum" else rows.sum())
    return (found[0] - found[1] if len(found) == 2 else found[0] if found else 0.0), lookup


@pytest.mark.parametrize("num_columns", [1, 3])
def test_answers_are_those_of_a_reader(num_columns: int):
    draw = jax.jit(draw_questions, static_argnums=(1, 2, 3))
    questions = jax.tree.map(np.asarray, draw(jax.random.key(0), 200, 5, num_columns))
    names, seen = [*WORDS, "A", "B", "C"], set()
    for i in range(200):
        words = [names[word] for word in questions.words[i] if word >= 0]
        numbers = questions.numbers[i][questions.places[i] >= 0]
        scalar, lookup = answered(words, numbers, questions.table[i])
        assert questions.scalar[i] == scalar, words
        np.testing.assert_array_equal(questions.lookup[i], lookup)
        assert questions.is_scalar[i] == ("print" not in words)
        for place in questions.places[i]:
            assert place < 0 or words[place] in ("greater", "lesser")
        seen.add(" ".join(words))
    assert len(seen) == (len(templates(1)) if num_columns == 1 else len(seen))
    assert len(seen) >= 23


def program(words: list[str], num_columns: int) -> list[tuple[str, int]]:
    """The operations that answer a question, and their columns."""
    columns = {"ABC"[j]: j for j in range(num_columns)}
    told = [(w, columns.get(after, 0)) for w, after in itertools.pairwise([*words, ""]) if w not in columns]
    told = [("assign" if w == "print" else w, column) for w, column in told]
    if told[1:2] == [("difference", 0)]:
        return [told[0], ("reset", 0), told[2], ("difference", 0)]
    if len(told) == 4:
        return [told[0], told[2], told[1], told[3]]
    return [("reset", 0)] * (4 - len(told)) + told


def test_every_question_has_a_program_of_four_operations():
    """So that all answers can be exact."""
    num_rows, num_columns = 5, 3
    draw = jax.jit(draw_questions, static_argnums=(1, 2, 3))
    questions = draw(jax.random.key(0), 200, num_rows, num_columns)
    names = [*WORDS, "A", "B", "C"]
    pivots = np.zeros((200, 2), np.float32)  # of greater and lesser
    operations, columns = np.zeros((200, 4), int), np.zeros((200, 4), int)
    for i in range(200):
        words = [names[word] for word in questions.words[i] if word >= 0]
        for place, number in zip(questions.places[i], questions.numbers[i], strict=True):
            if place >= 0:
                pivots[i, ("greater", "lesser").index(words[place])] = number
        for t, (operation, column) in enumerate(program(words, num_columns)):
            operations[i, t], columns[i, t] = OPERATIONS.index(operation), column

    def run(table, pivots, operations, columns):
        registers = first_registers(num_rows)
        greater, lesser = (table > pivots[0]).astype(float), (table < pivots[1]).astype(float)
        for t in range(4):
            chosen = jax.nn.one_hot(operations[t], len(OPERATIONS)), jax.nn.one_hot(columns[t], num_columns)
            registers, answer = run_operations(registers, table, greater, lesser, *chosen)
        return answer

    answers = jax.jit(jax.vmap(run))(questions.table, pivots, operations, columns)
    assert jax.vmap(is_exact)(answers, questions).all()


def question(is_scalar: bool, scalar: float, lookup: list[float]) -> Question:
    table = np.array([[1.0], [2.0]])
    return Question(None, None, None, table, np.array(is_scalar), np.float32(scalar), np.array([lookup]).T)


def test_the_loss_of_a_number_is_hubers_and_that_of_entries_the_weighted_cross_entropy():
    number, entries = question(True, 3.0, [0.0, 0.0]), question(False, 0.0, [1.0, 0.0])
    nothing = jnp.zeros((2, 1))
    assert float(answer_loss(Answer(jnp.float32(7), nothing), number)) == pytest.approx(4**2 / 2)
    assert float(answer_loss(Answer(jnp.float32(33), nothing), number)) == pytest.approx(10 * 30 - 50)
    guess = Answer(jnp.float32(0), jnp.array([[0.8], [0.4]]))
    expected = -25 * (np.log(0.8) + np.log(0.6)) / 2
    assert float(answer_loss(guess, entries)) == pytest.approx(expected, rel=1e-5)


def test_an_exact_answer_is_right_in_all_of_it():
    number, entries = question(True, 3.0, [0.0, 0.0]), question(False, 0.0, [1.0, 0.0])
    right, wrong = jnp.array([[0.9], [0.1]]), jnp.array([[0.9], [0.6]])
    assert is_exact(Answer(jnp.float32(3), 0 * right), number)
    assert not is_exact(Answer(jnp.float32(2.5), 0 * right), number)
    assert not is_exact(Answer(jnp.float32(3), right), number)
    assert is_exact(Answer(jnp.float32(0), right), entries)
    assert not is_exact(Answer(jnp.float32(0), wrong), entries)


def test_columns_without_rows_are_refused():
    with pytest.raises(ValueError, match="num_rows=0"):
        tasks.neural_programmer(num_rows=0)


def test_exploration_pays_for_entropy():
    """Of a network of zeros, whose selections are even: ln 9 nats in each of four steps."""
    plain, explores = (tasks.neural_programmer(num_columns=3, width=8, exploration=c) for c in (0.0, 2.0))
    params = jax.tree.map(jnp.zeros_like, plain.init(jax.random.key(0), ()))
    batch = jax.jit(plain.batch)(jax.random.key(1), (), ())
    losses = [jax.jit(f)(params, (), batch) for f in (plain.loss, explores.loss, explores.smooth)]
    assert plain.smooth is None
    assert losses[0] == losses[1]
    assert float(losses[2] - losses[1]) == pytest.approx(-2 * 4 * np.log(9), rel=1e-4)


def test_the_entropy_of_selections_that_underflow_has_a_derivative():
    task = tasks.neural_programmer(width=8, exploration=2.0)
    params = jax.tree.map(lambda leaf: 1e3 * leaf, task.init(jax.random.key(0), ()))
    batch = jax.jit(task.batch)(jax.random.key(1), (), ())
    gradient = jax.jit(jax.grad(task.smooth))(params, (), batch)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_exploration_without_bounds_is_refused():
    with pytest.raises(ValueError, match="exploration=inf"):
        tasks.neural_programmer(exploration=float("inf"))
