import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from learned_opt import optimizers
from learned_opt.tasks import (
    gradient_noise,
    mixture,
    normalized_loss,
    quadratic,
    random_scaling,
    sparse_coding,
)
from learned_opt.training import evaluate, truncated_bptt, weighted_sum

KEY = jax.random.key(3)
SMALL = quadratic(dim=3, start_deviation=1.0)
# The same problems with a hundred times the loss, in units of the params that hide nothing from SGD.
LARGE = SMALL._replace(loss=lambda x, problem, batch: 100 * SMALL.loss(x, problem, batch))


@pytest.mark.parametrize(
    "task",
    [
        SMALL,
        sparse_coding(4, 8, objective="recovery"),
        gradient_noise(SMALL),
        random_scaling(SMALL, loss_log_range=3.0),
    ],
    ids=["loss", "smooth", "noise", "scaled"],
)
def test_the_optimizer_sees_what_it_saw(task):
    """The same trajectory, measured in other units."""
    curves, normalized = (
        evaluate(optax.sgd(0.01), t, num_steps=5, num_problems=8) for t in (task, normalized_loss(task, 4.0))
    )
    np.testing.assert_allclose(normalized, curves / 4, rtol=1e-5)
    assert np.all(curves[:, -1] != curves[:, 0])


@pytest.mark.parametrize("task", [SMALL, LARGE])
def test_losses_start_at_one_on_average(task):
    first = evaluate(optax.sgd(0.1), normalized_loss(task), num_steps=0, num_problems=4000)
    # The scale is the mean of 64 losses, each of about its mean in deviation.
    assert abs(first.mean() - 1) < 4 * first.std() / 64**0.5


def test_tasks_of_different_scales_count_alike_in_the_meta_gradient():
    """SGD on f with a rate r, and on 100 f with r / 100, has the same trajectory and relative gain."""

    def meta_gradient(task, learning_rate: float) -> float:
        lopt = optimizers.hyperparameters("sgd", {"learning_rate": learning_rate})
        estimator = truncated_bptt(
            lopt, task, weighted_sum(), horizon=4, truncation=4, num_problems=64, second_order=True
        )
        theta = lopt.init(KEY)  # a logarithm, so that both derivatives are relative
        estimate, _ = estimator.estimate(KEY, theta, estimator.init(KEY, theta, task.data), task.data)
        return float(estimate.grad["learning_rate"])

    small, large = meta_gradient(SMALL, 1e-2), meta_gradient(LARGE, 1e-4)
    assert large == pytest.approx(100 * small, rel=1e-3)
    small, large = meta_gradient(normalized_loss(SMALL), 1e-2), meta_gradient(normalized_loss(LARGE), 1e-4)
    assert large == pytest.approx(small, rel=1e-3)


def test_configurations_nest_and_the_scale_is_the_same_again():
    task = normalized_loss(mixture((normalized_loss(SMALL), SMALL)))
    again = task.config.make()
    x, problem = jnp.ones(3), task.sample(KEY)
    assert task.loss(x, problem, ((), ())) == again.loss(x, problem, ((), ()))


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_out_of_range_is_quoted(scale: float):
    with pytest.raises(ValueError, match=f"scale={scale}; it must be positive and finite"):
        normalized_loss(SMALL, scale)


def test_a_task_without_a_scale_asks_for_one():
    at_zero = SMALL._replace(loss=lambda x, problem, batch: jnp.zeros([]))
    with pytest.raises(ValueError, match=r"measured mean loss at the start is 0\.0: give a scale"):
        normalized_loss(at_zero)
