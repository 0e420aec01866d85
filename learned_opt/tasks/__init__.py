"""Layer 2: tasks, distributions over the problems that an optimizer is trained and judged on."""

from learned_opt.tasks.classification import Images, classification
from learned_opt.tasks.convex_term import WithConvexTerm, convex_term
from learned_opt.tasks.dictionaries import PatchCoding, SparseCoding
from learned_opt.tasks.gradient_noise import gradient_noise
from learned_opt.tasks.mixture import Mixed, mixture
from learned_opt.tasks.normalized_loss import normalized_loss
from learned_opt.tasks.quadratic import Quadratic, quadratic
from learned_opt.tasks.random_scaling import Scaled, random_scaling
from learned_opt.tasks.registry import registry
from learned_opt.tasks.sparse_coding import sparse_coding

__all__ = [
    "Images",
    "Mixed",
    "PatchCoding",
    "Quadratic",
    "Scaled",
    "SparseCoding",
    "WithConvexTerm",
    "classification",
    "convex_term",
    "gradient_noise",
    "mixture",
    "normalized_loss",
    "quadratic",
    "random_scaling",
    "registry",
    "sparse_coding",
]
