"""Layer 3: the inner loop, what is measured on it, and how it is differentiated."""

from learned_opt.training.blend import blend
from learned_opt.training.bptt import truncated_bptt
from learned_opt.training.compare import Comparison, Entry, compare
from learned_opt.training.es import es
from learned_opt.training.evaluate import (
    evaluate,
    evaluate_with_metrics,
    evaluation_keys,
    trajectories,
)
from learned_opt.training.full_unroll import full_unroll
from learned_opt.training.horizons import growing, log_uniform
from learned_opt.training.imitation import ImitationState, imitation
from learned_opt.training.minimize import Minimized, minimize
from learned_opt.training.nres import NRESState, nres
from learned_opt.training.objectives import (
    Objective,
    convergence_rate,
    initial_history,
    of_logarithms,
    weighted_sum,
)
from learned_opt.training.pes import PESState, pes
from learned_opt.training.tune import BASELINES, Sweep, Tuned, loss_at, sweep, tune, with_prox
from learned_opt.training.unroll import InnerState, start, unroll
from learned_opt.training.walkers import TruncatedStep, Walkers, truncated_step

__all__ = [
    "BASELINES",
    "Comparison",
    "Entry",
    "ImitationState",
    "InnerState",
    "Minimized",
    "NRESState",
    "Objective",
    "PESState",
    "Sweep",
    "TruncatedStep",
    "Tuned",
    "Walkers",
    "blend",
    "compare",
    "convergence_rate",
    "es",
    "evaluate",
    "evaluate_with_metrics",
    "evaluation_keys",
    "full_unroll",
    "growing",
    "imitation",
    "initial_history",
    "log_uniform",
    "loss_at",
    "minimize",
    "nres",
    "of_logarithms",
    "pes",
    "start",
    "sweep",
    "trajectories",
    "truncated_bptt",
    "truncated_step",
    "tune",
    "unroll",
    "weighted_sum",
    "with_prox",
]
