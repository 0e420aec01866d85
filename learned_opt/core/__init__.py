"""Layer 0: the types, checks and numerics that everything else rests on."""

from learned_opt.core.config import validated
from learned_opt.core.errors import unknown_name
from learned_opt.core.prox import block_soft_threshold, group_norms, hard_threshold, soft_threshold
from learned_opt.core.registry import Registry
from learned_opt.core.sharding import on_every_device, split_by_problem
from learned_opt.core.trees import check_floating, check_same_structure, is_traced
from learned_opt.core.types import Estimator, LearnedOptimizer, MetaGradient, Task

__all__ = [
    "Estimator",
    "LearnedOptimizer",
    "MetaGradient",
    "Registry",
    "Task",
    "block_soft_threshold",
    "check_floating",
    "check_same_structure",
    "group_norms",
    "hard_threshold",
    "is_traced",
    "on_every_device",
    "soft_threshold",
    "split_by_problem",
    "unknown_name",
    "validated",
]
