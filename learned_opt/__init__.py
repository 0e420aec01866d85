"""learned_opt: learned optimizers that are optax transformations."""

from learned_opt import (
    core,
    datasets,
    in_context,
    meta,
    networks,
    optimizers,
    reports,
    runs,
    tasks,
    training,
    zoo,
)
from learned_opt.core.types import Estimator, LearnedOptimizer, MetaGradient, Task
from learned_opt.meta import meta_train, resume
from learned_opt.optimizers import diagnose, safeguard
from learned_opt.training import compare, evaluate, tune
from learned_opt.zoo import available, load, pretrained, save

__version__ = "0.1.0"

__all__ = [
    "Estimator",
    "LearnedOptimizer",
    "MetaGradient",
    "Task",
    "available",
    "compare",
    "core",
    "datasets",
    "diagnose",
    "evaluate",
    "in_context",
    "load",
    "meta",
    "meta_train",
    "networks",
    "optimizers",
    "pretrained",
    "reports",
    "resume",
    "runs",
    "safeguard",
    "save",
    "tasks",
    "training",
    "tune",
    "zoo",
]
