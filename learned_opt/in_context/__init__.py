"""Layer 4: networks that learn inside their own state, with fixed weights."""

from learned_opt.in_context import bayes, families, learners
from learned_opt.in_context.cards import LearnerCard, available_learners
from learned_opt.in_context.evaluation import Evaluation, evaluate_learner, mean_summary
from learned_opt.in_context.families import Examples, Family, bayes_outputs, examples
from learned_opt.in_context.figures import error_curve, surgery_sections, training_curve
from learned_opt.in_context.fixed_weights import (
    FixedWeights,
    delta_rule,
    fixed_weight_network,
    run_changing_weight,
    run_fixed_weights,
)
from learned_opt.in_context.learners import FunctionLearner
from learned_opt.in_context.learning import (
    WEIGHTS,
    LearnerSettings,
    StoredLearner,
    load_learner,
    resume_learner,
    train_learner,
)
from learned_opt.in_context.memory_figures import loss_over_time, memory_sections, weights_over_time
from learned_opt.in_context.prediction import (
    DEFAULT_MEMORY,
    MEMORY_WEIGHTS,
    StoredMemory,
    averaged_predictions,
    checked_problem,
    comparison_datasets,
    is_memory,
    load_memory,
    memory_losses,
    predict,
)
from learned_opt.in_context.recipes import LEARNER_RECIPES, LearnerRecipe, learner_recipe
from learned_opt.optimizers.smorms3 import SMORMS3State, smorms3
from learned_opt.in_context.surgery import Surgery, account, inspect_learner
from learned_opt.in_context.training import (
    Trained,
    TrainingSettings,
    TrainingState,
    first_state,
    train,
    training_steps,
)
from learned_opt.in_context.weight_memory import (
    Learned,
    Model,
    WeightMemory,
    learn,
    mean_cross_entropy,
    weight_memory,
)
from learned_opt.in_context.weight_training import (
    MEMORY_RECIPES,
    MemoryRecipe,
    WeightMemorySettings,
    draw_datasets,
    resume_weight_memory,
    train_weight_memory,
)
from learned_opt.in_context.xor_datasets import Dataset, Datasets, standardized, xor_datasets

__all__ = [
    "DEFAULT_MEMORY",
    "LEARNER_RECIPES",
    "MEMORY_RECIPES",
    "MEMORY_WEIGHTS",
    "WEIGHTS",
    "Dataset",
    "Datasets",
    "Evaluation",
    "Examples",
    "Family",
    "FixedWeights",
    "FunctionLearner",
    "Learned",
    "LearnerCard",
    "LearnerRecipe",
    "LearnerSettings",
    "MemoryRecipe",
    "Model",
    "SMORMS3State",
    "StoredLearner",
    "StoredMemory",
    "Surgery",
    "Trained",
    "TrainingSettings",
    "TrainingState",
    "WeightMemory",
    "WeightMemorySettings",
    "account",
    "available_learners",
    "averaged_predictions",
    "bayes",
    "bayes_outputs",
    "checked_problem",
    "comparison_datasets",
    "delta_rule",
    "draw_datasets",
    "error_curve",
    "evaluate_learner",
    "examples",
    "families",
    "first_state",
    "fixed_weight_network",
    "inspect_learner",
    "is_memory",
    "learn",
    "learner_recipe",
    "learners",
    "load_learner",
    "load_memory",
    "loss_over_time",
    "mean_cross_entropy",
    "mean_summary",
    "memory_losses",
    "memory_sections",
    "predict",
    "resume_learner",
    "resume_weight_memory",
    "run_changing_weight",
    "run_fixed_weights",
    "smorms3",
    "standardized",
    "surgery_sections",
    "train",
    "train_learner",
    "train_weight_memory",
    "training_curve",
    "training_steps",
    "weight_memory",
    "weights_over_time",
    "xor_datasets",
]
