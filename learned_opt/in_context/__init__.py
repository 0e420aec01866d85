"""Layer 4: networks that learn inside their own state, with fixed weights."""

from learned_opt.in_context import bayes, families, learners
from learned_opt.in_context.cards import LearnerCard, available_learners
from learned_opt.in_context.families import Examples, Family, bayes_outputs, examples
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
    Evaluation,
    LearnerSettings,
    StoredLearner,
    evaluate_learner,
    load_learner,
    mean_summary,
    resume_learner,
    train_learner,
)
from learned_opt.in_context.recipes import LEARNER_RECIPES, LearnerRecipe, learner_recipe
from learned_opt.in_context.surgery import Surgery, account, inspect_learner
from learned_opt.in_context.training import (
    Trained,
    TrainingSettings,
    TrainingState,
    first_state,
    train,
    training_steps,
)

__all__ = [
    "LEARNER_RECIPES",
    "WEIGHTS",
    "Evaluation",
    "Examples",
    "Family",
    "FixedWeights",
    "FunctionLearner",
    "LearnerCard",
    "LearnerRecipe",
    "LearnerSettings",
    "StoredLearner",
    "Surgery",
    "Trained",
    "TrainingSettings",
    "TrainingState",
    "account",
    "available_learners",
    "bayes",
    "bayes_outputs",
    "delta_rule",
    "evaluate_learner",
    "examples",
    "families",
    "first_state",
    "fixed_weight_network",
    "inspect_learner",
    "learner_recipe",
    "learners",
    "load_learner",
    "mean_summary",
    "resume_learner",
    "run_changing_weight",
    "run_fixed_weights",
    "train",
    "train_learner",
    "training_steps",
]
