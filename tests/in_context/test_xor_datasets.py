"""The generator of binary problems that no line separates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt.in_context import draw_datasets, xor_datasets
from learned_opt.in_context.memory.xor_datasets import standardized


@pytest.fixture(scope="module")
def drawn():
    datasets = xor_datasets()
    return jax.jit(jax.vmap(datasets.sample))(jax.random.split(jax.random.key(0), 300))


def test_every_data_set_is_balanced_and_binary(drawn):
    share = np.asarray(drawn.targets).mean(1)
    assert np.minimum(share, 1 - share).min() >= 0.15 - 1e-6
    assert set(np.unique(drawn.targets)) == {0.0, 1.0}


def test_inputs_are_centred_and_scaled(drawn):
    np.testing.assert_allclose(np.asarray(drawn.inputs).mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(np.asarray(drawn.inputs).std(1), 1, atol=1e-4)


def test_the_balance_is_that_which_is_asked_for():
    sample = jax.jit(jax.vmap(xor_datasets(min_balance=0.4).sample))
    share = np.asarray(sample(jax.random.split(jax.random.key(1), 100)).targets).mean(1)
    assert np.minimum(share, 1 - share).min() >= 0.4 - 1e-6


def test_data_sets_differ_and_a_key_repeats_its_own():
    sample = xor_datasets(num_samples=20).sample
    first, again, other = (sample(jax.random.key(i)) for i in (0, 0, 1))
    np.testing.assert_array_equal(first.inputs, again.inputs)
    assert np.all(first.inputs != other.inputs)


def test_a_line_cannot_separate_without_noise_what_two_lines_can():
    # Where both thresholds fall inside the data, each side of either holds both classes.
    sample = jax.jit(jax.vmap(xor_datasets(num_inputs=1, noise=0.0, min_balance=0.3).sample))
    data = sample(jax.random.split(jax.random.key(2), 50))
    order = np.argsort(np.asarray(data.inputs)[:, :, 0], axis=1)
    changes = np.abs(np.diff(np.take_along_axis(np.asarray(data.targets), order, 1), axis=1)).sum(1)
    # Of one input XOR is an interval against the rest: at most two changes, and two where it lies inside.
    assert changes.max() == 2
    assert np.mean(changes == 2) > 0.5


def test_noise_hides_the_targets():
    def nearest_neighbour_errors(noise: float) -> float:
        sample = jax.jit(jax.vmap(xor_datasets(num_inputs=2, noise=noise).sample))
        data = sample(jax.random.split(jax.random.key(3), 30))
        x, y = np.asarray(data.inputs), np.asarray(data.targets)
        distances = np.linalg.norm(x[:, :, None] - x[:, None], axis=-1) + 1e9 * np.eye(x.shape[1])
        return float(np.mean(np.take_along_axis(y, distances.argmin(2), 1) != y))

    assert nearest_neighbour_errors(0.0) < 0.1 < nearest_neighbour_errors(1.0)


def test_numbers_of_training_samples_are_within_their_limits():
    _, num_train = draw_datasets(xor_datasets(num_samples=30), jax.random.key(0), 200, 5, 25)
    assert (int(num_train.min()), int(num_train.max())) == (5, 25)


def test_a_constant_input_is_only_centred():
    np.testing.assert_array_equal(
        standardized(jnp.full((3, 1), 2.0), jnp.full((3, 1), 2.0)), np.zeros((3, 1))
    )


@pytest.mark.parametrize(
    ("name", "value"), [("num_inputs", 0), ("num_samples", 1), ("noise", -0.1), ("min_balance", 0.5)]
)
def test_numbers_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name}={value}"):
        xor_datasets(**{name: value})


def test_noise_before_the_partition_hides_nothing():
    """Of one input two thresholds part the noisy samples themselves: at most two changes along them."""
    sample = jax.jit(jax.vmap(xor_datasets(num_inputs=1, noise=5.0, noise_first=True).sample))
    data = sample(jax.random.split(jax.random.key(4), 50))
    order = np.argsort(np.asarray(data.inputs)[:, :, 0], axis=1)
    changes = np.abs(np.diff(np.take_along_axis(np.asarray(data.targets), order, 1), axis=1)).sum(1)
    assert changes.max() == 2
