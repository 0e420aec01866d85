"""Metrics of a run: one JSON object a line, readable while the run goes on."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from learned_opt.core.paths import user_path
from learned_opt.runs.files import write_atomically


class MetricsWriter:
    """Appends lines of metrics to a file; each is on its way to the disk when `write` returns.

    A last line that a kill left torn is dropped when the file is opened again. Use it with `with`.

    Args:
        path: of the file; made if there is none.
        resume_step: where a resumed run goes on: lines of later steps are dropped, so that there
            are no two lines of one step. `None` keeps all.

    Raises:
        ValueError: naming a line, not the last, that is no metrics.

    Example:
        >>> with MetricsWriter("metrics.jsonl") as metrics:
        ...     metrics.write(10, meta_loss=0.5)
        ...     metrics.write(20, meta_loss=float("nan"))
        >>> read_metrics("metrics.jsonl")
        [{'step': 10, 'meta_loss': 0.5}, {'step': 20, 'meta_loss': None}]
        >>> with MetricsWriter("metrics.jsonl", resume_step=10) as metrics:
        ...     metrics.write(20, meta_loss=0.25)
        >>> read_metrics("metrics.jsonl")[-1]
        {'step': 20, 'meta_loss': 0.25}
    """

    def __init__(self, path: str | Path, resume_step: int | None = None):
        self.path = user_path(path)
        if self.path.exists():
            rows = read_metrics(self.path)
            if resume_step is not None:
                rows = [row for row in rows if row["step"] <= resume_step]
            content = "".join(map(_line, rows)).encode()
            if content != self.path.read_bytes():
                write_atomically(self.path, content)
        self._file = open(self.path, "a", encoding="utf-8", newline="\n")  # noqa: SIM115 (closed by close)

    def write(self, step: int, **values: Any) -> None:
        """Appends one line.

        Args:
            step: of the run.
            **values: numbers (also 0-d arrays), booleans or `None`. JSON has no infinities and no
                NaN: these are written as `null`.

        Raises:
            TypeError: naming a value that is none of these.
        """
        self._file.write(_line({"step": int(step), **{k: _number(k, v) for k, v in values.items()}}))
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self) -> "MetricsWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    r"""Reads the lines that a `MetricsWriter` wrote.

    Args:
        path: of the file.

    Returns:
        One dictionary a line, with `"step"` and the values; `None` for what was not finite. A last
        line that is torn, because it is being written or because of a kill, is left out.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming a line, not the last, that is no metrics.

    Example:
        >>> _ = Path("torn.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
        >>> read_metrics("torn.jsonl")
        [{'step': 1, 'loss': 2.0}]
    """
    rows = []
    *lines, tail = user_path(path).read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        row = _row(line)
        if row is None:
            raise ValueError(
                f"{path}, line {number} is damaged: {line[:80]!r} is no metrics; delete that line"
            )
        rows.append(row)
    torn = _row(tail)  # whole if no more than its line break is missing
    return rows if torn is None else [*rows, torn]


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row) + "\n"


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None


def _number(name: str, value: Any) -> float | int | None:
    if value is None:
        return None
    array = np.asarray(value)
    number = array.item() if array.ndim == 0 else None
    if not isinstance(number, int | float):
        raise TypeError(f"metric {name} is {value!r}; give a number, such as its mean")
    return number if math.isfinite(number) else None
