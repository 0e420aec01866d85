"""Networks of images: a variational autoencoder, residual networks, which way up an image is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt import tasks
from learned_opt.tasks.resnet import augmented
from learned_opt.tasks.rotations import turned
from learned_opt.tasks.vae import divergence, reconstruction

KEY = jax.random.key(0)


def test_the_divergence_of_gaussians_and_the_likelihood_of_pixels_by_hand():
    mean, log_variance = jnp.array([[1.0, 0.0]]), jnp.log(jnp.array([[4.0, 1.0]]))
    np.testing.assert_allclose(divergence(mean, log_variance), [0.5 * (1 + 4 - 1 - np.log(4))], rtol=1e-6)
    logits, pixels = jnp.log(jnp.array([[3.0, 1.0]])), jnp.array([[1.0, 0.25]])
    np.testing.assert_allclose(reconstruction(logits, pixels), [-np.log(0.75) + np.log(2)], rtol=1e-6)


def test_an_autoencoder_of_zeros_says_half_of_every_pixel():
    task = tasks.vae(hidden_sizes=(3,), num_latents=2)
    params = jax.tree.map(jnp.zeros_like, task.init(KEY, ()))
    batch = task.batch(KEY, (), task.data)
    assert float(task.loss(params, (), batch)) == pytest.approx(64 * np.log(2), rel=1e-6)


def test_noise_moves_the_code_by_the_deviation():
    task = tasks.vae(hidden_sizes=(3,), num_latents=2)
    params, (images, noise) = task.init(KEY, ()), task.batch(KEY, (), task.data)
    losses = [float(task.loss(params, (), (images, scale * noise))) for scale in (0.0, 1.0)]
    assert losses[0] != losses[1]
    certain = jax.tree.map(lambda x: x, params)
    certain["encoder/~/linear_1"] = {
        "w": params["encoder/~/linear_1"]["w"].at[:, 2:].set(0),
        "b": params["encoder/~/linear_1"]["b"].at[2:].set(-60.0),  # a deviation of e^-30
    }
    losses = [float(task.loss(certain, (), (images, scale * noise))) for scale in (0.0, 1.0)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_resnet_has_the_size_that_its_layers_add_up_to():
    task = tasks.resnet(widths=(4, 8), blocks=2)
    params = task.init(KEY, ())
    norms = 2 * (4 * 4 + 4 + 8 * 3 + 8)  # two a block, one at the end
    first, second = 9 * 4 + 4 * 9 * 4 * 4, 9 * (4 * 8 + 3 * 8 * 8) + 4 * 8
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == first + second + norms + 8 * 10 + 10


def test_a_block_whose_last_convolution_is_zero_passes_its_input_on():
    task = tasks.resnet(widths=(4,), blocks=1)
    params, (images, labels) = task.init(KEY, ()), task.batch(KEY, (), task.data)
    assert [k for k in params if "conv" in k] == ["conv2_d", "conv2_d_1", "conv2_d_2"]
    open_ = params | {"conv2_d_2": {"w": jnp.zeros_like(params["conv2_d_2"]["w"])}}
    moved = open_ | {"conv2_d_1": {"w": 3 * params["conv2_d_1"]["w"]}}
    losses = [float(task.loss(p, (), (images, labels))) for p in (params, open_, moved)]
    assert losses[1] == losses[2] != losses[0]


def test_augmentation_moves_and_mirrors_and_invents_nothing():
    image = jnp.arange(1, 65, dtype=jnp.uint8).reshape(1, 8, 8, 1)
    images = np.asarray(augmented(KEY, jnp.tile(image, (64, 1, 1, 1))))[..., 0]
    plain = np.asarray(image)[0, :, :, 0]
    padded = np.pad(plain, 1)
    cuts = [padded[y : y + 8, x : x + 8] for y in range(3) for x in range(3)]
    possible = {cut.tobytes() for cut in cuts} | {cut[:, ::-1].tobytes() for cut in cuts}
    found = {image.tobytes() for image in images}
    assert found <= possible
    assert len(found) > 12


def test_four_turns_are_none():
    images = jnp.arange(2 * 9).reshape(2, 3, 3, 1)
    once = turned(images, jnp.array([1, 1]))
    assert not np.array_equal(once, images)
    np.testing.assert_array_equal(turned(turned(once, jnp.array([2, 2])), jnp.array([1, 1])), images)
    np.testing.assert_array_equal(turned(images, jnp.array([0, 3]))[0], images[0])


def test_widths_that_groups_do_not_divide_are_refused():
    with pytest.raises(ValueError, match=r"widths=\(6,\)"):
        tasks.resnet(widths=(6,))
