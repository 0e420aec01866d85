"""Warnings during meta-training of trouble that would otherwise show only at the end."""

import warnings
from typing import Any

import jax
import numpy as np

from learned_opt.core.types import Theta

LEAST_STEPS = 10  # meta-steps that are needed for a check, at least
ADVICE = "; `learned-opt doctor` looks for the cause"


class Monitor:
    """Warns once of each kind of trouble of a theta since meta-training began or went on."""

    def __init__(self, theta: Theta):
        self._theta = jax.device_get(theta)
        self._norms: list[np.ndarray] = []
        self._warned: set[str] = set()

    def check(self, theta: Theta, gradient_norms: np.ndarray, diverged: float) -> None:
        """Checks a period by the norms f32[n] of its meta-gradients; short ones are checked together."""
        self._norms.append(gradient_norms)
        norms = np.concatenate(self._norms)
        if norms.size < LEAST_STEPS:
            return
        theta, before = jax.device_get(theta), self._theta
        self._theta, self._norms = theta, []
        bad = int((~np.isfinite(norms)).sum())
        if bad > norms.size / 2:
            self._warn(
                "not finite",
                f"{bad} of the last {norms.size} meta-gradients were not finite and were skipped",
            )
        elif _equal(theta, before):
            self._warn("still", f"theta has not moved in {norms.size} meta-steps")
        if diverged > 0.5:
            self._warn("diverged", f"{diverged:.0%} of the validation problems diverged")

    def _warn(self, kind: str, text: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(text + ADVICE, stacklevel=2)


def _equal(one: Any, other: Any) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)
