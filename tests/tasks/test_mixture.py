import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt.meta import meta_train
from learned_opt.optimizers import proximal_lstm
from learned_opt.tasks import mixture, normalized_loss, quadratic, random_scaling, registry, sparse_coding

MIXED = mixture((quadratic(dim=3), quadratic(dim=3, condition_number=1e4)))


def test_problems_come_from_all_tasks_alike_and_have_their_own_tasks_loss():
    keys = jax.random.split(jax.random.key(0), 400)
    problems = jax.vmap(MIXED.sample)(keys)
    assert abs(np.mean(problems.index == 0) - 0.5) < 0.08  # three standard errors

    x = jnp.float32([1, -2, 3])
    losses = jax.vmap(lambda p: MIXED.loss(x, p, MIXED.batch(keys[0], p, MIXED.data)))(problems)
    plain = quadratic(dim=3)  # the formula of both, the second's with another W
    each = [jax.vmap(lambda p: plain.loss(x, p, ()))(draws) for draws in problems.problems]
    np.testing.assert_allclose(losses, np.where(problems.index == 0, *each), rtol=1e-5)


def test_smooth_part_operator_and_metrics_are_the_tasks():
    tasks = [sparse_coding(4, 8, snr_db=snr, objective="recovery") for snr in (None, 10.0)]
    mixed = mixture(tuple(tasks))
    assert mixed.prox is tasks[0].prox
    x = jnp.linspace(-1, 1, 8)
    for seed in range(4):
        problem = mixed.sample(jax.random.key(seed))
        i = int(problem.index)
        batch = mixed.batch(jax.random.key(1), problem, mixed.data)
        own = problem.problems[i], batch[i]
        np.testing.assert_allclose(mixed.smooth(x, problem, batch), tasks[i].smooth(x, *own), rtol=1e-6)
        found = mixed.metrics(x, problem, mixed.data)
        np.testing.assert_allclose(
            found["nmse_db"], tasks[i].metrics(x, own[0], tasks[i].data)["nmse_db"], rtol=1e-6
        )


def test_only_metrics_of_all_tasks_are_kept():
    with_gap = sparse_coding(4, 8, optimum_steps=5)
    mixed = mixture((with_gap, sparse_coding(4, 8)))
    problem = mixed.sample(jax.random.key(0))
    metrics = mixed.metrics(mixed.init(jax.random.key(1), problem), problem, mixed.data)
    assert "gap" not in metrics
    assert "nmse_db" in metrics
    assert mixture((quadratic(dim=3), quadratic(dim=3))).metrics is None


def test_params_of_different_shapes_lie_side_by_side():
    tasks = (quadratic(dim=3), sparse_coding(4, 8))
    mixed = mixture(tasks)
    step = jnp.float32(0.1)
    met = set()
    for seed in range(6):
        problem = mixed.sample(jax.random.key(seed))
        i = int(problem.index)
        met.add(i)
        params = (jnp.linspace(-1, 1, 3), jnp.linspace(-1, 1, 8))
        assert jax.tree.map(jnp.shape, mixed.init(jax.random.key(1), problem)) == ((3,), (8,))
        batch = mixed.batch(jax.random.key(2), problem, mixed.data)
        own = params[i], problem.problems[i], batch[i]
        np.testing.assert_allclose(mixed.loss(params, problem, batch), tasks[i].loss(*own), rtol=1e-6)
        visible = tasks[i].smooth or tasks[i].loss
        np.testing.assert_allclose(mixed.smooth(params, problem, batch), visible(*own), rtol=1e-6)
        gradients = jax.grad(mixed.smooth)(params, problem, batch)
        np.testing.assert_allclose(gradients[i], jax.grad(visible)(*own), rtol=1e-5)
        assert not np.any(gradients[1 - i])
    assert met == {0, 1}
    moved = mixed.prox(params, step)
    np.testing.assert_array_equal(moved[0], params[0])  # quadratics have no operator
    np.testing.assert_array_equal(moved[1], tasks[1].prox(params[1], step))
    # A step size a coordinate, as the learned proximal optimizers have them.
    sizes = (jnp.ones(3), jnp.linspace(0.1, 0.8, 8))
    np.testing.assert_array_equal(mixed.prox(params, sizes)[1], tasks[1].prox(params[1], sizes[1]))


def test_proximal_optimizers_are_meta_trained_on_params_of_different_shapes():
    mixed = mixture((sparse_coding(4, 8), sparse_coding(9, 12, penalty="l0")))
    run = meta_train(
        proximal_lstm(hidden_sizes=(2,)),
        mixed,
        horizon=4,
        truncation=2,
        num_problems=2,
        num_meta_steps=2,
        num_validation_problems=4,
        log_floor=1e-4,
        quiet=True,
    )
    assert np.isfinite(run.validation_loss)


def test_a_smooth_part_beside_none():
    """A task whose loss is what the optimizer sees goes with one whose measured loss is another."""
    tasks = (normalized_loss(quadratic(dim=3), scale=7.0), quadratic(dim=3))
    mixed = mixture(tasks)
    x = jnp.float32([1, -2, 3])
    problem = mixed.sample(jax.random.key(0))
    for i, divisor in ((0, 7), (1, 1)):
        drawn = problem._replace(index=jnp.int32(i))
        seen = quadratic(dim=3).loss(x, problem.problems[i], ())
        np.testing.assert_allclose(mixed.smooth(x, drawn, ((), ())), seen, rtol=1e-6)
        np.testing.assert_allclose(mixed.loss(x, drawn, ((), ())), seen / divisor, rtol=1e-6)


def test_equal_params_with_different_operators_are_kept_apart():
    operators = sparse_coding(4, 8), sparse_coding(4, 8, penalty="l0")
    mixed = mixture(operators)
    params = tuple(jnp.full(8, value) for value in (0.004, 0.2))
    found = mixed.prox(params, 1.0)
    for after, before, task in zip(found, params, operators, strict=True):
        np.testing.assert_array_equal(after, task.prox(before, 1.0))
    assert not found[0].any()  # below the soft threshold
    assert found[1].all()  # above the hard one


def test_no_tasks_are_refused():
    with pytest.raises(ValueError, match="at least one task"):
        mixture(())


def test_configurations_nest():
    config = mixture((random_scaling(quadratic(dim=3)), quadratic(dim=3))).config
    again = registry.from_json(registry.to_json(config))
    assert again == config
    assert [task.name for task in again.tasks] == ["random_scaling", "quadratic"]
    nameless = mixture((quadratic(dim=3)._replace(config=None), quadratic(dim=3)))
    assert nameless.config is None
