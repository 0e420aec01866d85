"""Layer 3: the inner loop, what is measured on it, and how it is differentiated."""

from learned_opt.training.bptt import BPTTState, truncated_bptt
from learned_opt.training.compare import Comparison, Entry, compare
from learned_opt.training.evaluate import (
    evaluate,
    evaluate_with_metrics,
    evaluation_keys,
    trajectories,
)
from learned_opt.training.objectives import (
    Objective,
    convergence_rate,
    initial_history,
    of_logarithms,
    weighted_sum,
)
from learned_opt.training.tune import BASELINES, Tuned, loss_at, tune, with_prox
from learned_opt.training.unroll import InnerState, start, unroll

__all__ = [
    "BASELINES",
    "BPTTState",
    "Comparison",
    "Entry",
    "InnerState",
    "Objective",
    "Tuned",
    "compare",
    "convergence_rate",
    "evaluate",
    "evaluate_with_metrics",
    "evaluation_keys",
    "initial_history",
    "loss_at",
    "of_logarithms",
    "start",
    "trajectories",
    "truncated_bptt",
    "tune",
    "unroll",
    "weighted_sum",
    "with_prox",
]
