"""Layer 2: tasks, distributions over the problems that an optimizer is trained and judged on."""

from learned_opt.tasks.associative_recall import associative_recall
from learned_opt.tasks.autoencoder import autoencoder
from learned_opt.tasks.characters import TextSplits, characters
from learned_opt.tasks.classification import Images, Samples, classification
from learned_opt.tasks.convex_term import WithConvexTerm, convex_term
from learned_opt.tasks.copy import copy
from learned_opt.tasks.dictionaries import PatchCoding, SparseCoding
from learned_opt.tasks.function_fit import function_fit
from learned_opt.tasks.gradient_noise import gradient_noise
from learned_opt.tasks.low_rank_adapters import Frozen, low_rank_adapters
from learned_opt.tasks.matrix_factorization import Factorization, matrix_factorization
from learned_opt.tasks.mixture import Mixed, mixture
from learned_opt.tasks.neural_programmer import neural_programmer
from learned_opt.tasks.normalized_loss import normalized_loss
from learned_opt.tasks.physics_informed import Points, Poisson, physics_informed
from learned_opt.tasks.quadratic import Quadratic, quadratic
from learned_opt.tasks.random_scaling import Scaled, random_scaling
from learned_opt.tasks.registry import registry
from learned_opt.tasks.regression import Regression, regression
from learned_opt.tasks.repeat_copy import repeat_copy
from learned_opt.tasks.resnet import resnet
from learned_opt.tasks.rosenbrock import Valley, rosenbrock
from learned_opt.tasks.rotations import rotations
from learned_opt.tasks.sequences import Sequences
from learned_opt.tasks.sparse_coding import sparse_coding
from learned_opt.tasks.streamed import Answers, StreamedTask, image_classifier, question_answerer
from learned_opt.tasks.style_transfer import Target, style_transfer
from learned_opt.tasks.table_questions import Question
from learned_opt.tasks.vae import Pictures, vae

__all__ = [
    "Answers",
    "Factorization",
    "Frozen",
    "Images",
    "Mixed",
    "PatchCoding",
    "Pictures",
    "Points",
    "Poisson",
    "Quadratic",
    "Question",
    "Regression",
    "Samples",
    "Scaled",
    "Sequences",
    "SparseCoding",
    "StreamedTask",
    "Target",
    "TextSplits",
    "Valley",
    "WithConvexTerm",
    "associative_recall",
    "autoencoder",
    "characters",
    "classification",
    "convex_term",
    "copy",
    "function_fit",
    "gradient_noise",
    "image_classifier",
    "low_rank_adapters",
    "matrix_factorization",
    "mixture",
    "neural_programmer",
    "normalized_loss",
    "physics_informed",
    "quadratic",
    "question_answerer",
    "random_scaling",
    "registry",
    "regression",
    "repeat_copy",
    "resnet",
    "rosenbrock",
    "rotations",
    "sparse_coding",
    "style_transfer",
    "vae",
]
