"""The contract of optax and the store of weights, over random trees."""

import chex
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis.extra import numpy as hnp

from learned_opt import runs
from tests.conformance.under_test import build, every_own

FLOATS = ("float32", "bfloat16", "float16")
STORED = ("float64", *FLOATS, "int64", "int32", "int8", "uint8", "bool")
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)
# What separates levels in a file, what escapes it, and what haiku's module names hold.
KEYS = st.text(st.sampled_from("ab_/~.|%0 é"), min_size=1, max_size=6)


def nested(leaves, containers):
    return st.recursive(leaves, containers, max_leaves=6)


def params_trees():
    leaves = st.builds(jax.ShapeDtypeStruct, SHAPES, st.sampled_from(FLOATS).map(jnp.dtype))
    return nested(
        leaves,
        lambda inner: st.one_of(
            st.dictionaries(KEYS, inner, max_size=3),
            st.lists(inner, max_size=3),
            st.tuples(inner, inner),
            st.none(),
        ),
    )


@every_own
@hypothesis.given(params=params_trees())
@hypothesis.settings(max_examples=10, suppress_health_check=list(hypothesis.HealthCheck))
def test_updates_and_state_keep_structure_shapes_and_dtypes(name: str, params):
    """Traced only, so that no example is compiled."""
    tx = build(name)
    state = jax.eval_shape(tx.init, params)
    updates, new_state = jax.eval_shape(tx.update, params, state, params)
    chex.assert_trees_all_equal_shapes_and_dtypes(updates, params)
    chex.assert_trees_all_equal_shapes_and_dtypes(new_state, state)
    chex.assert_trees_all_equal_shapes_and_dtypes(
        jax.eval_shape(optax.apply_updates, params, updates), params
    )


@every_own
@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=3, suppress_health_check=list(hypothesis.HealthCheck))
def test_updates_of_ordinary_gradients_are_finite(name: str, data):
    shapes = data.draw(st.dictionaries(KEYS, SHAPES, min_size=1, max_size=3))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    params, gradients = (
        {key: jnp.asarray(rng.normal(size=shape), jnp.float32) for key, shape in shapes.items()}
        for _ in range(2)
    )
    tx = build(name)
    updates, state = jax.jit(tx.update)(gradients, tx.init(params), params)
    chex.assert_tree_all_finite((updates, state))


def arrays():
    """Any bits but those of NaN in formats whose NaNs numpy may rewrite when it converts."""
    return st.one_of(
        hnp.arrays(st.sampled_from([d for d in STORED if d != "bfloat16"]), SHAPES),
        hnp.arrays("float32", SHAPES, elements=st.floats(-(2.0**100), 2.0**100, width=32)).map(
            lambda a: a.astype(jnp.bfloat16)
        ),
    )


@hypothesis.given(
    theta=st.dictionaries(
        KEYS, nested(arrays(), lambda inner: st.dictionaries(KEYS, inner, max_size=3)), max_size=3
    ),
    metadata=st.dictionaries(
        st.text(max_size=5), st.one_of(st.integers(-9, 9), st.text(), st.none()), max_size=3
    ),
)
@hypothesis.settings(max_examples=100, suppress_health_check=list(hypothesis.HealthCheck))
def test_weights_are_read_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, theta, metadata):
    path = tmp_path_factory.mktemp("weights") / "any.safetensors"
    runs.save_weights(path, theta, metadata)
    loaded, loaded_metadata = runs.load_weights(path)
    assert jax.tree.structure(loaded) == jax.tree.structure(theta)
    assert loaded_metadata == metadata
    for read, written in zip(jax.tree.leaves(loaded), jax.tree.leaves(theta), strict=True):
        assert (read.dtype, read.shape, read.tobytes()) == (written.dtype, written.shape, written.tobytes())
