"""Layer 0: the types, checks and numerics that everything else rests on."""

from learned_opt.core.config import Registry, validated
from learned_opt.core.errors import unknown_name
from learned_opt.core.trees import check_floating, check_same_structure, is_traced
from learned_opt.core.types import Estimator, LearnedOptimizer, MetaGradient, Task

__all__ = [
    "Estimator",
    "LearnedOptimizer",
    "MetaGradient",
    "Registry",
    "Task",
    "check_floating",
    "check_same_structure",
    "is_traced",
    "unknown_name",
    "validated",
]
