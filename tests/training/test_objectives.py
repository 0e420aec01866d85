import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from learned_opt.training import convergence_rate, weighted_sum
from learned_opt.training.objectives import initial_history

LOSSES = jnp.float32([9, 4, 2, 3, 1, 0.5, 0.75])
OBJECTIVES = {
    "uniform": weighted_sum("uniform"),
    "linear": weighted_sum("linear"),
    "final": weighted_sum("final"),
    "weights": weighted_sum((0.1, 0.0, 0.3, 2.0, 0.0, 1.0)),
    "rate": convergence_rate(),
    "both": weighted_sum("linear") - 0.5 * convergence_rate(),
}

every = pytest.mark.parametrize("name", OBJECTIVES)

jitted_rate = jax.jit(jax.value_and_grad(convergence_rate()))
jitted_both = jax.jit(jax.value_and_grad(OBJECTIVES["both"]))


# Weighted sums.


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("uniform", (4 + 2 + 3 + 1 + 0.5 + 0.75) / 6),
        ("linear", (1 * 4 + 2 * 2 + 3 * 3 + 4 * 1 + 5 * 0.5 + 6 * 0.75) / 21),
        ("final", 0.75),
        ("weights", 0.1 * 4 + 0.3 * 3 + 2.0 * 1 + 1.0 * 0.75),
    ],
)
def test_weighted_sums_by_hand(name: str, expected: float):
    np.testing.assert_allclose(OBJECTIVES[name](LOSSES), expected, rtol=1e-6)


@pytest.mark.parametrize("shape", ["uniform", "linear", "final"])
@pytest.mark.parametrize("horizon", [1, 2, 7, 100])
def test_named_weights_sum_to_one(shape: str, horizon: int):
    np.testing.assert_allclose(weighted_sum(shape)(jnp.ones(horizon + 1)), 1.0, rtol=1e-5)


def test_first_loss_has_no_weight():
    changed = LOSSES.at[0].set(1e3)
    for name in ("uniform", "linear", "final", "weights"):
        assert OBJECTIVES[name](changed) == OBJECTIVES[name](LOSSES)


def test_final_loss_ignores_infinite_losses_on_the_way():
    broken = LOSSES.at[3].set(jnp.inf).at[4].set(jnp.nan)
    value, grad = jax.value_and_grad(weighted_sum("final"))(broken)
    assert value == 0.75
    np.testing.assert_array_equal(grad, [0, 0, 0, 0, 0, 0, 1])


def test_objectives_add_and_scale():
    one, other = OBJECTIVES["linear"], OBJECTIVES["rate"]
    combined = 2.0 * one - other * 0.5 + one
    expected = 3 * one(LOSSES) - 0.5 * other(LOSSES)
    np.testing.assert_allclose(combined(LOSSES), expected, rtol=1e-6)


def test_weights_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"weights='quadratic'.*'uniform', 'linear', 'final'"):
        weighted_sum("quadratic")
    with pytest.raises(ValueError, match="2 weights for a horizon of 6 steps"):
        weighted_sum((1.0, 2.0))(LOSSES)
    with pytest.raises(ValueError, match=r"weights of shape \(1, 2\)"):
        weighted_sum(np.ones((1, 2)))
    for losses in (jnp.ones(1), jnp.ones((2, 5)), jnp.float32(1)):
        with pytest.raises(ValueError, match="losses have shape"):
            weighted_sum()(losses)


# The rate of convergence.


@pytest.mark.parametrize("ratio", [0.9, 0.5, 0.1, 1.5])
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
    "exactly converged": [4, 2] + [0] * 10,
    "converged to rounding": 1 + 2.0 ** -np.arange(22, 34),
    "oscillating": [1, 2] * 6,
    "in a straight line": np.arange(12, 0, -1),
    "one change": [1] * 6 + [2] * 6,
    "NaN": [4, 2, 1, np.nan, 1, 1, 1, 1],
    "all NaN": [np.nan] * 8,
    "infinite": [1, 10, np.inf, np.inf, np.inf],
    "both infinite": [np.inf, -np.inf, np.inf, -np.inf, np.inf],
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


@given(st.lists(st.floats(0.0, 1e6, width=32), min_size=7, max_size=7))
def test_whole_objective_is_finite_on_finite_losses(losses: list[float]):
    value, grad = jitted_both(jnp.float32(losses))
    assert np.isfinite(value)
    assert np.all(np.isfinite(grad))


# Truncations.


def in_truncations(objective, losses, length: int):
    """The objective of a trajectory, one truncation after another."""
    horizon = losses.shape[0] - 1
    history, total = initial_history(losses[0]), jnp.float32(0)
    for step in range(0, horizon, length):
        part = losses[step + 1 : step + 1 + length]
        total = total + objective.truncation(history, part, jnp.int32(step), horizon)
        history = jnp.concatenate([history, part])[-3:]
    return total


@every
@pytest.mark.parametrize("length", [1, 2, 3, 6])
def test_truncations_sum_to_the_whole(name: str, length: int):
    objective = OBJECTIVES[name]
    np.testing.assert_allclose(in_truncations(objective, LOSSES, length), objective(LOSSES), rtol=1e-6)
    grad = jax.grad(lambda losses: in_truncations(objective, losses, length))(LOSSES)
    np.testing.assert_allclose(grad, jax.grad(objective)(LOSSES), rtol=1e-5, atol=1e-6)


@every
def test_start_of_a_truncation_may_be_traced(name: str):
    objective = OBJECTIVES[name]
    share = jax.jit(lambda step: objective.truncation(LOSSES[1:4], LOSSES[4:6], step, 6))
    expected = objective.truncation(LOSSES[1:4], LOSSES[4:6], jnp.int32(3), 6)
    np.testing.assert_allclose(share(jnp.int32(3)), expected, rtol=1e-6)
    assert share._cache_size() == 1
    assert name == "final" or expected != 0


@every
def test_under_vmap(name: str):
    objective = OBJECTIVES[name]
    many = jnp.stack([LOSSES, LOSSES[::-1], 2 * LOSSES])
    together = jax.vmap(objective)(many)
    np.testing.assert_allclose(together, [objective(losses) for losses in many], rtol=1e-6)
