"""What the loss of a picture is made of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt import datasets, tasks
from learned_opt.networks.vgg import random_layers, save_layers

KEY = jax.random.key(0)


def terms(task, name: str, size: int = 16) -> dict[str, float]:
    pixels = jnp.asarray(datasets.load_picture(name, size), jnp.float32) / 255
    return {k: float(v) for k, v in task.metrics(pixels, (), task.data).items()}


def test_each_picture_is_without_its_own_part_of_the_loss():
    task = tasks.style_transfer(size=16, style_weight=3.0)
    content, style = terms(task, "china"), terms(task, "flower")
    assert content["content_loss"] == pytest.approx(0, abs=1e-8) != content["style_loss"]
    assert style["style_loss"] == pytest.approx(0, abs=1e-8) != style["content_loss"]
    pixels = jnp.asarray(datasets.load_picture("china", 16), jnp.float32) / 255
    assert float(task.loss(pixels, (), task.data)) == pytest.approx(3 * content["style_loss"], rel=1e-5)


def test_a_texture_has_no_content_and_does_not_know_places():
    task = tasks.style_transfer(None, "flower", size=16)
    found = terms(task, "flower")
    assert found == {"content_loss": 0, "style_loss": pytest.approx(0, abs=1e-8)}
    pixels = jnp.asarray(datasets.load_picture("flower", 16), jnp.float32) / 255
    black = float(task.loss(0 * pixels, (), task.data))
    rolled = float(task.loss(jnp.roll(pixels, (2, 4), (0, 1)), (), task.data))
    assert rolled < 0.2 * black


def test_the_network_of_a_file_looks_at_the_pictures(tmp_path):
    path = str(tmp_path / "net.safetensors")
    save_layers(path, random_layers(jax.random.key(1), (2, 2, 2)))
    task = tasks.style_transfer(size=16, weights=path)
    assert sorted(task.data.grams) == ["conv1_1", "conv2_1", "conv3_1"]
    assert task.data.content.shape == (2, 4, 2)
    assert task.config.weights == path


def test_a_start_from_the_picture():
    task = tasks.style_transfer(size=16, start="picture")
    pixels = task.init(KEY, ())
    picture = datasets.load_picture("china", 16) / 255
    assert float(np.sqrt(np.mean((np.asarray(pixels) - picture) ** 2))) == pytest.approx(0.1, rel=0.1)


def test_no_such_picture():
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jpg"):
        tasks.style_transfer("nowhere.jpg")
