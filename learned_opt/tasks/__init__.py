"""Layer 2: tasks, distributions over the problems that an optimizer is trained and judged on."""

from learned_opt.tasks.classification import Images, classification
from learned_opt.tasks.gradient_noise import gradient_noise
from learned_opt.tasks.quadratic import Quadratic, quadratic
from learned_opt.tasks.random_scaling import random_scaling
from learned_opt.tasks.registry import registry

__all__ = [
    "Images",
    "Quadratic",
    "classification",
    "gradient_noise",
    "quadratic",
    "random_scaling",
    "registry",
]
