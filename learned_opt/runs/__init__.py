"""What every long job shares: directories, checkpoints, weight files, metrics, progress.

Everything that is written here is whole or not there at all, and shows when it was damaged later.
"""

from learned_opt.runs.canvas import require_plots
from learned_opt.runs.checkpoints import CheckpointError, Checkpoints
from learned_opt.runs.directory import RunDirectory, RunError
from learned_opt.runs.figures import loss_curves
from learned_opt.runs.loop import History, history, run_periods
from learned_opt.runs.meta_figures import meta_training_curve, meta_training_png
from learned_opt.runs.metrics import MetricsWriter, read_metrics
from learned_opt.runs.plots import heat_map, interval_plot, line_plot, scatter_plot
from learned_opt.runs.processes import agreed, barrier, is_first, readable, use_every_core
from learned_opt.runs.progress import Progress, progress
from learned_opt.runs.provenance import provenance
from learned_opt.runs.report import Column, Section, read_report, terminal_table, write_report
from learned_opt.runs.terminal import terminal_curves
from learned_opt.runs.weights import WeightsError, load_weights, save_weights

__all__ = [
    "CheckpointError",
    "Checkpoints",
    "Column",
    "History",
    "MetricsWriter",
    "Progress",
    "RunDirectory",
    "RunError",
    "Section",
    "WeightsError",
    "agreed",
    "barrier",
    "heat_map",
    "history",
    "interval_plot",
    "is_first",
    "line_plot",
    "load_weights",
    "loss_curves",
    "meta_training_curve",
    "meta_training_png",
    "progress",
    "provenance",
    "read_metrics",
    "read_report",
    "readable",
    "require_plots",
    "run_periods",
    "save_weights",
    "scatter_plot",
    "terminal_curves",
    "terminal_table",
    "use_every_core",
    "write_report",
]
