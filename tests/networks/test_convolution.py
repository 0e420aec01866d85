"""The convolution that a CPU computes by products of matrices is XLA's."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt.networks import Convolution, convolve

LAYOUT = ("NHWC", "HWIO", "NHWC")


def direct(images, kernel, stride):
    return jax.lax.conv_general_dilated(images, kernel, (stride, stride), "SAME", dimension_numbers=LAYOUT)


@pytest.mark.parametrize(
    ("size", "kernel", "stride"), [((5, 6), 3, 1), ((5, 6), 3, 2), ((7, 4), 2, 3), ((4, 4), 1, 2)]
)
def test_it_and_its_gradients_are_those_of_xla(size, kernel, stride):
    keys = jax.random.split(jax.random.key(0), 2)
    images = jax.random.normal(keys[0], (2, *size, 3))
    weights = jax.random.normal(keys[1], (kernel, kernel, 3, 4))

    def gradients(f):
        return jax.value_and_grad(lambda *a: jnp.sum(jnp.sin(f(*a, stride))), (0, 1))(images, weights)

    for found, expected in zip(
        jax.tree.leaves(gradients(convolve)), jax.tree.leaves(gradients(direct)), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="stride=0"):
        convolve(jnp.ones((1, 4, 4, 3)), jnp.ones((3, 3, 3, 2)), stride=0)
    with pytest.raises(ValueError, match="3 channels and the kernel is for 1"):
        convolve(jnp.ones((1, 4, 4, 3)), jnp.ones((3, 3, 1, 2)))


def test_a_layer_has_the_parameters_and_the_start_of_haikus():
    images = jax.random.normal(jax.random.key(0), (2, 6, 6, 3))
    own, haikus = (
        hk.without_apply_rng(hk.transform(f))
        for f in (lambda x: Convolution(4, stride=2)(x), lambda x: hk.Conv2D(4, 3, stride=2)(x))
    )
    params = own.init(jax.random.key(1), images)
    jax.tree.map(np.testing.assert_array_equal, params, haikus.init(jax.random.key(1), images))
    np.testing.assert_allclose(own.apply(params, images), haikus.apply(params, images), rtol=1e-5, atol=1e-5)
