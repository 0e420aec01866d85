"""Figures of a run of meta-training, drawn from its metrics by code that only reads."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from learned_opt.reports.axes import loss_axis, set_title, step_axis
from learned_opt.reports.lines import ADAM, STRONG
from learned_opt.reports.style import house_style, new_figure, to_png, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

T = TypeVar("T")


def meta_training_curve(metrics: Sequence[Mapping[str, Any]], *, title: str) -> str:
    """Draws validation loss and meta-loss against meta-step, beside tuned Adam.

    Each has a panel of its own, since a meta-loss has its own scale; the lowest validation loss is marked.

    Args:
        metrics: a run's rows: "step", "validation_loss", "meta_loss" (or "training_loss") and "adam_loss";
            what is missing, `None` or not finite is left out.
        title: of the figure.

    Returns:
        An `<svg>` element, the same bytes for the same arguments.

    Raises:
        ValueError: if there are no rows.
        ImportError: if matplotlib is not installed.

    Example:
        >>> rows = [{"step": i, "validation_loss": 1 / i, "adam_loss": 0.3} for i in range(1, 9)]
        >>> meta_training_curve(rows, title="Meta-training")[:5]
        '<svg '
    """
    return _meta_training(metrics, title, lambda figure: to_svg(figure, title))


def meta_training_png(metrics: Sequence[Mapping[str, Any]], *, title: str) -> bytes:
    """The figure of `meta_training_curve` as a PNG file.

    Args:
        metrics: a run's rows.
        title: of the figure.

    Returns:
        The file's bytes.

    Raises:
        ValueError: if there are no rows.
        ImportError: if matplotlib is not installed.

    Example:
        >>> meta_training_png([{"step": 1, "validation_loss": 0.5}], title="Meta-training")[1:4]
        b'PNG'
    """
    return _meta_training(metrics, title, to_png)


def _meta_training(metrics: Sequence[Mapping[str, Any]], title: str, write: Callable[["Figure"], T]) -> T:
    if not metrics:
        raise ValueError("there are no metrics to draw yet; the first come with the first validation")
    if any("meta_loss" in row for row in metrics):
        key, label, unit = "meta_loss", "meta-loss", "meta-step"
    else:
        key, label, unit = "training_loss", "training loss", "step"
    step, validation, training, adam = (
        column(metrics, name) for name in ("step", "validation_loss", key, "adam_loss")
    )
    with house_style():
        figure = new_figure(3.9)
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        set_title(top, title)
        points = {"marker": "o", "markersize": 2.5} if len(step) <= 60 else {}
        top.plot(step, validation, color=STRONG[0], lw=1.6, label="validation loss", **points)
        _mark_best(top, step, validation, unit)
        if np.isfinite(adam).any():
            level = adam[np.isfinite(adam)][-1]
            top.axhline(level, color=ADAM, lw=1.2, dashes=(5, 1.5), label=f"tuned Adam: {level:.3g}")
        loss_axis(top, *_range(np.concatenate([validation, adam])))
        top.set_ylabel("validation loss")
        top.legend(loc="best")
        bottom.plot(step, training, color="#555555", lw=1.2, **points)
        loss_axis(bottom, *_range(training))
        bottom.set_ylabel(label)
        bottom.set_xlabel(unit)
        step_axis(bottom, min(0, step.min()), step.max())
        figure.align_ylabels()
        return write(figure)


def _mark_best(axes: "Axes", step: np.ndarray, validation: np.ndarray, unit: str) -> None:
    if not np.isfinite(validation).any():
        return
    best = int(np.nanargmin(validation))
    axes.plot(
        step[best],
        validation[best],
        ls="none",
        marker="o",
        markersize=8,
        clip_on=False,
        mfc="none",
        mec=STRONG[0],
        label=f"best: {validation[best]:.3g} at {unit} {int(step[best]):,}",
    )


def _range(values: np.ndarray) -> tuple[float, float]:
    """The range of the finite values, without the highest per cent of them if they lie far above the rest."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.1, 1.0
    high = finite.max()
    if finite.min() > 0:
        high = min(high, 10 * np.percentile(finite, 99))
    return float(finite.min()), float(high)


def column(metrics: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    """A metric of every row, f64[rows]; NaN where it is missing, `None` or not finite."""
    values = [row.get(key) for row in metrics]
    numbers = np.array([np.nan if v is None else v for v in values], np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)
