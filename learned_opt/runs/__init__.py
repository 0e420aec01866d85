"""What every long job shares: directories, checkpoints, weight files, metrics, progress.

Everything that is written here is whole or not there at all, and shows when it was damaged later.
"""

from learned_opt.runs.checkpoints import CheckpointError, Checkpoints
from learned_opt.runs.directory import RunDirectory, RunError
from learned_opt.runs.loop import history, run_periods
from learned_opt.runs.metrics import MetricsWriter, read_metrics
from learned_opt.runs.processes import barrier, broadcast, is_first, use_every_core
from learned_opt.runs.progress import progress
from learned_opt.runs.provenance import provenance
from learned_opt.runs.weights import WeightsError, load_weights, save_weights

__all__ = [
    "CheckpointError",
    "Checkpoints",
    "MetricsWriter",
    "RunDirectory",
    "RunError",
    "WeightsError",
    "barrier",
    "broadcast",
    "history",
    "is_first",
    "load_weights",
    "progress",
    "provenance",
    "read_metrics",
    "run_periods",
    "save_weights",
    "use_every_core",
]
