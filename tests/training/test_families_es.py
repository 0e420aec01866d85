"""Scores relative to tuned Adam, and what evolution makes of them."""

import dataclasses
import shutil
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from learned_opt import optimizers, tasks
from learned_opt.meta import Settings, initial_state, meta_steps, meta_train, resume
from learned_opt.meta.outer import kept_theta
from learned_opt.training import evaluate, families_es, relative
from learned_opt.training.estimators import FamiliesEs
from learned_opt.training.estimators.families_es import _deviations, _gradient, _noise

KEY = jax.random.key(0)
MIXED = tasks.mixture((tasks.quadratic(dim=2, start_deviation=1.0), tasks.rosenbrock(dim=3, curvature=1.0)))
SGD = optimizers.hyperparameters("sgd", {"learning_rate": 0.02})


def test_adam_in_the_pool_is_adam_of_the_inner_loop():
    task = tasks.quadratic(dim=3)
    pool = relative.pool(task, KEY, (), 2, (5, 4))
    chex.assert_shape(pool.adam, (13, 2, 4))

    def one(drawn):
        params, state = drawn.params, optax.adam(0.1).init(drawn.params)
        for _ in range(20):
            grad = jax.grad(task.loss)(params, drawn.problems, ())
            updates, state = optax.adam(0.1).update(grad, state)
            params = optax.apply_updates(params, updates)
        return task.loss(params, drawn.problems, ())

    expected = jax.vmap(one)(pool.draws)
    rate = int(np.argmin(np.abs(relative.LEARNING_RATES - 0.1)))
    np.testing.assert_allclose(pool.adam[rate, :, -1], expected, rtol=1e-4)


def test_tuned_adam_is_the_best_where_it_is_asked_for_and_leaves_out_what_diverged():
    adam = jnp.array([[[1.0, 0.5]], [[0.4, 0.6]], [[jnp.nan, 1e-9]]])
    assert relative.tuned_adam(adam, jnp.int32(1)).tolist() == adam[2].tolist() or np.isnan(adam[2]).any()
    np.testing.assert_array_equal(relative.tuned_adam(adam[:2], jnp.int32(0)), adam[1])
    np.testing.assert_array_equal(relative.tuned_adam(adam[:2], jnp.int32(1)), adam[0])
    np.testing.assert_array_equal(relative.tuned_adam(adam, jnp.int32(0)), adam[1])


def test_ratios_are_of_logarithms_with_a_floor_and_bounds():
    adam, first = jnp.array([[1.0, 1.0]]), jnp.array([10.0])
    ratio = relative.log_ratio(jnp.array([[[jnp.e, 0.0]], [[jnp.inf, jnp.nan]]]), adam, first)
    np.testing.assert_allclose(ratio[0, 0], [1, np.log(1e-6)], rtol=1e-5)
    np.testing.assert_array_equal(ratio[1, 0], [20, 20])


def test_a_score_counts_the_end_most_and_the_second_half_of_the_decades_besides():
    ratio = jnp.array([0.5, -0.3, 0.2, 9.0])  # of steps 2, 4, 6 and one that is not made

    def s(x: float) -> float:
        return x / (0.15 + abs(x)) + 0.1 * x

    # From the root of 6 on, weighted by 1/4 and 1/6.
    along = (s(-0.3) / 4 + s(0.2) / 6) / (1 / 4 + 1 / 6)
    expected = 0.35 * along + 0.65 * s(0.2)
    assert float(relative.score(ratio, jnp.int32(3), 2)) == pytest.approx(expected, rel=1e-5)
    assert float(relative.score(jnp.zeros(4), jnp.int32(4), 2)) == 0


def test_measurements_divide_the_horizon():
    made = [(s.block, s.num_blocks) for s in (FamiliesEs(horizon=h) for h in (640, 100, 7))]
    assert made == [(20, 32), (2, 50), (1, 7)]


@pytest.mark.parametrize(
    "wrong", [{"window": 3}, {"pool_size": 2}, {"known_share": 2.0}, {"average": 0.0}, {"min_horizon": 0}]
)
def test_settings_out_of_range_are_named(wrong: dict):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        FamiliesEs(**wrong)


def test_the_gradient_of_a_linear_score_is_its_slope_in_every_column():
    """With noise of two sizes: E[z z^T] is the identity."""
    theta = {"w": jnp.zeros((3, 2))}
    settings = FamiliesEs(num_problems=1, sigma=0.5, column_scales=(1.0, 0.1), num_pairs=200_000)
    noise, deviations = _noise(KEY, theta, settings.num_pairs), _deviations(theta, settings)
    slope = jnp.array([[1.0, 2.0], [0.0, -3.0], [0.5, 4.0]])
    both = jnp.concatenate([noise["w"], -noise["w"]]) * deviations["w"]
    scored = jnp.sum(both * slope[None], (1, 2))[:, None]
    grad = _gradient(noise, deviations, scored, None)["w"]
    np.testing.assert_allclose(grad, slope, atol=0.15)
    clipped = _gradient(noise, deviations, scored, 0.1)
    assert float(optax.tree.norm(clipped)) == pytest.approx(0.1, rel=1e-5)
    with pytest.raises(ValueError, match=r"theta has a leaf of shape \(3,\)"):
        _deviations({"b": jnp.zeros(3)}, settings)


def test_a_mixture_is_taken_apart_and_adam_itself_scores_nothing():
    """Adam at one rate is never ahead of the best of 13, and as good where it is that."""
    adam = optimizers.hyperparameters("adam", {"learning_rate": 0.1})
    settings = FamiliesEs(horizon=60, num_problems=4, pool_size=4, num_pairs=1, sigma=1e-6)
    estimator = families_es(adam, MIXED, settings)
    theta = adam.init(KEY)
    state = jax.jit(estimator.init)(KEY, theta, MIXED.data)
    assert [pool.draws.params.shape for pool in state] == [(4, 2), (4, 3)]
    meta_gradient, _ = jax.jit(estimator.estimate)(KEY, theta, state, MIXED.data)
    assert -0.05 <= float(meta_gradient.loss) < 1
    best = jax.tree.map(lambda leaf: leaf[jnp.argmin(jnp.log(leaf[:, :, -1]).mean(1))], state[0].adam)
    ratio = relative.log_ratio(best, best, state[0].first)
    np.testing.assert_array_equal(relative.score(ratio, jnp.int32(settings.num_blocks), settings.block), 0)


def test_validation_tells_how_it_compares_with_adam():
    settings = FamiliesEs(horizon=40, num_problems=2, pool_size=2, num_validation_problems=3)
    validate = settings.validation(SGD, MIXED, KEY)
    good, bad = (validate(SGD.init(KEY) | {"learning_rate": jnp.log(rate)}) for rate in (0.02, 100.0))
    assert set(good) == {"loss", "adam_loss", "won", "diverged"}
    assert good["adam_loss"] == 1
    assert good["loss"] < bad["loss"]
    assert bad["diverged"] > 0.5 > good["diverged"]
    assert validate(SGD.init(KEY)) == validate(SGD.init(KEY))


def test_steps_have_the_proportions_of_the_noise_and_the_mean_is_kept():
    estimator = FamiliesEs(num_problems=1, column_scales=(1.0, 0.1), average=0.25)
    settings = Settings(estimator=estimator, num_meta_steps=4, learning_rate=0.1, final_fraction=1.0)
    outer = settings.make_outer_optimizer()
    theta = jnp.zeros((2, 2))
    state, visited = outer.init(theta), [theta]
    for _ in range(4):
        with jax.numpy_dtype_promotion("standard"):
            updates, state = outer.update(jnp.full((2, 2), 1e-3), state, theta)
        theta = optax.apply_updates(theta, updates)
        visited.append(theta)
    np.testing.assert_allclose(visited[1], jnp.array([[-0.1, -0.01]] * 2), rtol=1e-3)
    mean = np.mean(visited[:4], axis=0)  # a plain mean up to a share of a quarter
    np.testing.assert_allclose(kept_theta(theta, state), mean + 0.25 * (visited[4] - mean), rtol=1e-5)
    plain = dataclasses.replace(settings, estimator=FamiliesEs(num_problems=1)).make_outer_optimizer()
    assert kept_theta(theta, plain.init(theta)) is theta


def test_evolution_over_families_finds_a_learning_rate():
    lopt = optimizers.hyperparameters("sgd", {"learning_rate": 1e-4})
    estimator = families_es(lopt, MIXED, FamiliesEs(horizon=40, num_problems=4, num_pairs=4))
    outer = optax.adam(0.2)
    state = initial_state(KEY, KEY, lopt.init, outer, estimator, MIXED.data)
    with jax.numpy_dtype_promotion("standard"):
        steps = jax.jit(lambda state: meta_steps(KEY, state, MIXED.data, outer, estimator, 30))
        state, metrics = steps(state)
    assert metrics.meta_loss[-5:].mean() < metrics.meta_loss[:5].mean() - 0.1
    task = tasks.quadratic(dim=2, start_deviation=1.0)
    before, after = (
        evaluate(lopt.build(theta), task, num_steps=40, num_problems=16)[:, -1].mean()
        for theta in (lopt.init(KEY), state.theta)
    )
    assert after < 0.5 * before


def test_a_run_is_resumed_to_the_bit_with_its_pools_and_the_mean_of_theta(tmp_path: Path):
    fields = {"horizon": 20, "num_problems": 2, "pool_size": 3, "num_pairs": 2, "num_validation_problems": 2}
    fields |= {"num_meta_steps": 4, "validate_every": 2, "steps_per_call": 1, "average": 0.1, "quiet": True}
    run = meta_train(SGD, MIXED, estimator="families_es", directory=tmp_path / "run", **fields)
    shutil.rmtree(sorted((tmp_path / "run" / "checkpoints").iterdir())[-1])
    again = resume(tmp_path / "run", quiet=True)
    chex.assert_trees_all_equal((again.theta, again.last_theta), (run.theta, run.last_theta))
    assert again.validation_loss == run.validation_loss
    assert run.adam_loss == 1
