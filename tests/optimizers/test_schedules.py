import jax
import jax.numpy as jnp
import pytest

from learned_opt.optimizers.schedules import cosine_factor


def test_the_factor_falls_from_one_to_zero_and_stays():
    for factor in (cosine_factor(100), jax.jit(lambda step: cosine_factor(jnp.int32(100))(step))):
        assert [round(float(factor(jnp.int32(t))), 3) for t in (0, 50, 100, 200)] == [1.0, 0.5, 0.0, 0.0]


def test_without_a_length_it_is_one():
    assert cosine_factor(None)(jnp.int32(7)) == 1


def test_runs_without_a_step_are_refused():
    with pytest.raises(ValueError, match="num_steps=0: give the length of the run"):
        cosine_factor(0)
