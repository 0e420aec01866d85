"""Layer 5: networks that learn in their own state, with fixed weights: function learners, weight memories."""

from learned_opt.in_context.functions import families, learners
from learned_opt.in_context.functions import recipes as _function_recipes  # noqa: F401  (registers them)
from learned_opt.in_context.functions.ablation import Ablation, describe, inspect_learner
from learned_opt.in_context.functions.evaluation import Evaluation, evaluate_learner, mean_summary
from learned_opt.in_context.functions.families import Examples, Family, bayes_outputs, examples
from learned_opt.in_context.functions.figures import ablation_sections, error_curve, training_curve
from learned_opt.in_context.functions.fixed_weights import (
    FixedWeights,
    delta_rule,
    fixed_weight_network,
    run_changing_weight,
    run_fixed_weights,
)
from learned_opt.in_context.functions.learners import FunctionLearner
from learned_opt.in_context.functions.neurons import (
    FixedNeurons,
    NeuronRule,
    Neurons,
    fixed_neurons,
    multiplying_neurons,
    train_rule,
)
from learned_opt.in_context.functions.probe_figures import probe_sections
from learned_opt.in_context.functions.probes import Probes, describe_probes, probe_learner
from learned_opt.in_context.functions.sequences import Sequences, sequence_loss
from learned_opt.in_context.memory import recipes as _memory_recipes  # noqa: F401  (registers them)
from learned_opt.in_context.memory.datasets_loss import DatasetBatches, draw_datasets
from learned_opt.in_context.memory.figures import loss_over_time, memory_sections, weights_over_time
from learned_opt.in_context.memory.moved import Moved, moved, moved_section
from learned_opt.in_context.memory.other_datasets import cluster_datasets, regression_datasets
from learned_opt.in_context.memory.prediction import (
    DEFAULT_MEMORY,
    comparison_datasets,
    memory_losses,
    predict,
    selected_on,
)
from learned_opt.in_context.memory.sampling import fit_spread, sampled_logits
from learned_opt.in_context.memory.weight_memory import (
    Learned,
    Model,
    WeightMemory,
    learn,
    weight_memory,
)
from learned_opt.in_context.memory.xor_datasets import Dataset, Datasets, xor_datasets

__all__ = [
    "DEFAULT_MEMORY",
    "Ablation",
    "Dataset",
    "DatasetBatches",
    "Datasets",
    "Evaluation",
    "Examples",
    "Family",
    "FixedNeurons",
    "FixedWeights",
    "FunctionLearner",
    "Learned",
    "Model",
    "Moved",
    "NeuronRule",
    "Neurons",
    "Probes",
    "Sequences",
    "WeightMemory",
    "ablation_sections",
    "bayes_outputs",
    "cluster_datasets",
    "comparison_datasets",
    "delta_rule",
    "describe",
    "describe_probes",
    "draw_datasets",
    "error_curve",
    "evaluate_learner",
    "examples",
    "families",
    "fit_spread",
    "fixed_neurons",
    "fixed_weight_network",
    "inspect_learner",
    "learn",
    "learners",
    "loss_over_time",
    "mean_summary",
    "memory_losses",
    "memory_sections",
    "moved",
    "moved_section",
    "multiplying_neurons",
    "predict",
    "probe_learner",
    "probe_sections",
    "regression_datasets",
    "run_changing_weight",
    "run_fixed_weights",
    "sampled_logits",
    "selected_on",
    "sequence_loss",
    "train_rule",
    "training_curve",
    "weight_memory",
    "weights_over_time",
    "xor_datasets",
]
