"""A task of the suite as it is run, and what its losses may depend on."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from learned_opt import datasets
from learned_opt.core.types import Array, Task

# What limits the loss: whether it goes to nearly zero, or the gradients' noise keeps it up, or neither.
Nature = Literal["solvable", "noisy", "between"]


@dataclasses.dataclass(frozen=True)
class Trial:
    """A task, and how long it is trained. The first word of the name is its kind.

    The metrics of its task are `train`, the loss that is compared, on a fixed batch, and where there is
    anything to be held out `test`.
    """

    name: str
    nature: Nature
    steps: int
    make: Callable[[], Task]
    summary: str
    needs: tuple[str, ...] = ()  # data sets that have to be prepared

    @property
    def kind(self) -> str:
        return self.name.partition("-")[0]

    @property
    def missing(self) -> tuple[str, ...]:
        """The data sets that are not prepared on this machine."""
        return tuple(name for name in self.needs if not datasets.is_prepared(name))


class At(NamedTuple):
    """A problem whose loss or batches depend on the inner step; the suite's loop keeps `step` up to date."""

    problem: Any
    step: Array


def at(problem: Any, step: Array) -> Any:
    """The problem at an inner step."""
    return problem._replace(step=step) if isinstance(problem, At) else problem
