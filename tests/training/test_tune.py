import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from learned_opt.core import Task
from learned_opt.optimizers import ProximalState
from learned_opt.tasks import quadratic, sparse_coding
from learned_opt.training import BASELINES, evaluate, evaluation_keys, loss_at, sweep, trajectories, tune
from learned_opt.training.tune import mean_loss, with_prox


def line(curvature: float) -> Task:
    """f(x) = a x^2 / 2 from x = 1: SGD with rate r is at (1 - a r)^t, and best at r = 1 / a."""
    return Task(
        sample=lambda key: jnp.float32(curvature),
        init=lambda key, a: jnp.float32(1),
        batch=lambda key, a, data: (),
        loss=lambda x, a, batch: a * x**2 / 2,
    )


@pytest.mark.parametrize("curvature", [0.5, 10.0, 1000.0])
def test_finds_the_optimum_of_a_line(curvature: float):
    best = tune(optax.sgd, line(curvature), num_steps=3, num_problems=2)
    assert best.learning_rate == pytest.approx(1 / curvature, rel=0.16)  # half a step of the grid
    assert not best.on_edge
    assert best.learning_rates.shape == best.losses.shape == (41,)
    assert best.loss == best.losses.min()
    expected = curvature / 2 * (1 - curvature * best.learning_rates) ** 6
    np.testing.assert_allclose(best.losses, expected, rtol=1e-2, atol=1e-6)


def test_the_sweep_is_of_whole_trajectories():
    task = quadratic(dim=3, start_deviation=1.0)
    best = tune(optax.adam, task, num_steps=10, num_problems=8, learning_rates=(0.1, 3.0, 0.5), seed=4)
    np.testing.assert_allclose(best.learning_rates, (0.1, 0.5, 3.0))
    assert best.learning_rate == 0.5
    for rate, loss in zip(best.learning_rates, best.losses, strict=True):
        curves, _ = trajectories(optax.adam, task, 10, jnp.float32(rate), evaluation_keys(4, 8))
        np.testing.assert_allclose(loss, curves[:, -1].mean(), rtol=1e-3)


@pytest.mark.parametrize(
    ("curvature", "grid", "decades"), [(10.0, (1e-3, 3e-3), 2), (10.0, (1.0, 3.0), 2), (1.0, (0.5,), 1)]
)
def test_grid_grows_until_the_optimum_is_inside(curvature: float, grid, decades: int):
    best = tune(optax.sgd, line(curvature), num_steps=1, num_problems=1, learning_rates=grid)
    assert best.learning_rate == pytest.approx(1 / curvature, rel=0.16)
    assert not best.on_edge
    assert len(best.learning_rates) >= len(grid) + 8
    assert np.all(np.diff(best.learning_rates) > 0)
    assert set(grid) <= set(best.learning_rates)


def test_optimum_beyond_three_decades_is_flagged():
    up = tune(optax.sgd, line(1e-5), num_steps=1, num_problems=1, learning_rates=(1.0, 2.0))
    assert up.on_edge
    assert up.learning_rate == up.learning_rates[-1] == pytest.approx(2e3)
    down = tune(optax.sgd, line(1e5), num_steps=1, num_problems=1, learning_rates=(1.0, 2.0))
    assert down.on_edge
    assert down.learning_rate == down.learning_rates[0] == pytest.approx(1e-3)


def test_what_diverged_is_infinite_and_never_chosen():
    best = tune(optax.sgd, line(10.0), num_steps=60, num_problems=2, learning_rates=(0.05, 1e3, 1e10))
    assert best.losses[-1] == np.inf
    assert not np.any(np.isnan(best.losses))
    assert best.learning_rate < 0.2
    assert np.isfinite(best.loss)


def test_a_single_diverged_problem_disqualifies():
    def loss(x, problem, batch):
        return problem * x**2 / 2

    def sample(key):  # most problems are flat, the steep ones diverge
        return jnp.where(jax.random.uniform(key) < 0.2, 1e4, 1.0)

    task = line(1.0)._replace(sample=sample, loss=loss)
    best = tune(optax.sgd, task, num_steps=50, num_problems=32, learning_rates=(1e-4, 1.0))
    assert best.losses[best.learning_rates == 1.0] == np.inf
    assert best.learning_rate < 1e-3


def test_all_diverged_is_infinite():
    def nan(learning_rate):
        return optax.chain(optax.sgd(learning_rate), optax.scale(float("nan")))

    best = tune(nan, line(1.0), num_steps=2, num_problems=1)
    assert best.loss == np.inf
    assert np.all(best.losses == np.inf)
    assert best.on_edge


def test_window_averages_around_the_step():
    task = line(1.0)
    best = tune(optax.sgd, task, num_steps=4, num_problems=1, learning_rates=(0.5, 0.6, 1.9), window=3)
    kept = np.isin(best.learning_rates, (0.5, 0.6, 1.9))
    rates = best.learning_rates[kept][:, None]
    expected = ((1 - rates) ** (2 * np.array([[3, 4, 5]])) / 2).mean(axis=1)
    np.testing.assert_allclose(best.losses[kept], expected, rtol=1e-3)


def test_a_schedule_whose_shape_depends_on_the_rate_is_swept_rate_by_rate():
    def factory(rate):
        return optax.sgd(optax.piecewise_constant_schedule(rate, {int(1 / rate): 0.1}))

    best = tune(factory, line(1.0), num_steps=4, num_problems=2, learning_rates=(0.25, 0.4, 0.6, 0.7))
    expected = []
    for rate in best.learning_rates:
        curves = evaluate(factory(float(np.float32(rate))), line(1.0), num_steps=4, num_problems=2, seed=1)
        expected.append(curves[:, 4].mean())
    np.testing.assert_allclose(best.losses, expected, rtol=1e-5)
    assert best.learning_rate in best.learning_rates


def test_every_baseline_learns():
    task = quadratic(dim=3, start_deviation=1.0)
    start = evaluate(optax.sgd(0.0), task, num_steps=0, num_problems=16, seed=1)[:, 0].mean()
    for name, factory in BASELINES.items():
        best = tune(factory, task, num_steps=30, num_problems=16, learning_rates=np.geomspace(1e-3, 1, 8))
        assert best.loss < 0.3 * start, name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rates": ()}, r"learning_rates=\(\): give at least one positive number"),
        ({"learning_rates": (0.1, 0.0)}, "give at least one positive"),
        ({"learning_rates": (0.1, float("nan"))}, "give at least one positive"),
        ({"learning_rates": ((0.1,),)}, "give at least one positive"),
        ({"num_steps": 0}, "num_steps=0"),
        ({"num_problems": 0}, "num_problems=0"),
        ({"window": 2}, "window=2: give a positive odd number"),
        ({"window": -1}, "window=-1"),
    ],
)
def test_arguments_out_of_range_are_quoted(arguments, message: str):
    with pytest.raises(ValueError, match=message):
        tune(optax.sgd, line(1.0), **({"num_steps": 2} | arguments))


def test_loss_at_a_step():
    curves = np.float32([[5, 4, 3, 2, 1], [50, 40, 30, 20, 10]])
    np.testing.assert_array_equal(loss_at(curves, 4), [1, 10])
    np.testing.assert_array_equal(loss_at(curves, 2, window=5), [3, 30])
    assert loss_at(curves, 2).dtype == np.float64
    for step, window in ((5, 1), (4, 3), (0, 3)):
        with pytest.raises(ValueError, match="are asked for, the curves run from 0 to 4"):
            loss_at(curves, step, window)
    with pytest.raises(ValueError, match="window=2"):
        loss_at(curves, 2, window=2)


def test_a_sweep_of_pairs_finds_the_pair_and_its_edge():
    points = [(x, y) for x in (1.0, 2.0, 3.0) for y in (1.0, 2.0)]
    found = sweep(lambda points: (points[:, 0] - 2) ** 2 + (points[:, 1] - 1) ** 2, points)
    np.testing.assert_array_equal(found.best, [2, 1])
    assert found.loss == 0
    assert found.on_edge  # of the second numbers
    inside = sweep(lambda points: (points[:, 0] - 2) ** 2, [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)])
    assert not inside.on_edge


@pytest.mark.parametrize(
    ("target", "points"), [(50.0, [1, 2, 4, 8, 16, 32, 64, 128]), (0.2, [0.0625, 0.125, 0.25, 0.5, 1, 2])]
)
def test_a_sweep_goes_on_beyond_its_edge_by_its_factors(target: float, points: list[float]):
    found = sweep(lambda x: np.log(x / target) ** 2, [1, 2], factors=(2, 4))
    np.testing.assert_array_equal(found.points, points)
    assert not found.on_edge
    assert sweep(lambda x: np.log(x / target) ** 2, [1, 2]).on_edge  # without factors it ends there


def test_a_sweep_takes_nothing_that_is_not_finite():
    found = sweep(lambda x: np.array([np.nan, 3.0, -np.inf]), [1, 2, 3])
    assert (found.best, found.loss) == (2.0, 3.0)
    with pytest.raises(ValueError, match="at least one"):
        sweep(lambda x: x, [])
    with pytest.raises(ValueError, match="one column"):
        sweep(lambda x: x[:, 0], [(1, 2)], factors=(2,))


def test_validations_go_by_the_plain_mean_or_that_of_logarithms():
    losses = np.array([1.0, 1e-4])
    assert mean_loss(losses, None) == pytest.approx(0.50005)
    assert mean_loss(losses, 1e-6) == pytest.approx((1 + 1e-6) ** 0.5 * (1e-4 + 1e-6) ** 0.5 - 1e-6)


def test_the_proximal_operator_follows_where_there_is_one():
    assert with_prox(optax.sgd, quadratic(dim=2)) is optax.sgd
    task = sparse_coding()
    factory = with_prox(optax.sgd, task)
    assert factory is with_prox(optax.sgd, task)
    assert isinstance(factory(0.1).init(jnp.zeros(50)), ProximalState)
