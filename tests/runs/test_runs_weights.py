"""Weight files come back bit for bit and refuse every damage."""

import errno
import json
import os
import re

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from learned_opt.runs import WeightsError, load_weights, save_weights

METADATA = {"optimizer": {"name": "lstm", "sizes": [20, 20]}, "note": 'ηβ "quoted" \n', "x": 0.1}


def make_theta() -> dict:
    return {
        "lstm/~/linear": {"w": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)},
        "a|b": {"c%d": np.array([-0.0, np.nan, np.inf], np.float64), "%7C": np.int8([1])},
        "a": {"b|c%d": np.arange(3), "": np.zeros((0, 4), np.float16)},
        "head": {"b": jnp.arange(4, dtype=jnp.bfloat16), "on": np.array([True, False])},
        "scale": jnp.float32(0.1),
        "empty": {},
        "nested": {"deeper": {"still": {}, "w": np.ones((1, 1, 2), np.uint32).T}},
    }


def assert_same(tree, expected) -> None:
    assert jax.tree.structure(tree) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(expected), strict=True):
        assert isinstance(a, np.ndarray)
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, np.asarray(b).tobytes())


def test_round_trip_is_bit_identical(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, make_theta(), METADATA)
    theta, metadata = load_weights(path)
    assert_same(theta, make_theta())
    assert metadata == METADATA
    save_weights(path, theta, metadata, overwrite=True)
    assert_same(load_weights(str(path))[0], make_theta())
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_haiku_parameters_and_the_empty_theta(tmp_path):
    network = hk.without_apply_rng(hk.transform(lambda x: hk.nets.MLP([3, 1])(x)))
    theta = network.init(jax.random.key(0), jnp.ones((1, 2)))
    save_weights(tmp_path / "mlp.safetensors", theta, {})
    assert_same(load_weights(tmp_path / "mlp.safetensors")[0], theta)
    assert "mlp/~/linear_0|w" in load_file(tmp_path / "mlp.safetensors")
    save_weights(tmp_path / "none.safetensors", {}, {})
    assert load_weights(tmp_path / "none.safetensors") == ({}, {})


def test_every_flipped_bit_is_found(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, make_theta(), METADATA)
    good = path.read_bytes()
    bits = 8 * len(good)
    # The header's first and last bytes, and a spread over everything.
    positions = {*range(64), *range(bits - 64, bits)}
    positions |= set(np.random.default_rng(0).integers(0, bits, 4000).tolist())
    for position in positions:
        data = bytearray(good)
        data[position // 8] ^= 1 << position % 8
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=re.escape(str(path))):
            load_weights(path)


def test_swapped_names_are_found(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, {"a": np.ones(2), "b": np.zeros(2)}, {})
    path.write_bytes(path.read_bytes().replace(b'"a":', b'"c":'))
    with pytest.raises(WeightsError, match="its tensors are damaged"):
        load_weights(path)


def test_truncated_files_are_found(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, {"a": np.ones(3)}, {"x": 1})
    good = path.read_bytes()
    for length in range(len(good)):
        path.write_bytes(good[:length])
        with pytest.raises(WeightsError, match="truncated or damaged"):
            load_weights(path)
    path.write_bytes(good + b"\0")
    with pytest.raises(WeightsError):
        load_weights(path)


def test_foreign_files_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "w.safetensors"
    for size in (0, 1, 8, 100, 10_000):
        path.write_bytes(rng.bytes(size))
        with pytest.raises(WeightsError, match="is no safetensors file"):
            load_weights(path)
    for header in (None, {"format": "pt"}):
        save_file({"a": np.ones(2)}, path, header)
        with pytest.raises(WeightsError, match="but not of learned_opt: it lacks our header"):
            load_weights(path)
    save_file({"a": np.ones(2)}, path, {"learned_opt": "1"})
    with pytest.raises(WeightsError, match="it is not a learned_opt weights"):
        load_weights(path)
    newer = json.dumps({"format": "learned_opt weights", "version": 9})
    save_file({"a": np.ones(2)}, path, {"learned_opt": newer})
    with pytest.raises(WeightsError, match=r"version 9 is newer .* upgrade learned-opt"):
        load_weights(path)
    with pytest.raises(WeightsError, match="is a directory"):
        load_weights(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"absent.safetensors; there are w.safetensors in"):
        load_weights(tmp_path / "absent.safetensors")


def test_existing_file_and_suffix(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, {"a": np.ones(2)}, {})
    with pytest.raises(FileExistsError, match="pass overwrite=True to replace it"):
        save_weights(path, {"a": np.zeros(2)}, {})
    np.testing.assert_array_equal(load_weights(path)[0]["a"], np.ones(2))
    with pytest.raises(ValueError, match=r"use '.*w.npz.safetensors'"):
        save_weights(tmp_path / "w.npz", {}, {})


@pytest.mark.parametrize(
    ("theta", "metadata", "message"),
    [
        (np.ones(2), {}, "theta is of type ndarray.*wrap it in a dictionary"),
        ({"a": [np.ones(2)]}, {}, r"theta\['a'\] is of type list"),
        ({"a": None}, {}, r"theta\['a'\] is of type NoneType"),
        ({"a": {1: np.ones(2)}}, {}, r"theta\['a'\] has the key 1"),
        ({"a": np.ones(2, np.complex128)}, {}, r"theta\['a'\] has dtype complex128"),
        ({"a": jax.random.key(0)}, {}, r"theta\['a'\] has dtype key<fry>"),
        ({}, {"f": np.float32}, "weights cannot be stored as JSON"),
    ],
)
def test_what_a_file_cannot_hold_is_named(tmp_path, theta, metadata, message):
    with pytest.raises(TypeError, match=message):
        save_weights(tmp_path / "w.safetensors", theta, metadata)
    assert not list(tmp_path.iterdir())


def test_full_disk_keeps_the_old_file(tmp_path, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "w.safetensors"
    save_weights(path, {"a": np.ones(2)}, {})
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=f"no space left .*{tmp_path}"):
            save_weights(path, {"a": np.zeros(2)}, {}, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]
    np.testing.assert_array_equal(load_weights(path)[0]["a"], np.ones(2))


def test_names_are_reversible(tmp_path):
    rng = np.random.default_rng(0)
    theta = {}
    for i in range(2000):
        a, b, c = ("".join(rng.choice(list("|%7C25/~."), rng.integers(4))) for _ in range(3))
        theta.setdefault(a, {}).setdefault(b, {})[c] = np.int32(i)
    save_weights(tmp_path / "w.safetensors", theta, {})
    assert_same(load_weights(tmp_path / "w.safetensors")[0], theta)
