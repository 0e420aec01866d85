"""Layer 4: the meta-trainer and the recipes of the shipped optimizers."""

from learned_opt.meta.doctor import doctor, doctor_run
from learned_opt.meta.findings import Diagnosis, Finding
from learned_opt.meta.recipes import RECIPES, Recipe, recipe
from learned_opt.meta.settings import Settings
from learned_opt.meta.step import MetaState, StepMetrics, initial_state, meta_steps
from learned_opt.meta.trainer import Run, meta_train, resume

__all__ = [
    "RECIPES",
    "Diagnosis",
    "Finding",
    "MetaState",
    "Recipe",
    "Run",
    "Settings",
    "StepMetrics",
    "doctor",
    "doctor_run",
    "initial_state",
    "meta_steps",
    "meta_train",
    "recipe",
    "resume",
]
