"""What a suite is: a plan of cells, each a job that the runner makes once."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from learned_opt.reports import Column, Section

SIZES = ("quick", "default", "full")


class Key(NamedTuple):
    """What a cell is of."""

    suite: str
    task: str
    optimizer: str
    horizon: int  # inner steps; 0 where they mean nothing
    seed: int | None  # of the problems; `None` for what all seeds share
    part: str  # what is measured, such as "sweep" or "cost"


Load = Callable[[Key], dict[str, Any]]  # the result of a cell that was made before


@dataclasses.dataclass(frozen=True)
class Job:
    """A cell that is to be made."""

    key: Key
    settings: Mapping[str, Any]  # what else decides on the result; if changed, made anew
    run: Callable[[Load], dict[str, Any]]  # `load(key)`: the result of an earlier cell
    timed: bool = False  # no other job may run beside it
    needs: Key | None = None  # the cell of another task that it loads


@dataclasses.dataclass(frozen=True)
class Request:
    """What the command line asks a suite for."""

    size: str = "default"  # one of `SIZES`
    optimizers: tuple[str, ...] = ()  # names or files; those of the suite if empty
    seeds: int | None = None  # the suite's own number if `None`
    tasks: tuple[str, ...] = ()  # all if empty

    def without_optimizers(self, suite: str, why: str) -> "Request":
        """The request, or an error if it asks for optimizers; `why` the suite has no use for them."""
        if self.optimizers:
            raise ValueError(f"the suite {suite} {why}: run it without --optimizers, or leave it out")
        return self

    def __post_init__(self):
        if self.size not in SIZES:
            raise ValueError(f"size={self.size!r}: choose one of {', '.join(SIZES)}")
        if self.seeds is not None and self.seeds < 1:
            raise ValueError(f"seeds={self.seeds!r}: it must be at least 1")


@dataclasses.dataclass(frozen=True)
class Suite:
    """A suite of measurements."""

    name: str  # that the command line takes
    version: int  # raised when the meaning of a cell changes; two versions never mix
    summary: str
    plan: Callable[[Request], Sequence[Job]]  # in the order in which cells are made, timed ones last
    metrics: Mapping[str, Column] = dataclasses.field(default_factory=dict)  # how the report shows the task's
    sections: Callable[[Sequence[Any]], Sequence[Section]] | None = None  # a comparison's by default
    independent: bool = False  # its tasks need nothing of each other, and may run side by side
