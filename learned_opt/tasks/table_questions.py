"""Questions on tables of numbers, generated, with their answers.

Reference:
    Neelakantan, Le, Sutskever, Neural Programmer, ICLR 2016, section 3 and the templates of its appendix. The
    entries are whole numbers from -10 to 10 and a table has a fixed number of rows.
"""

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from learned_opt.core.types import Array, Key

WORDS = ("sum", "count", "print", "difference", "greater", "lesser", "and", "or")
MAX_WORDS = 8
LARGEST = 10
_COMPARISONS = ("greater", "lesser")
# Columns are words of their own behind `WORDS`; until a question is drawn they stand for the first and the
# second that is compared, and for the one that is summed or printed.
_FIRST, _SECOND, _OF_ANSWER = -2, -3, -4


class Question(NamedTuple):
    """A question, its table and its answer.

    Attributes:
        words: i32[8], of `WORDS` and the columns' names behind them; -1 behind the end.
        numbers: f32[2], the numbers in it, which are no words.
        places: i32[2], which word is to the left of each; -1 where there is none.
        table: f32[M, C].
        is_scalar: bool[], whether the answer is a number.
        scalar: f32[], the answer, or 0.
        lookup: f32[M, C], 1 at entries that are the answer, 0 elsewhere.
    """

    words: Array
    numbers: Array
    places: Array
    table: Array
    is_scalar: Array
    scalar: Array
    lookup: Array


class _Template(NamedTuple):
    words: Any  # i32[8]
    places: Any  # i32[2]
    signs: Any  # f32[2], 1 for greater, -1 for lesser, 0 for no comparison
    either: Any  # bool[], whether rows of either comparison count
    answer: Any  # f32[3], the weights of the sum, the count and the print in the answer


def templates(num_columns: int) -> list[str]:
    """All kinds of questions, in words; N is a number, A, B and C stand for columns where there are several.

    No question has two comparisons of the same sort: a Neural Programmer has one number that entries are
    greater than, and one that they are lesser than, and could not answer it.

    Example:
        >>> kinds = templates(1)
        >>> len(kinds), kinds[0], kinds[-1]
        (23, 'sum', 'lesser N or greater N print')
        >>> templates(3)[-1]
        'lesser N A or greater N B print C'
    """
    names = {_FIRST: "A", _SECOND: "B", _OF_ANSWER: "C"}
    spelled = []
    for template in _templates(num_columns):
        words = [names.get(int(word)) or WORDS[word] for word in template.words if word != -1]
        for place in sorted(template.places[template.places >= 0], reverse=True):
            words.insert(place + 1, "N")
        spelled.append(" ".join(words))
    return spelled


def _templates(num_columns: int) -> list[_Template]:
    several = num_columns > 1
    answers = {"sum": (1, 0, 0), "count": (0, 1, 0), "print": (0, 0, 1)}

    def ask(word: str) -> list[str | int]:
        return [word, _OF_ANSWER] if several and word != "count" else [word]

    def compare(comparison: str, column: int) -> list[str | int]:
        return [comparison, column] if several else [comparison]

    found = [_template(ask(word), answer) for word, answer in answers.items()]
    found.append(_template([*ask("sum"), "difference", *ask("count")], (1, -1, 0)))
    found.append(_template([*ask("count"), "difference", *ask("sum")], (-1, 1, 0)))
    for one in _COMPARISONS:
        for word, answer in answers.items():
            found.append(_template([*compare(one, _FIRST), *ask(word)], answer, (one,)))
    for (one, other), link in itertools.product(itertools.permutations(_COMPARISONS), ("and", "or")):
        for word, answer in answers.items():
            words = [*compare(one, _FIRST), link, *compare(other, _SECOND), *ask(word)]
            found.append(_template(words, answer, (one, other), link == "or"))
    return found


def _template(words, answer, comparisons=(), either=False) -> _Template:
    codes = [word if isinstance(word, int) else WORDS.index(word) for word in words]
    places = [i for i, word in enumerate(words) if word in _COMPARISONS]
    signs = [1.0 if comparison == "greater" else -1.0 for comparison in comparisons]
    return _Template(
        np.array(codes + [-1] * (MAX_WORDS - len(codes)), np.int32),
        np.array(places + [-1] * (2 - len(places)), np.int32),
        np.array(signs + [0.0] * (2 - len(signs)), np.float32),
        np.array(either),
        np.array(answer, np.float32),
    )


def draw_questions(key: Key, num_questions: int, num_rows: int, num_columns: int) -> Question:
    """Questions of all kinds, each with a table of its own.

    Args:
        key: decides on all of it.
        num_questions: n.
        num_rows: M, of a table.
        num_columns: C.

    Returns:
        The questions, each leaf with a leading axis n.

    Example:
        >>> questions = draw_questions(jax.random.key(0), 5, num_rows=4, num_columns=3)
        >>> questions.table.shape, questions.words.shape
        ((5, 4, 3), (5, 8))
    """
    kinds = jax.tree.map(lambda *leaves: np.stack(leaves), *_templates(num_columns))

    def one(key: Key) -> Question:
        kind_key, table_key, number_key, column_key = jax.random.split(key, 4)
        kind = jax.random.randint(kind_key, (), 0, len(kinds.words))
        template = jax.tree.map(lambda leaf: jnp.asarray(leaf)[kind], kinds)
        table = jax.random.randint(table_key, (num_rows, num_columns), -LARGEST, LARGEST + 1)
        numbers = jax.random.randint(number_key, (2,), -LARGEST, LARGEST + 1)
        columns = jax.random.randint(column_key, (3,), 0, num_columns)
        return _answered(template, table.astype(jnp.float32), numbers.astype(jnp.float32), columns)

    return jax.vmap(one)(jax.random.split(key, num_questions))


def _answered(template: _Template, table: Array, numbers: Array, columns: Array) -> Question:
    words = template.words
    for place, column in zip((_FIRST, _SECOND, _OF_ANSWER), columns, strict=True):
        words = jnp.where(words == place, len(WORDS) + column, words)
    asked = template.signs != 0
    differences = (table[:, columns[:2]] - numbers[None]) * template.signs[None]
    holds = differences > 0  # [M, 2]
    every = jnp.all(holds | ~asked[None], axis=1)
    some = jnp.any(holds & asked[None], axis=1)
    rows = jnp.where(template.either, some, every).astype(jnp.float32)
    column = jax.nn.one_hot(columns[2], table.shape[1])
    scalar = template.answer[0] * (rows @ table @ column) + template.answer[1] * jnp.sum(rows)
    return Question(
        words,
        jnp.where(asked, numbers, 0),
        template.places,
        table,
        template.answer[2] == 0,
        scalar,
        template.answer[2] * rows[:, None] * column[None],
    )
