"""Sequences of bits, written out, and that a Differentiable Neural Computer learns them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from learned_opt import tasks
from learned_opt.training import start, unroll

KEY = jax.random.key(0)


def examples(task, answers):
    """The first sequence of a batch that has to be answered in so many steps, in numpy."""
    batch = jax.tree.map(np.asarray, jax.jit(task.batch)(KEY, (), ()))
    one = int(np.flatnonzero(batch.answers.sum(1) == answers)[0])
    return batch.inputs[one], batch.targets[one], np.flatnonzero(batch.answers[one])


def test_copy_written_out():
    inputs, targets, when = examples(tasks.copy(num_bits=3, max_length=4, batch_size=32), answers=2)
    assert inputs.shape == (10, 5)
    np.testing.assert_array_equal(np.flatnonzero(inputs[:, 3]), [0])
    np.testing.assert_array_equal(np.flatnonzero(inputs[:, 4]), [3])
    np.testing.assert_array_equal(when, [4, 5])
    np.testing.assert_array_equal(targets[when], inputs[1:3, :3])
    assert not inputs[4:].any()


def test_repeat_copy_written_out():
    """Seven steps of an answer are two symbols three times and the end marker."""
    task = tasks.repeat_copy(num_bits=3, max_length=2, max_repeats=3, batch_size=64)
    inputs, targets, when = examples(task, answers=7)
    np.testing.assert_array_equal(when, range(4, 11))
    assert inputs[3, 4] == 1  # three times of at most three
    np.testing.assert_array_equal(targets[when[:-1], :3], np.tile(inputs[1:3, :3], (3, 1)))
    np.testing.assert_array_equal(targets[:, 3], np.arange(11) == 10)
    assert not targets[10, :3].any()


def test_associative_recall_written_out():
    """Items differ, however few bits they have."""
    task = tasks.associative_recall(num_bits=2, item_length=2, max_items=3, batch_size=64)
    batch = jax.tree.map(np.asarray, jax.jit(task.batch)(KEY, (), ()))
    for inputs, targets, answers in zip(*batch, strict=True):
        begins, asks = np.flatnonzero(inputs[:, 2]), np.flatnonzero(inputs[:, 3])
        items = [inputs[t + 1 : t + 3, :2] for t in begins]
        query = inputs[asks[0] + 1 : asks[0] + 3, :2]
        (place,) = [i for i, item in enumerate(items) if np.array_equal(item, query)]
        assert place < len(items) - 1
        assert len({item.tobytes() for item in items}) == len(items)
        np.testing.assert_array_equal(np.flatnonzero(answers), [asks[1] + 1, asks[1] + 2])
        np.testing.assert_array_equal(targets[answers > 0], items[place + 1])
    numbers = (batch.inputs[:, :, 2] > 0).sum(1)
    assert set(numbers) == {2, 3}


def test_chance_is_half_of_the_bits_wrong():
    task = tasks.copy(max_length=2, num_slots=4)
    metrics = jax.jit(lambda key: task.metrics(task.init(key, ()), (), ()))(KEY)
    assert metrics["bit_errors"] == pytest.approx(0.5, abs=0.1)
    assert metrics["bit_errors_at_twice"] == pytest.approx(0.5, abs=0.1)
    assert metrics["bit_errors_at_twice_with_room"] == pytest.approx(0.5, abs=0.1)


def test_every_bit_of_an_item_is_as_often_one_as_zero():
    for item_length, num_bits in ((1, 5), (3, 10)):
        task = tasks.associative_recall(num_bits, item_length, max_items=6, batch_size=400)
        inputs = np.asarray(jax.jit(task.batch)(KEY, (), ()).inputs)
        shown = inputs[:, : 2 * (item_length + 1), :num_bits].reshape(400, 2, item_length + 1, num_bits)[
            :, :, 1:
        ]
        np.testing.assert_allclose(shown.mean(axis=(0, 1)), 0.5, atol=0.08)


def test_too_few_items_that_differ_are_refused():
    with pytest.raises(ValueError, match="not twice as many different items"):
        tasks.associative_recall(num_bits=2, max_items=3)


def test_a_network_that_knows_nothing_has_the_entropy_of_a_bit():
    task = tasks.copy()
    params = jax.tree.map(jnp.zeros_like, task.init(KEY, ()))
    loss = jax.jit(lambda params: task.loss(params, (), task.batch(KEY, (), ())))(params)
    assert loss == pytest.approx(np.log(2), rel=1e-5)


def test_adam_learns_to_copy_two_symbols():
    task = tasks.copy(num_bits=2, max_length=2, hidden_size=16, num_slots=4, word_size=4)
    tx = optax.adam(0.01)

    @jax.jit
    def train(key):
        state, losses = unroll(tx, task, key, (), (), start(tx, task, key, ()), 400)
        return losses, task.metrics(state.params, (), ())

    losses, metrics = train(KEY)
    assert losses[-20:].mean() < 0.1 * losses[0]
    assert metrics["bit_errors"] < 0.05
