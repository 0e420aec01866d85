import jax
import jax.numpy as jnp

from learned_opt.training.estimators.evolution import (
    along,
    both_signs,
    gaussian,
    in_pairs,
    mean_over_pairs,
    pair_slopes,
    unroll_pairs,
)
from learned_opt.training.estimators.truncation import UnrollState
from learned_opt.training.unroll import InnerState


def states(params: jax.Array) -> UnrollState:
    return UnrollState((), (), InnerState(params, (), jnp.array([0, 0])), jnp.zeros((2, 3)), (), (), ())


def test_noise_is_drawn_for_each_pair_in_thetas_dtype():
    noise = gaussian(jax.random.key(0), {"w": jnp.zeros((2, 3), jnp.bfloat16)}, 0.1, 5)["w"]
    assert noise.shape == (5, 2, 3)
    assert noise.dtype == jnp.bfloat16


def test_noise_is_added_and_taken_off():
    thetas = both_signs(jnp.float32(1), jnp.array([0.25, 0.5]))
    assert thetas.tolist() == [[1.25, 0.75], [1.5, 0.5]]


def test_pairs_share_the_step_and_not_the_params():
    pairs = in_pairs(states(jnp.array([1, 2])))
    assert pairs.inner.params.tolist() == [[1, 1], [2, 2]]
    assert pairs.history.shape == (2, 2, 3)
    assert pairs.inner.step.tolist() == [0, 0]


def test_both_trajectories_of_a_pair_go_on():
    def unroll(theta, state, data):
        del data
        moved = InnerState(state.inner.params + theta, (), state.inner.step + 1)
        return moved.params, state._replace(inner=moved)

    thetas = jnp.array([[0.5, -0.5], [1.0, -1.0]])
    losses, pairs = unroll_pairs(unroll, thetas, in_pairs(states(jnp.array([1.0, 2.0]))), ())
    assert losses.tolist() == [[1.5, 0.5], [3.0, 1.0]]
    assert pairs.step.tolist() == [1, 1]


def test_slopes_are_differences_of_pairs_that_are_finite():
    noise, losses = jnp.array([2.0, 1.0]), jnp.array([[3.0, 1.0], [jnp.inf, 1.0]])
    slopes, finite = pair_slopes(noise, losses, sigma=1.0)
    assert slopes.tolist() == [1.0, 0.0]
    assert finite.tolist() == [True, False]
    assert pair_slopes(noise, losses, sigma=1.0, problem_clip_norm=0.5)[0].tolist() == [0.25, 0.0]
    assert mean_over_pairs(losses, finite) == 2
    assert jnp.isnan(mean_over_pairs(losses, jnp.array([False, False])))


def test_factors_are_put_along_the_first_axis():
    assert along(jnp.ones(3), jnp.ones((3, 2, 5))).shape == (3, 1, 1)
    assert along(jnp.array([True]), jnp.ones((1, 2))).dtype == bool
