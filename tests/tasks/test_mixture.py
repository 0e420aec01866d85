import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt.tasks import classification, mixture, quadratic, random_scaling, registry, sparse_coding

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


@pytest.mark.parametrize(
    ("tasks", "match"),
    [
        ((), "at least one task"),
        ((quadratic(dim=3), quadratic(dim=4)), r"tasks\[1\] has shape \(4,\) but .*tasks\[0\] has"),
        ((sparse_coding(4, 8), sparse_coding(4, 8, weight=0.1)), "different proximal operators"),
        ((sparse_coding(4, 8), quadratic(dim=8)), "smooth part"),
        ((quadratic(dim=3), classification("digits")), r"tasks\[1\] and .* different tree structures"),
    ],
)
def test_tasks_that_do_not_mix_are_refused(tasks, match):
    with pytest.raises(ValueError, match=match):
        mixture(tasks)


def test_configurations_nest():
    config = mixture((random_scaling(quadratic(dim=3)), quadratic(dim=3))).config
    again = registry.from_json(registry.to_json(config))
    assert again == config
    assert [task.name for task in again.tasks] == ["random_scaling", "quadratic"]
    nameless = mixture((quadratic(dim=3)._replace(config=None), quadratic(dim=3)))
    assert nameless.config is None
