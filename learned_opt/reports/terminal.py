"""Curves of a run as text, for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from learned_opt.core.extras import needed_for
from learned_opt.reports.meta_figures import column

# What is drawn beside what, as far as a run has it: losses on held-out problems, then what training sees.
PANELS: tuple[dict[str, str], ...] = (
    {"validation_loss": "validation loss", "adam_loss": "tuned Adam"},
    {"meta_loss": "meta-loss", "training_loss": "training loss"},
    {"gradient_norm": "gradient norm"},
)
HEIGHT = 12  # lines of the first panel; the others have half


def terminal_curves(
    metrics: Sequence[Mapping[str, Any]], *, title: str, width: int = 80, color: bool = False
) -> str:
    """Draws a run's losses and gradient norms against its steps with characters.

    A panel whose numbers are all positive has a logarithmic axis. What is `None` or not finite is left out.

    Args:
        metrics: a run's rows, as `read_metrics` gives them.
        title: above the panels.
        width: characters of a line.
        color: whether to use a terminal's colours.

    Returns:
        Lines of text.

    Raises:
        ValueError: if there are no rows.
        ImportError: if uniplot is not installed.

    Example:
        >>> rows = [{"step": i, "validation_loss": 1 / i, "adam_loss": 0.3} for i in range(1, 40)]
        >>> print(terminal_curves(rows, title="runs/mine", width=60).splitlines()[0])
        runs/mine
    """
    if not metrics:
        raise ValueError("there are no metrics to draw yet; the first come with the first validation")
    step = column(metrics, "step")
    parts = [title]
    for panel in PANELS:
        columns = {label: column(metrics, key) for key, label in panel.items()}
        points = {label: np.stack([step, y])[:, np.isfinite(y)] for label, y in columns.items()}
        points = {label: xy for label, xy in points.items() if xy.size}
        if points:
            parts.append(_panel(points, width, HEIGHT if not parts[1:] else HEIGHT // 2, color))
    return "\n".join(parts)


def _panel(points: dict[str, np.ndarray], width: int, height: int, color: bool) -> str:
    """Lines through points, f64[2, n] by label."""
    with needed_for("a curve in the terminal", "plots"):
        from uniplot import plot_to_string
    return plot_to_string(
        xs=[x for x, _ in points.values()],
        ys=[y for _, y in points.values()],
        y_as_log=all((y > 0).all() for _, y in points.values()),
        lines=True,
        color=color,
        width=max(width - 14, 20),  # beside the panel stand its numbers
        height=height,
        legend_labels=[f"{label} {y[-1]:.4g}" for label, (_, y) in points.items()],
    )
