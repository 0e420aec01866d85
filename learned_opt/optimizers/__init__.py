"""Layer 2: learned optimizers, functions from meta-parameters to optax transformations, one family a file."""

from learned_opt.optimizers.hyperparameters import hyperparameters
from learned_opt.optimizers.lstm import LSTMState, lstm
from learned_opt.optimizers.mlp import MLPState, mlp_rule
from learned_opt.optimizers.proximal import ProximalState, proximal
from learned_opt.optimizers.proximal_lstm import ProximalLSTMState, proximal_lstm
from learned_opt.optimizers.registry import registry
from learned_opt.optimizers.schedules import cosine_factor
from learned_opt.optimizers.secant_lstm import SecantState, secant_lstm
from learned_opt.optimizers.tensor_controller import TensorControllerState, tensor_controller

__all__ = [
    "LSTMState",
    "MLPState",
    "ProximalLSTMState",
    "ProximalState",
    "SecantState",
    "TensorControllerState",
    "cosine_factor",
    "hyperparameters",
    "lstm",
    "mlp_rule",
    "proximal",
    "proximal_lstm",
    "registry",
    "secant_lstm",
    "tensor_controller",
]
