"""Layer 2: learned optimizers, functions from meta-parameters to optax transformations, one family a file."""

from learned_opt.optimizers.averaging_lstm import averaging_lstm
from learned_opt.optimizers.dnc import DNCOptimizerState, dnc
from learned_opt.optimizers.hyperparameters import hyperparameters
from learned_opt.optimizers.lstm import LSTMState, lstm
from learned_opt.optimizers.mlp import MLPState, mlp_rule
from learned_opt.optimizers.proximal import ProximalState, proximal
from learned_opt.optimizers.proximal_lstm import ProximalLSTMState, proximal_lstm
from learned_opt.optimizers.proximal_rule import ProximalRuleState, proximal_rule
from learned_opt.optimizers.readout import Readout, TensorReadout, diagnose
from learned_opt.optimizers.registry import registry
from learned_opt.optimizers.safeguard import SafeguardState, safeguard
from learned_opt.optimizers.secant_lstm import SecantState, secant_lstm
from learned_opt.optimizers.smorms3 import SMORMS3State, smorms3
from learned_opt.optimizers.tensor_controller import TensorControllerState, tensor_controller

__all__ = [
    "DNCOptimizerState",
    "LSTMState",
    "MLPState",
    "ProximalLSTMState",
    "ProximalRuleState",
    "ProximalState",
    "Readout",
    "SMORMS3State",
    "SafeguardState",
    "SecantState",
    "TensorControllerState",
    "TensorReadout",
    "averaging_lstm",
    "diagnose",
    "dnc",
    "hyperparameters",
    "lstm",
    "mlp_rule",
    "proximal",
    "proximal_lstm",
    "proximal_rule",
    "registry",
    "safeguard",
    "secant_lstm",
    "smorms3",
    "tensor_controller",
]
