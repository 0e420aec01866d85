"""Features of a conv net, and its weights in a file."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from learned_opt.networks.vgg import features, load_layers, random_layers, save_layers

VGG19 = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)


def write_vgg19(path, **changes):
    """A network of VGG-19's layers of one channel each."""
    tensors = {}
    for i in VGG19:
        tensors[f"features.{i}.weight"] = np.ones((1, 1 if i else 3, 3, 3), np.float32)
        tensors[f"features.{i}.bias"] = np.zeros(1, np.float32)
    tensors["classifier.0.weight"] = np.zeros((2, 2), np.float32)
    tensors |= {name.replace("_", "."): value for name, value in changes.items()}
    save_file({name: value for name, value in tensors.items() if value is not None}, path)
    return path


def test_a_layer_by_hand():
    """A filter that takes the red of the pixel to the left, on an image that is the mean but for one."""
    mean = jnp.array([0.485, 0.456, 0.406])
    image = jnp.tile(mean, (2, 2, 1)).at[0, 0, 0].add(0.229)
    w = jnp.zeros((3, 3, 3, 1)).at[1, 0, 0, 0].set(2.0)
    layers = {"conv1_1": {"w": w, "b": jnp.array([0.5])}, "conv2_1": {"w": w[:, :, :1], "b": jnp.zeros(1)}}
    layers["conv2_1"]["w"] = layers["conv2_1"]["w"].at[1, 1].set(1.0)
    found = features(layers, image, ["conv1_1", "conv2_1"])
    np.testing.assert_allclose(found["conv1_1"][..., 0], [[0.5, 2.5], [0.5, 0.5]], rtol=1e-5)
    np.testing.assert_allclose(found["conv2_1"], [[[1.0]]], rtol=1e-5)  # the mean of the four


def test_vgg19_has_its_layers(tmp_path):
    layers = load_layers(write_vgg19(tmp_path / "vgg.safetensors"))
    sizes = {block: sum(name.startswith(f"conv{block}_") for name in layers) for block in range(1, 6)}
    assert sizes == {1: 2, 2: 2, 3: 4, 4: 4, 5: 4}


def test_what_was_written_is_read(tmp_path):
    layers = random_layers(jax.random.key(0), (2, 3))
    save_layers(tmp_path / "net.safetensors", layers)
    assert sorted(load_file(tmp_path / "net.safetensors")) == sorted(
        f"features.{i}.{kind}" for i in (0, 2, 5, 7) for kind in ("bias", "weight")
    )
    again = load_layers(tmp_path / "net.safetensors")
    jax.tree.map(np.testing.assert_array_equal, again, layers)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features_0_weight": None}, r"features\.0\.weight is missing"),
        ({"features_12_weight": None}, r"features\.12\.weight or features\.13\.weight is missing"),
        ({"features_7_bias": None}, r"features\.7\.bias is missing"),
        ({"features_7_weight": np.ones((1, 4, 3, 3), np.float32)}, r"features\.7 has weights \(1, 4, 3, 3\)"),
    ],
)
def test_what_is_missing_is_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        load_layers(write_vgg19(tmp_path / "vgg.safetensors", **changes))


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file of weights"):
        load_layers(tmp_path / "vgg.safetensors")
    (tmp_path / "vgg.safetensors").write_bytes(b"not weights")
    with pytest.raises(ValueError, match="is not a safetensors file"):
        load_layers(tmp_path / "vgg.safetensors")
