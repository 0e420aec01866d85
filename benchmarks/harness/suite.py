"""What a suite is: a plan of cells, each a job that the runner makes once."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from learned_opt.reports import Column, Section

SIZES = ("quick", "default", "full")


class Key(NamedTuple):
    """What a cell is of.

    Attributes:
        suite: its suite.
        task: the task, as the suite calls it.
        optimizer: what is compared.
        horizon: inner steps; 0 where they mean nothing.
        seed: of the problems; `None` for what all seeds share.
        part: what is measured, such as `"sweep"` or `"cost"`.
    """

    suite: str
    task: str
    optimizer: str
    horizon: int
    seed: int | None
    part: str


Load = Callable[[Key], dict[str, Any]]  # the result of a cell that was made before


@dataclasses.dataclass(frozen=True)
class Job:
    """A cell that is to be made.

    Attributes:
        key: what it is of.
        settings: everything that decides on its result besides the key, as JSON; a stored cell with
            other settings is made anew.
        run: `run(load) -> result`, JSON but for numbers that may be NaN or infinite; `load(key)` gives
            the result of a cell that the plan has before this one.
        timed: whether it measures time, so that no other job may run beside it.
        needs: the cell of another task that it loads, if it does.
    """

    key: Key
    settings: Mapping[str, Any]
    run: Callable[[Load], dict[str, Any]]
    timed: bool = False
    needs: Key | None = None


@dataclasses.dataclass(frozen=True)
class Request:
    """What the command line asks a suite for.

    Attributes:
        size: one of `SIZES`.
        optimizers: names or files; those of the suite if empty.
        seeds: how many; the suite's own number if `None`.
        tasks: as the suites call them; all if empty.
    """

    size: str = "default"
    optimizers: tuple[str, ...] = ()
    seeds: int | None = None
    tasks: tuple[str, ...] = ()

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
    """A suite of measurements.

    Attributes:
        name: that the command line takes.
        version: raised by whoever changes what a cell means; results of two versions never mix.
        summary: one sentence.
        plan: `plan(request) -> jobs`, in the order in which they are made; those that are timed come after
            all others where suites run side by side.
        metrics: how the report shows the task's metrics, by name.
        sections: `sections(cells) -> sections` of the report; those of a comparison by default.
    """

    name: str
    version: int
    summary: str
    plan: Callable[[Request], Sequence[Job]]
    metrics: Mapping[str, Column] = dataclasses.field(default_factory=dict)
    sections: Callable[[Sequence[Any]], Sequence[Section]] | None = None
