import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from learned_opt.optimizers import lstm
from learned_opt.tasks import classification, quadratic
from learned_opt.training import evaluate, evaluate_with_metrics, evaluation_keys, start, trajectories, unroll

TASK = quadratic(dim=3, start_deviation=1.0)


def test_curves_are_unrolls_of_fresh_problems():
    tx = optax.adam(0.1)
    curves = evaluate(tx, TASK, num_steps=5, num_problems=4, seed=3)
    assert isinstance(curves, np.ndarray)
    assert curves.shape == (4, 6)
    assert curves.dtype == np.float32
    for curve, key in zip(curves, evaluation_keys(3, 4), strict=True):
        sample_key, start_key, batch_key = jax.random.split(key, 3)
        problem = TASK.sample(sample_key)
        _, losses = unroll(tx, TASK, batch_key, problem, (), start(tx, TASK, start_key, problem), 5)
        np.testing.assert_allclose(curve, losses, rtol=1e-4)


def test_same_seed_same_problems_for_every_optimizer():
    slow, fast, other = (
        evaluate(tx, TASK, num_steps=3, num_problems=5, seed=seed)
        for tx, seed in ((optax.sgd(1e-3), 0), (optax.adam(0.1), 0), (optax.adam(0.1), 1))
    )
    np.testing.assert_array_equal(slow[:, 0], fast[:, 0])
    assert np.all(slow[:, -1] != fast[:, -1])
    assert not np.any(np.isclose(fast[:, 0], other[:, 0]))
    assert len(np.unique(fast[:, 0])) == 5
    again = evaluate(optax.adam(0.1), TASK, num_steps=3, num_problems=5, seed=0)
    np.testing.assert_array_equal(again, fast)


def test_keys_are_the_seeds_alone_and_not_those_of_other_streams():
    ours = jax.random.key_data(evaluation_keys(0, 8))
    np.testing.assert_array_equal(jax.random.key_data(evaluation_keys(0, 8)), ours)
    plain = jax.random.key_data(jax.random.split(jax.random.key(0), 8))
    assert not (set(map(tuple, np.asarray(ours))) & set(map(tuple, np.asarray(plain))))


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64])
def test_chunks_do_not_change_the_result(chunk: int):
    curves = evaluate(optax.adam(0.1), TASK, num_steps=4, num_problems=7, chunk=chunk)
    expected = evaluate(optax.adam(0.1), TASK, num_steps=4, num_problems=7, chunk=7)
    np.testing.assert_allclose(curves, expected, rtol=1e-5)


def test_metrics_are_those_after_the_last_update():
    task = classification("digits", hidden_sizes=(5,), batch_size=8)
    tx = optax.adam(0.05)
    curves, metrics = evaluate_with_metrics(tx, task, num_steps=3, num_problems=2)
    assert set(metrics) == {"test_loss", "test_accuracy"}
    assert all(isinstance(v, np.ndarray) and v.shape == (2,) for v in metrics.values())
    sample_key, start_key, batch_key = jax.random.split(evaluation_keys(0, 2)[1], 3)
    problem = task.sample(sample_key)
    state, losses = jax.jit(
        lambda data: unroll(tx, task, batch_key, problem, data, start(tx, task, start_key, problem), 3)
    )(task.data)
    np.testing.assert_allclose(curves[1], losses, rtol=1e-4)
    expected = task.metrics(state.params, problem, task.data)
    np.testing.assert_allclose(metrics["test_loss"][1], expected["test_loss"], rtol=1e-4)
    np.testing.assert_array_equal(evaluate(tx, task, num_steps=3, num_problems=2), curves)
    assert evaluate_with_metrics(tx, TASK, num_steps=1, num_problems=2)[1] == {}


def test_no_steps_give_the_first_losses():
    assert evaluate(optax.sgd(0.1), TASK, num_steps=0, num_problems=2).shape == (2, 1)


def counted(task):
    """The task, and a list that grows whenever its loss is traced."""
    traces = []

    def loss(params, problem, batch):
        traces.append(None)
        return task.loss(params, problem, batch)

    return task._replace(loss=loss), traces


def test_new_theta_does_not_recompile():
    lopt = lstm(hidden_sizes=(3,))
    task, traces = counted(TASK)
    keys = evaluation_keys(0, 4)
    results = []
    for seed in range(3):
        theta = jax.tree.map(lambda x: 10 * x, lopt.init(jax.random.key(seed)))
        results.append(np.asarray(trajectories(lopt.build, task, 4, theta, keys)[0]))
        if seed == 0:
            first = len(traces)
    assert first > 0
    assert len(traces) == first
    assert not np.allclose(results[0][:, -1], results[1][:, -1], rtol=1e-6)


def test_new_data_does_not_recompile():
    task, traces = counted(classification("digits", hidden_sizes=(3,), batch_size=4))
    keys = evaluation_keys(0, 2)
    first, _ = trajectories(optax.sgd, task, 2, 0.1, keys)
    count = len(traces)
    zeroed = task._replace(data=task.data._replace(images=jnp.zeros_like(task.data.images)))
    second, _ = trajectories(optax.sgd, zeroed, 2, 0.1, keys)
    assert len(traces) == count
    assert not np.allclose(first, second)


def test_same_optimizer_again_does_not_recompile():
    task, traces = counted(TASK)
    tx = optax.adam(0.1)
    evaluate(tx, task, num_steps=2, num_problems=3, seed=0)
    count = len(traces)
    evaluate(tx, task, num_steps=2, num_problems=3, seed=1)
    assert len(traces) == count


def test_diverging_optimizers_give_what_they_gave():
    curves = evaluate(optax.sgd(1e20), TASK, num_steps=5, num_problems=2)
    assert np.all(np.isfinite(curves[:, 0]))
    assert not np.any(np.isfinite(curves[:, -1]))


@pytest.mark.parametrize(
    ("argument", "value", "least"), [("num_steps", -1, 0), ("num_problems", 0, 1), ("chunk", 0, 1)]
)
def test_numbers_below_their_least_are_refused(argument: str, value: int, least: int):
    arguments = {"num_steps": 1, "num_problems": 1, "chunk": 1} | {argument: value}
    with pytest.raises(ValueError, match=f"{argument}={value}: it must be at least {least}"):
        evaluate(optax.sgd(0.1), TASK, **arguments)
