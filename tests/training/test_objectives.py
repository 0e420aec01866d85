import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt.training import convergence_rate, of_logarithms, weighted_sum
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


def test_the_rate_of_logarithms_is_that_of_their_curve():
    logarithms = jnp.log(LOSSES + 0.5)
    expected = convergence_rate()(logarithms)
    np.testing.assert_allclose(of_logarithms(convergence_rate(), 0.5)(LOSSES), expected, rtol=1e-5)


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


# Truncations.


def in_truncations(objective, losses, length: int):
    """The objective of a trajectory, one truncation after another."""
    horizon = losses.shape[0] - 1
    history, memory, total = initial_history(losses[0]), objective.start(losses[0]), jnp.float32(0)
    for step in range(0, horizon, length):
        part = losses[step + 1 : step + 1 + length]
        share, memory = objective.truncation(memory, history, part, jnp.int32(step), horizon)
        total = total + share
        history = jnp.concatenate([history, part])[-3:]
    return total


@every
@pytest.mark.parametrize("length", [1, 2, 3, 6])
def test_truncations_sum_to_the_whole(name: str, length: int):
    objective = OBJECTIVES[name]
    np.testing.assert_allclose(in_truncations(objective, LOSSES, length), objective(LOSSES), rtol=1e-6)
    at_its_floor = LOSSES.at[4:].set(0.25)
    expected = objective(at_its_floor)
    np.testing.assert_allclose(in_truncations(objective, at_its_floor, length), expected, rtol=1e-6)
    grad = jax.grad(lambda losses: in_truncations(objective, losses, length))(LOSSES)
    np.testing.assert_allclose(grad, jax.grad(objective)(LOSSES), rtol=1e-5, atol=1e-6)


@every
def test_start_of_a_truncation_may_be_traced(name: str):
    objective = OBJECTIVES[name]
    memory = objective.start(LOSSES[0])
    share = jax.jit(lambda step: objective.truncation(memory, LOSSES[1:4], LOSSES[4:6], step, 6)[0])
    expected, _ = objective.truncation(memory, LOSSES[1:4], LOSSES[4:6], jnp.int32(3), 6)
    np.testing.assert_allclose(share(jnp.int32(3)), expected, rtol=1e-6)
    assert share._cache_size() == 1
    assert name == "final" or expected != 0


@every
def test_under_vmap(name: str):
    objective = OBJECTIVES[name]
    many = jnp.stack([LOSSES, LOSSES[::-1], 2 * LOSSES])
    together = jax.vmap(objective)(many)
    np.testing.assert_allclose(together, [objective(losses) for losses in many], rtol=1e-6)
