"""Checks of pytrees, with errors that name the leaf."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def check_floating(tree: Any, what: str) -> None:
    """Raises `TypeError` naming the first leaf that is not a real floating-point array."""
    for path, leaf in jax.tree.leaves_with_path(tree):
        dtype = getattr(leaf, "dtype", None) or jnp.result_type(leaf)
        if not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(
                f"{what}{jax.tree_util.keystr(path)} has dtype {dtype}; a learned optimizer updates real "
                "floating-point leaves only: give the others to optax.set_to_zero with optax.partition"
            )


def check_same_structure(tree: Any, like: Any, what: str, like_what: str) -> None:
    """Raises `ValueError` naming the first leaf where two trees differ in structure or shape."""
    if jax.tree.structure(tree) != jax.tree.structure(like):
        paths, like_paths = (
            {jax.tree_util.keystr(p) for p, _ in jax.tree.leaves_with_path(t)} for t in (tree, like)
        )
        raise ValueError(
            f"{what} and {like_what} have different tree structures: only in {what}: "
            f"{sorted(paths - like_paths) or 'nothing'}, only in {like_what}: "
            f"{sorted(like_paths - paths) or 'nothing'}; pass the same tree that init was called with"
        )
    for (path, leaf), like_leaf in zip(jax.tree.leaves_with_path(tree), jax.tree.leaves(like), strict=True):
        if np.shape(leaf) != np.shape(like_leaf):
            name = jax.tree_util.keystr(path)
            raise ValueError(
                f"{what}{name} has shape {np.shape(leaf)} but {like_what}{name} has shape "
                f"{np.shape(like_leaf)}"
            )


def is_traced(value: Any) -> bool:
    """Whether a value is being traced by jit, vmap or grad, and so has no number to look at."""
    return isinstance(value, jax.core.Tracer)  # pyright: ignore[reportAttributeAccessIssue]
