"""Jax's checks for NaN and infinity, where such numbers are what is looked for."""

import contextlib
from collections.abc import Iterator

import jax


@contextlib.contextmanager
def not_finite_is_a_result() -> Iterator[None]:
    """Has `jax.debug_nans` and `jax.debug_infs` pass what diverges, as some of a sweep always does."""
    with jax.debug_nans(False), jax.debug_infs(False):
        yield
