import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from learned_opt.training import convergence_rate, weighted_sum

LOSSES = jnp.float32([9, 4, 2, 3, 1, 0.5, 0.75])

jitted_rate = jax.jit(jax.value_and_grad(convergence_rate()))
jitted_both = jax.jit(jax.value_and_grad(weighted_sum("linear") - 0.5 * convergence_rate()))


@pytest.mark.parametrize("ratio", [0.9, 0.5, 0.1])
@pytest.mark.parametrize("limit", [0.0, 0.01])
def test_geometric_decay_has_order_one(ratio: float, limit: float):
    losses = limit + jnp.float32(ratio) ** jnp.arange(7, dtype=jnp.float32)
    np.testing.assert_allclose(convergence_rate()(losses), 1.0, rtol=1e-2)


@pytest.mark.parametrize("order", [1.5, 2.0, 3.0])
def test_newton_like_decay_has_its_order(order: float):
    # Each change is the last one to the power q, and the losses are what remains to be changed.
    exponents = order ** np.arange(12)
    changes = np.exp(-exponents[exponents < 60])
    losses = jnp.float32([*np.cumsum(changes[::-1])[::-1], 0.0])
    assert losses.shape[0] >= 5
    np.testing.assert_allclose(convergence_rate()(losses), order, rtol=1e-4)


def test_rate_by_hand():
    # Changes 8, 2, 1, 1/8: rates log(1/2) / log(1/4) = 1/2 and log(1/8) / log(1/2) = 3.
    losses = jnp.float32(np.cumsum([20.0, -8, -2, -1, -0.125]))
    np.testing.assert_allclose(convergence_rate()(losses), (0.5 + 3) / 2, rtol=1e-5)


def test_signs_of_the_changes_do_not_count():
    losses = jnp.float32(np.cumsum([20.0, -8, 2, -1, 0.125]))
    np.testing.assert_allclose(convergence_rate()(losses), (0.5 + 3) / 2, rtol=1e-5)


def test_gradient_of_the_rate_by_differences():
    losses = jnp.float32(np.cumsum([2.0, -0.8, -0.3, -0.15, -0.05, -0.03]))
    _, grad = jitted_rate(losses)
    for i in range(6):
        with jax.enable_x64(True):
            up, down = (
                convergence_rate()(jnp.asarray(losses, jnp.float64).at[i].add(e)) for e in (1e-5, -1e-5)
            )
            np.testing.assert_allclose(grad[i], (up - down) / 2e-5, rtol=1e-3, atol=1e-4)


DEGENERATE = {
    "stalled": np.ones(12),
    "converged to rounding": 1 + 2.0 ** -np.arange(22, 34),
    "oscillating": [1, 2] * 6,
    "in a straight line": np.arange(12, 0, -1),
    "one change": [1] * 6 + [2] * 6,
    "NaN": [4, 2, 1, np.nan, 1, 1, 1, 1],
    "all NaN": [np.nan] * 8,
    "infinite": [1, 10, np.inf, np.inf, np.inf],
    "both infinite": [np.inf, -np.inf, np.inf, -np.inf, np.inf],
    "geometric growth": 2.0 ** np.arange(30),
    "slow growth": 1.01 ** np.arange(30),
    "growth below 0": -(1.5 ** np.arange(30)),
    "doubly exponential growth": 2.0**2.0 ** np.arange(7),
    "growth to a plateau": 2.0 ** np.minimum(np.arange(30), 8),
    "a slow straight line": 30 - 1e-3 * np.arange(30),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_rate_is_zero_where_the_formula_means_nothing(name: str):
    value, grad = jitted_rate(jnp.float32(DEGENERATE[name]))
    assert value == 0.0
    np.testing.assert_array_equal(grad, np.zeros(len(DEGENERATE[name])))


FINITE = {
    "converged on the way": [4, 2, 1, 0, 0, 0, 0],
    "diverged": 10.0 ** np.arange(0, 39, 3),
    "huge": [3e38, -3e38, 3e38, 1.0, 0.0],
    "tiny": 1e-38 * 0.5 ** np.arange(8),
    "denormal": [1e-40, 1e-41, 1e-42, 1e-43, 1e-44],
    "fast": [1.0, 0.5, 0.499, 1e-30, 0.0],
    "noisy": np.abs(np.sin(np.arange(30.0) ** 2)),
}


@pytest.mark.parametrize("name", FINITE)
def test_rate_is_finite_and_clipped_on_extreme_losses(name: str):
    value, grad = jitted_rate(jnp.float32(FINITE[name]))
    assert abs(value) <= 10.0
    assert np.all(np.isfinite(grad))


def test_rate_of_a_step_is_clipped_without_gradient():
    # The second ratio of changes is 1 - 1e-2 in the denominator, so the rate is log(1e-4)/log(.99) = 916.
    losses = jnp.float32(np.cumsum([5.0, -1.0, -0.99, -1e-4]))
    value, grad = jitted_rate(losses)
    assert value == 10.0
    np.testing.assert_array_equal(grad, np.zeros(4))


@pytest.mark.parametrize("horizon", [1, 2])
def test_short_trajectories_have_no_rate(horizon: int):
    value, grad = jax.value_and_grad(convergence_rate())(LOSSES[: horizon + 1])
    assert value == 0.0
    np.testing.assert_array_equal(grad, np.zeros(horizon + 1))


float32s = st.floats(width=32, allow_nan=True, allow_infinity=True)
near = st.floats(1.0, 1.0009765625, width=32)  # a few rounding errors apart


@given(st.lists(float32s, min_size=12, max_size=12))
@example([0.0] * 12)
def test_rate_is_finite_on_all_losses(losses: list[float]):
    value, grad = jitted_rate(jnp.float32(losses))
    assert abs(value) <= 10.0
    assert np.all(np.isfinite(grad))


@given(st.lists(near, min_size=12, max_size=12))
def test_rate_is_finite_on_losses_that_nearly_stall(losses: list[float]):
    value, grad = jitted_rate(jnp.float32(losses))
    assert abs(value) <= 10.0
    assert np.all(np.isfinite(grad))


@given(st.lists(float32s, min_size=12, max_size=12), st.lists(near, min_size=12, max_size=12))
@example(list(1e-20 * 0.5 ** np.arange(12)), [1.0] * 12)
@example(list(1e-35 * 0.5 ** np.arange(12)), [1.0] * 12)
def test_gradients_are_bounded(losses: list[float], almost_stalled: list[float]):
    for some in (losses, almost_stalled):
        _, grad = jitted_rate(jnp.float32(some))
        # A loss is in two changes, and a change in the rates of three steps, of ten that have one.
        assert np.abs(grad).max() <= 6e5 * 1.001


@given(st.lists(st.floats(0.0, 1e6, width=32), min_size=7, max_size=7))
def test_whole_objective_is_finite_on_finite_losses(losses: list[float]):
    value, grad = jitted_both(jnp.float32(losses))
    assert np.isfinite(value)
    assert np.all(np.isfinite(grad))


# What converges, and how fast.

n = np.arange(40.0)
ratios = st.floats(1e-6, 0.99)
limits = st.sampled_from([0.0, 1e-3, 1.0])
scales = st.floats(-30, 30).map(lambda exponent: 10.0**exponent)


def rate_of(losses) -> float:
    return float(jitted_rate(jnp.float32(losses))[0])


def of_order(order: float, first: float, limit: float) -> np.ndarray:
    """Losses of which each change is the last one to the power q."""
    changes = np.exp(-first * order**n)
    return limit + np.append(np.cumsum(changes[::-1])[::-1], 0.0)


@given(ratios, limits, scales)
def test_a_geometric_sequence_has_order_one_at_any_scale(ratio, limit, scale):
    assert rate_of(scale * (limit + ratio**n)) == pytest.approx(1, abs=0.05)


@given(st.lists(ratios, min_size=2, max_size=2), limits, st.integers(1, 38))
def test_the_faster_geometric_sequence_is_not_behind(two, limit, solved):
    fast, slow = (limit + ratio**n for ratio in sorted(two))
    assert rate_of(fast) >= rate_of(slow) - 0.05
    at_once = np.where(n < solved, fast, limit)
    assert rate_of(at_once) >= rate_of(slow) - 0.05


@given(st.lists(st.floats(1.3, 4.0), min_size=2, max_size=2), st.floats(0.3, 1.0), limits)
def test_the_higher_order_is_not_behind(two, first, limit):
    """Wherever an order can be measured at all: from three changes that are above the rounding error."""
    low, high = sorted(two)
    assume(limit < 1 or first * high**2 < 14)
    slow, fast = (rate_of(of_order(order, first, limit)) for order in (low, high))
    assert slow == pytest.approx(low, rel=0.05)
    assert fast >= 0.95 * slow


@given(ratios, st.integers(2, 30))
def test_steps_at_the_floor_do_not_dilute(ratio, kept):
    resting = 1 + ratio ** np.minimum(n, kept)
    assert rate_of(resting) >= 0.95
    assert rate_of(np.append(resting, [resting[-1]] * 1000)) == pytest.approx(rate_of(resting), abs=1e-3)


@given(st.floats(1.0, 10.0), scales)
def test_growth_does_not_score(ratio, scale):
    growing = scale * np.minimum(ratio**n, 1e8)
    assert rate_of(growing) <= 0
    assert rate_of(-growing[:8]) <= 0


@given(st.integers(0, 100), st.sampled_from([1e-6, 1e-3, 1.0]))
def test_a_noisy_plateau_does_not_score(seed, size):
    assert rate_of(1 + size * np.random.default_rng(seed).normal(size=300)) <= 0.1


@given(scales, ratios)
def test_a_loss_that_never_moved_has_no_rate(level, ratio):
    assert rate_of(np.full(40, level)) == 0
    assert rate_of(level * (1 + 1e-8 * ratio**n)) == 0


@given(scales)
def test_the_rate_does_not_see_the_scale(scale):
    losses = 1 + np.abs(np.sin(n**2)) * np.exp(-n / 4)
    assert rate_of(scale * losses) == pytest.approx(rate_of(losses), abs=1e-2)


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1.0])
def test_the_direction_of_the_gradient_is_kept_at_any_scale(scale: float):
    losses = jnp.float32(scale * np.cumsum([2.0, -0.8, -0.3, -0.15]))
    _, grad = jitted_rate(losses)
    _, expected = jitted_rate(losses / scale)
    np.testing.assert_allclose(grad / np.abs(grad).max(), expected / np.abs(expected).max(), rtol=1e-3)


def test_solved_at_once():
    assert rate_of([4, 2, 0, 0, 0, 0]) == rate_of([4, 0, 0, 0]) == rate_of([4, 2, 1, 0, 0, 0]) == 1
