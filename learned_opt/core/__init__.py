"""Layer 0: the types, checks and numerics that everything else rests on."""

from learned_opt.core.config import validated
from learned_opt.core.errors import unknown_name
from learned_opt.core.prox import block_soft_threshold, hard_threshold, soft_threshold
from learned_opt.core.registry import Registry
from learned_opt.core.types import Estimator, LearnedOptimizer, MetaGradient, Task

__all__ = [
    "Estimator",
    "LearnedOptimizer",
    "MetaGradient",
    "Registry",
    "Task",
    "block_soft_threshold",
    "hard_threshold",
    "soft_threshold",
    "unknown_name",
    "validated",
]
