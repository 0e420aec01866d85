"""Layer 3: the inner loop, what is measured on it, and how it is differentiated."""

from learned_opt.training import estimators
from learned_opt.training.compare import Comparison, Entry, compare
from learned_opt.training.convergence import convergence_rate
from learned_opt.training.estimators import (
    blend,
    es,
    families_es,
    full_unroll,
    growing,
    imitation,
    log_uniform,
    loss_gradient,
    nres,
    pes,
    truncated_bptt,
)
from learned_opt.training.evaluate import (
    evaluate,
    evaluate_with_metrics,
    evaluation_keys,
    trajectories,
)
from learned_opt.training.fit import FitSettings, FitState, Fitted, batch_update, fit
from learned_opt.training.minimize import Minimized, minimize
from learned_opt.training.objectives import Objective, of_logarithms, weighted_sum
from learned_opt.training.tune import BASELINES, Sweep, Tuned, loss_at, sweep, tune
from learned_opt.training.unroll import InnerState, start, unroll

__all__ = [
    "BASELINES",
    "Comparison",
    "Entry",
    "FitSettings",
    "FitState",
    "Fitted",
    "InnerState",
    "Minimized",
    "Objective",
    "Sweep",
    "Tuned",
    "batch_update",
    "blend",
    "compare",
    "convergence_rate",
    "es",
    "estimators",
    "evaluate",
    "evaluate_with_metrics",
    "evaluation_keys",
    "families_es",
    "fit",
    "full_unroll",
    "growing",
    "imitation",
    "log_uniform",
    "loss_at",
    "loss_gradient",
    "minimize",
    "nres",
    "of_logarithms",
    "pes",
    "start",
    "sweep",
    "trajectories",
    "truncated_bptt",
    "tune",
    "unroll",
    "weighted_sum",
]
