from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt.core.trees import check_floating, check_same_structure, is_traced


class Pair(NamedTuple):
    left: jax.Array
    right: jax.Array


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_floating_leaves_of_any_shape_pass(dtype: str, shape: tuple[int, ...]):
    leaf = jnp.zeros(shape, dtype)
    assert check_floating({"a": leaf, "b": [leaf, None], "c": ()}, "params") is None


def test_numpy_arrays_numbers_and_shapes_pass():
    tree = [np.zeros(2), 1.0, jax.ShapeDtypeStruct((2,), jnp.bfloat16)]
    assert check_floating(tree, "params") is None


@pytest.mark.parametrize(
    ("leaf", "dtype"),
    [
        (jnp.zeros(2, jnp.int32), "int32"),
        (jnp.zeros(2, bool), "bool"),
        (jnp.zeros(2, jnp.complex64), "complex64"),
        (np.zeros(2, np.uint8), "uint8"),
        (3, "int32"),
        (jax.random.key(0), r"key<fry>"),
    ],
)
def test_other_leaves_are_named(leaf, dtype: str):
    with pytest.raises(TypeError, match=rf"^params\['a'\]\[1\]\.right has dtype {dtype}; .*optax.partition"):
        check_floating({"a": [jnp.zeros(2), Pair(jnp.zeros(2), leaf)]}, "params")


def test_structure_is_compared_and_values_and_dtypes_are_not():
    tree = {"a": Pair(jnp.zeros(2), jnp.zeros((3, 1))), "b": None}
    like = {"a": Pair(np.ones(2, int), jax.ShapeDtypeStruct((3, 1), jnp.int32)), "b": None}
    assert check_same_structure(tree, like, "gradients", "params") is None


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"a": jnp.zeros(2)}, r"only in gradients: nothing, only in params: \[\"\['b'\]\"\]"),
        ({"a": jnp.zeros(2), "b": (jnp.zeros(3), jnp.zeros(3))}, r"\['b'\]\[0\]"),
        ({"a": jnp.zeros(2), "b": None}, r"only in params: \[\"\['b'\]\"\]"),
        ([jnp.zeros(2), jnp.zeros(3)], r"only in gradients: \['\[0\]', '\[1\]'\]"),
        ({"a": jnp.zeros(2), "b": jnp.zeros(4)}, r"gradients\['b'\] has shape \(4,\) but params\['b'\] has"),
        ({"a": jnp.zeros(()), "b": jnp.zeros(3)}, r"gradients\['a'\] has shape \(\) but"),
    ],
)
def test_first_difference_is_named(tree, message: str):
    like = {"a": jnp.zeros(2), "b": jnp.zeros(3)}
    with pytest.raises(ValueError, match=message):
        check_same_structure(tree, like, "gradients", "params")


def test_containers_of_the_same_leaves_are_told_apart():
    leaves = (jnp.zeros(2), jnp.zeros(2))
    with pytest.raises(ValueError, match="different tree structures"):
        check_same_structure(list(leaves), leaves, "gradients", "params")


def test_only_tracers_are_traced():
    assert not is_traced(jnp.ones(2))
    assert jax.jit(lambda x: jnp.asarray(is_traced(x)))(1.0)
