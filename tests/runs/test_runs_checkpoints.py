"""Checkpoints come back bit for bit, survive kills and full disks, and show every damage."""

import errno
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from learned_opt.runs import CheckpointError, Checkpoints, checkpoints


class State(NamedTuple):
    theta: dict
    outer: optax.OptState
    key: jax.Array
    rest: tuple


def make_state(seed: int = 0) -> State:
    key, w_key = jax.random.split(jax.random.key(seed))
    theta = {
        "lstm/~/linear": {"w": jax.random.normal(w_key, (3, 4)), "b": jnp.full(4, -0.0)},
        "head": {"w": jnp.arange(5, dtype=jnp.bfloat16), "half": jnp.ones((2, 1), jnp.float16)},
    }
    odd_floats = np.array([0x7FC12345, 0xFF800000, 0x80000000, 1], np.uint32).view(np.float32)
    rest = (
        odd_floats,  # a NaN with a payload, -inf, -0.0 and the smallest subnormal
        np.zeros((0, 3), np.float64),
        jax.random.split(key, 3),
        jax.random.PRNGKey(seed),
        jax.random.split(key, 0),
        jnp.array(True),
        np.float64(0.1),
        7,
        0.1,
        True,
        None,
        {},
        (),
        [np.arange(3, dtype=">i4")],
    )
    outer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3)).init(theta)
    return State(theta, outer, key, rest)


def bits(leaf) -> tuple:
    kind = type(leaf)
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return kind, str(leaf.dtype), leaf.shape, np.asarray(jax.random.key_data(leaf)).tobytes()
    array = np.asarray(leaf)
    native = array.astype(array.dtype.newbyteorder("=")) if not array.dtype.isnative else array
    return kind, native.dtype, array.shape, native.tobytes()


def assert_same(tree, expected) -> None:
    assert jax.tree.structure(tree) == jax.tree.structure(expected)
    for (path, a), b in zip(jax.tree.leaves_with_path(tree), jax.tree.leaves(expected), strict=True):
        assert bits(a) == bits(b), jax.tree_util.keystr(path)


def files_of(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def flip(path: Path, rng: np.random.Generator) -> None:
    data = bytearray(path.read_bytes())
    data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    path.write_bytes(data)


def test_round_trip_is_bit_identical(tmp_path):
    store = Checkpoints(tmp_path)
    state = make_state()
    store.save(5, state)
    step, restored = store.restore(like=make_state(seed=1))
    assert step == 5
    assert_same(restored, state)


def test_restores_into_shapes_and_donates(tmp_path):
    store = Checkpoints(tmp_path)
    state = make_state()._replace(rest=())
    store.save(0, state)
    _, restored = store.restore(like=jax.eval_shape(lambda: state))
    assert_same(restored, state)
    doubled = jax.jit(lambda state: state.theta["head"]["w"] * 2, donate_argnums=0)(restored)
    np.testing.assert_array_equal(np.asarray(doubled, np.float32), 2.0 * np.arange(5))


def test_tree_without_arrays(tmp_path):
    store = Checkpoints(tmp_path)
    for step, tree in enumerate([(), {"a": None}, {"a": np.zeros((0,), np.int8)}]):
        store.save(step, tree)
        assert_same(store.restore(like=tree, step=step)[1], tree)


def test_sharding_of_like_is_kept(tmp_path):
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    store = Checkpoints(tmp_path)
    store.save(0, {"w": jnp.arange(4.0)})
    like = {"w": jax.ShapeDtypeStruct((4,), jnp.float32, sharding=sharding)}
    placed = store.restore(like)[1]["w"]
    assert placed.sharding == sharding
    assert placed.committed
    assert not store.restore({"w": jnp.zeros(4)})[1]["w"].committed


def test_keeps_the_newest(tmp_path):
    store = Checkpoints(tmp_path / "deep" / "checkpoints", keep=2)
    assert store.steps() == []
    for step in (0, 5, 10, 1_234_567_890):
        store.save(step, {"a": step})
    assert store.steps() == [10, 1_234_567_890]
    assert store.restore({"a": 0}) == (1_234_567_890, {"a": 1_234_567_890})
    assert store.restore({"a": 0}, step=10) == (10, {"a": 10})
    assert len(list(store.directory.iterdir())) == 2


def test_saving_the_same_again_does_nothing_and_another_state_is_refused(tmp_path):
    store = Checkpoints(tmp_path)
    store.save(3, {"a": jnp.zeros(2)})
    before = {path: path.stat().st_mtime_ns for path in files_of(tmp_path)}
    store.save(3, {"a": jnp.zeros(2)})
    with pytest.raises(CheckpointError, match=r"step_000000003 exists and holds another state"):
        store.save(3, {"a": jnp.ones(2)})
    assert {path: path.stat().st_mtime_ns for path in files_of(tmp_path)} == before


@pytest.mark.parametrize(
    ("like", "message"),
    [
        ({"w": jnp.zeros(3)}, r"leaf \['w'\] is expected to be float32\[3\] .* float32\[2\]"),
        ({"w": jnp.zeros(2, jnp.int32)}, r"leaf \['w'\] is expected to be int32\[2\]"),
        ({"w": jax.random.split(jax.random.key(0))}, r"expected to be key<fry>\[2\]"),
        ({"v": jnp.zeros(2)}, r"lacks \[\"\['v'\]\"\] and has \[\"\['w'\]\"\] besides"),
        ({}, r"lacks nothing and has .*resume with the code and the configuration"),
    ],
)
def test_like_that_does_not_fit_is_named(tmp_path, like, message):
    store = Checkpoints(tmp_path)
    store.save(1, {"w": jnp.zeros(2)})
    with pytest.raises(CheckpointError, match=message) as caught:
        store.restore(like)
    assert str(tmp_path / "step_000000001") in str(caught.value)


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match="keep must be at least 1 checkpoint, got 0"):
        Checkpoints(tmp_path, keep=0)
    store = Checkpoints(tmp_path)
    with pytest.raises(ValueError, match="step must not be negative, got -1"):
        store.save(-1, {})
    with pytest.raises(TypeError, match=r"leaf \['a'\] is 'text', of type str"):
        store.save(0, {"a": "text"})
    with pytest.raises(CheckpointError, match="no checkpoint; there are none"):
        store.restore({})
    store.save(4, {})
    with pytest.raises(CheckpointError, match=r"no checkpoint of step 5; there are \[4\]"):
        store.restore({}, step=5)


def test_every_flipped_bit_is_found(tmp_path):
    store = Checkpoints(tmp_path)
    state = make_state()
    store.save(1, state)
    files = files_of(tmp_path)
    contents = {path: path.read_bytes() for path in files}
    assert sum(map(len, contents.values())) > 1000
    for seed in range(300):
        rng = np.random.default_rng(seed)
        path = files[rng.integers(len(files))]
        if not contents[path]:
            continue
        flip(path, rng)
        with pytest.raises(CheckpointError, match="step_000000001"):
            store.restore(state)
        path.write_bytes(contents[path])
    assert_same(store.restore(state)[1], state)


def test_truncated_and_missing_files_are_found(tmp_path):
    store = Checkpoints(tmp_path)
    store.save(1, {"a": jnp.arange(1000.0)})
    for path in files_of(tmp_path):
        content = path.read_bytes()
        for cut in {0, len(content) // 2, len(content) - 1} if content else {}:
            path.write_bytes(content[:cut])
            with pytest.raises(CheckpointError, match="step_000000001"):
                store.restore({"a": jnp.zeros(1000)})
        path.unlink()
        with pytest.raises(CheckpointError, match=f"{path.name} is missing"):
            store.restore({"a": jnp.zeros(1000)})
        path.write_bytes(content)
    assert store.restore({"a": jnp.zeros(1000)})[0] == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{}", "it is not a learned_opt checkpoint"),
        (b"[1, 2]", "it is not a learned_opt checkpoint"),
        (b"\xff\xfe\x00", "decode"),
        (b'{"format": "learned_opt checkpoint", "version": 2}', "version 2 is newer than the 1"),
        (b'{"format": "learned_opt checkpoint", "version": 1}', "checksum does not match"),
    ],
)
def test_foreign_and_newer_checkpoints_are_refused(tmp_path, content, message):
    store = Checkpoints(tmp_path)
    store.save(1, {})
    (tmp_path / "step_000000001" / "manifest.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        store.restore({})


def test_renamed_checkpoint_is_refused(tmp_path):
    store = Checkpoints(tmp_path)
    store.save(1, {"a": 1})
    (tmp_path / "step_000000001").rename(tmp_path / "step_000000009")
    with pytest.raises(CheckpointError, match="it is of step 1: the directory was renamed"):
        store.restore({"a": 0})


def test_falls_back_to_the_newest_whole_one(tmp_path):
    store = Checkpoints(tmp_path)
    for step in (1, 2, 3):
        store.save(step, {"a": step})
    for step in (3, 2):
        flip(tmp_path / f"step_{step:09d}" / "manifest.json", np.random.default_rng(step))
    before = {path: path.read_bytes() for path in files_of(tmp_path)}
    with pytest.warns(UserWarning, match=r"step_000000003.*step_000000002.*step_000000001 instead"):
        assert store.restore({"a": 0}) == (1, {"a": 1})
    with pytest.raises(CheckpointError, match=r"step_000000003: .*leave `step` out"):
        store.restore({"a": 0}, step=3)
    assert {path: path.read_bytes() for path in files_of(tmp_path)} == before

    flip(tmp_path / "step_000000001" / "manifest.json", np.random.default_rng(0))
    with pytest.raises(CheckpointError, match=r"step_000000003.*step_000000001.*start the run anew"):
        store.restore({"a": 0})


def test_damaged_checkpoint_is_moved_aside_when_its_step_is_reached_again(tmp_path):
    store = Checkpoints(tmp_path, keep=1)
    for aside in ("step_000000002.damaged", "step_000000002.damaged2"):
        store.save(2, {"a": 2})
        flip(tmp_path / "step_000000002" / "manifest.json", np.random.default_rng(0))
        damaged = [path.read_bytes() for path in files_of(tmp_path / "step_000000002")]
        store.save(1, {"a": 1})
        with pytest.warns(UserWarning, match="step_000000002"):
            assert store.restore({"a": 0})[0] == 1
        store.save(2, {"a": 2})
        assert store.restore({"a": 0}) == (2, {"a": 2})
        assert [path.read_bytes() for path in files_of(tmp_path / aside)] == damaged
    assert store.steps() == [2]


def _orbax_is_full(*_args, **_kwargs):
    raise ValueError("RESOURCE_EXHAUSTED: Failed to write: No space left on device")


def _sync_is_full(_path):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("where", "name", "full"),
    [(ocp.Checkpointer, "save", _orbax_is_full), (checkpoints, "sync", _sync_is_full)],
)
def test_full_disk_leaves_the_older_checkpoints(tmp_path, monkeypatch, where, name, full):
    store = Checkpoints(tmp_path)
    for step in (1, 2, 3):
        store.save(step, {"a": jnp.full(3, float(step))})
    before = {path: path.read_bytes() for path in files_of(tmp_path)}
    with monkeypatch.context() as patch:
        patch.setattr(where, name, full)
        with pytest.raises(OSError, match=r"no space left .* step 4; .*\[1, 2, 3\] are intact") as e:
            store.save(4, {"a": jnp.zeros(3)})
    assert e.value.errno == errno.ENOSPC
    assert e.value.filename == str(tmp_path)
    assert {path: path.read_bytes() for path in files_of(tmp_path)} == before
    store.save(4, {"a": jnp.full(3, 4.0)})
    assert store.restore({"a": jnp.zeros(3)})[0] == 4


def test_interrupt_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupted(*_args):
        raise KeyboardInterrupt

    store = Checkpoints(tmp_path)
    store.save(1, {"a": 1})
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.save(2, {"a": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["step_000000001"]
    assert store.restore({"a": 0}) == (1, {"a": 1})


def test_leftovers_of_a_kill_are_ignored_and_removed(tmp_path):
    store = Checkpoints(tmp_path)
    store.save(1, {"a": 1})
    shutil.copytree(tmp_path / "step_000000001", tmp_path / ".unfinished_step_000000002")
    assert store.steps() == [1]
    store.save(3, {"a": 3})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_000000001", "step_000000003"]
