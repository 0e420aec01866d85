"""The loop of every long training job: pure steps in jitted calls, and between them what a run stores."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from learned_opt.runs.checkpoints import Checkpoints
from learned_opt.runs.directory import RunDirectory
from learned_opt.runs.metrics import MetricsWriter, read_metrics
from learned_opt.runs.processes import barrier, gather_to_host, is_first
from learned_opt.runs.tensorboard import tensorboard_writer

R = TypeVar("R")


@dataclasses.dataclass
class History:
    """Where a run stands; made by `history`."""

    state: Any
    rows: list[dict[str, Any]]
    store: Callable[[int, dict[str, Any], Any], None]

    def add(self, state: Any, row: dict[str, Any]) -> None:
        """Ends a period: stores its metrics and the state after it, where the run has a directory."""
        step = int(state.step)
        self.store(step, row, state)
        self.state = state
        self.rows.append({"step": step, **row})


@contextlib.contextmanager
def history(directory: RunDirectory | None, state: Any) -> Iterator[History]:
    """Opens a run for writing, at its newest whole checkpoint.

    Metrics go to a file of JSON lines and, where tensorboardX is installed, to events for TensorBoard. Of
    several processes all read the directory, and the first writes it.

    Args:
        directory: of the run, locked until the end of `with`; `None` to store nothing.
        state: the run's first state, a pytree with a field `step`.

    Yields:
        The history so far: the state, the rows, and `add(state, row)` to end a period.

    Raises:
        RunError: if another process has the run.
        CheckpointError: if there are checkpoints and none is whole.

    Example:
        >>> from typing import NamedTuple
        >>> class State(NamedTuple):
        ...     step: int
        >>> run = RunDirectory.create("run", {})
        >>> with history(run, State(0)) as h:
        ...     h.add(State(10), {"loss": 0.5})
        >>> with history(run, State(0)) as h:
        ...     print(h.state, h.rows)
        State(step=10) [{'step': 10, 'loss': 0.5}]
    """
    if directory is None:
        yield History(state, [], lambda step, row, state: None)
        return
    with contextlib.ExitStack() as stack:
        if is_first():
            stack.enter_context(directory.lock())
        checkpoints = Checkpoints(directory.checkpoints_path)
        if checkpoints.steps():
            _, state = checkpoints.restore(like=state)
        step = int(state.step)
        if is_first():
            metrics = stack.enter_context(MetricsWriter(directory.metrics_path, resume_step=step))
            write_events = stack.enter_context(tensorboard_writer(directory.tensorboard_path, step))
        barrier("the metrics are cut to the checkpoint's step")

        def store(step: int, row: dict[str, Any], state: Any) -> None:
            state = gather_to_host(state)
            if is_first():
                # Metrics first: a resumed run drops the lines beyond its checkpoint, none can be missing.
                metrics.write(step, **row)
                write_events(step, **row)
                checkpoints.save(step, state)
            barrier(f"step {step} is stored")

        yield History(state, read_metrics(directory.metrics_path), store)


def run_periods(
    history: History,
    advance: Callable[[Any, int], tuple[Any, R]],
    end_period: Callable[[Any, Sequence[R]], tuple[Any, dict[str, Any]]],
    *,
    num_steps: int,
    period: int,
    steps_per_call: int,
    on_call: Callable[[int, R, list[dict[str, Any]]], None] = lambda step, report, rows: None,
) -> None:
    """Advances a run to its last step; every period ends with its metrics and a checkpoint.

    Periods end at multiples of `period`, so that a resumed run makes the same calls as one that was never
    stopped.

    Args:
        history: of the run.
        advance: makes a number of steps in one call; gives the state and a report.
        end_period: of the state and the period's reports, the state to go on with and the metrics.
        num_steps: of the whole run.
        period: steps in a period.
        steps_per_call: steps in a call.
        on_call: called after each call with the steps made, its report and the metrics so far, such as to
            move a progress bar.

    Example:
        >>> from typing import NamedTuple
        >>> class State(NamedTuple):
        ...     step: int
        >>> with history(None, State(0)) as h:
        ...     run_periods(
        ...         h,
        ...         lambda state, n: (State(state.step + n), n),
        ...         lambda state, reports: (state, {"calls": len(reports)}),
        ...         num_steps=5,
        ...         period=3,
        ...         steps_per_call=2,
        ...     )
        ...     print(h.rows)
        [{'step': 3, 'calls': 2, 'seconds': ...}, {'step': 5, 'calls': 1, 'seconds': ...}]
    """
    state, started = history.state, time.monotonic()
    step = int(state.step)
    while step < num_steps:
        end = min((step // period + 1) * period, num_steps)
        reports: list[R] = []
        while step < end:
            count = min(steps_per_call, end - step)
            state, report = advance(state, count)
            step += count
            reports.append(report)
            on_call(step, report, history.rows)
        state, row = end_period(state, reports)
        history.add(state, {**row, "seconds": time.monotonic() - started})
