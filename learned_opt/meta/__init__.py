"""Layer 4: the trainer of everything that is meta-trained, its settings, recipes and diagnosis."""

from learned_opt.meta import recipes
from learned_opt.meta.diagnosis.checks import Diagnosis, Finding
from learned_opt.meta.diagnosis.doctor import doctor, doctor_run
from learned_opt.meta.recipes.recipe import RECIPES, Recipe, recipe, register_recipes
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
    "recipes",
    "register_recipes",
    "resume",
]
