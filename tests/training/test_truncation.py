import jax.numpy as jnp
import pytest

from learned_opt.training.estimators.full_unroll import best_segment
from learned_opt.training.estimators.truncation import UnrollState, divisors, replace, report
from learned_opt.training.unroll import InnerState


def test_entries_are_made_anew_where_it_says_so():
    fresh, state = jnp.ones((2, 1)), jnp.zeros((2, 1))
    assert replace(jnp.array([True, False]), lambda: fresh, state).tolist() == [[1.0], [0.0]]


@pytest.mark.parametrize(
    ("steps", "last_loss", "any_ended"), [([4, 2], 1.0, True), ([2, 2], 2.0, False), ([4, 4], 2.0, True)]
)
def test_last_losses_are_those_of_what_ended(steps: list[int], last_loss: float, any_ended: bool):
    history = jnp.array([[9.0, 9.0, 1.0], [9.0, 9.0, 3.0]])
    inner = InnerState((), (), jnp.array(steps))
    states = UnrollState(*[()] * 7)._replace(history=history, inner=inner, end=jnp.array([4, 4]))
    meta_gradient = report(jnp.zeros(2), jnp.float32(1), states)
    assert meta_gradient.last_loss == last_loss
    assert meta_gradient.ends_trajectory == any_ended


def test_divisors_and_the_best_of_them():
    assert divisors(12) == [1, 2, 3, 4, 6, 12]
    assert [best_segment(horizon) for horizon in (100, 1000, 7)] == [10, 40, 7]
