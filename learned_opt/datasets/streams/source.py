"""What every source of samples has, and samples that cannot be read."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

Sample = Mapping[str, Any]  # arrays and numpy's numbers


class UnreadableError(ValueError):
    """A sample cannot be read: its file is missing or damaged. The message names it."""


class Source(Protocol):
    """Samples by their number; it is pickled to the processes that read them.

    Attributes:
        sample: `sample(index, rng)`, arrays by name, of the same shapes for all; augmented where there is a
            generator, for training. Raises `UnreadableError`.
        remedy: what to do about samples that cannot be read.
    """

    remedy: str

    def __len__(self) -> int:
        """How many samples there are."""
        ...

    def sample(self, index: int, rng: np.random.Generator | None) -> Sample:
        """One sample."""
        ...
