"""What an optimizer did with each tensor, over a run."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from learned_opt.core.errors import unknown_name
from learned_opt.reports.plots import line_plot


def readout_plot(
    readouts: Mapping[int, Mapping[str, Any]], field: str = "relative_step", *, title: str = ""
) -> str:
    """Draws a number of `learned_opt.diagnose` over the steps of a run, a line for each parameter.

    Args:
        readouts: by step, from 1 on, what `learned_opt.diagnose(state)` gave there.
        field: of `TensorReadout`: the relative step, a gate, an agreement, or another.
        title: of the figure; the field's name by default.

    Returns:
        An `<svg>` element; the relative step and the size have a logarithmic axis.

    Raises:
        ValueError: if there are no readouts, or there is no such field.
        ImportError: if matplotlib is not installed.

    Example:
        >>> from learned_opt.optimizers.readout import TensorReadout
        >>> row = TensorReadout(0.003, 0.0, 0.98, 0.01, 0.01, 0.5, 0.2, 1.0, 7)
        >>> readout_plot({10: {"w": row}, 20: {"w": row._replace(relative_step=0.001)}})[:5]
        '<svg '
    """
    rows = [row for readout in readouts.values() for row in readout.values()]
    if not rows:
        raise ValueError("there are no readouts to draw; give those of some steps")
    if field not in rows[0]._fields:
        raise unknown_name("field", field, rows[0]._fields)
    lines: dict[str, list[tuple[float, float]]] = {}
    for step, readout in readouts.items():
        for path, row in readout.items():
            lines.setdefault(path, []).append((step, getattr(row, field)))
    name = field.replace("_", " ")
    return line_plot(
        {path: np.array(points, np.float64).T for path, points in lines.items()},
        title=title or f"{name.capitalize()} of each parameter",
        x_label="step",
        y_label=name,
        log="xy" if field in ("relative_step", "size") else "x",
    )
