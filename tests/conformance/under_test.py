"""What every optimizer must do is tested on these; a family takes part by being in the table."""

import functools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax
import pytest

from learned_opt.core.types import LearnedOptimizer, Theta
from learned_opt.optimizers import (
    averaging_lstm,
    dnc,
    hyperparameters,
    lstm,
    mlp_rule,
    proximal_lstm,
    proximal_rule,
    secant_lstm,
    tensor_controller,
)


class Case(NamedTuple):
    """An optimizer under test.

    Attributes:
        lopt: the learned optimizer.
        own: whether the rule is ours; what optax's rules do with leaves that are no real numbers and
            with numbers that are not finite is up to optax.
        counts: whether its state counts updates.
        factored: whether a coordinate's update depends on its row and column, and the state has leaves for
            those.
        apart: whether what becomes of a tensor does not depend on other tensors.
        cosine: whether its updates over a known number of steps are its others times half a cosine; else it
            plans them, and they only have to end at zero.
    """

    lopt: LearnedOptimizer
    own: bool = True
    counts: bool = True
    factored: bool = False
    apart: bool = True
    cosine: bool = True


UNDER_TEST = {
    "lstm": Case(lstm()),
    "lstm-one-layer": Case(lstm(hidden_sizes=(4,))),
    "lstm-normalized": Case(lstm(hidden_sizes=(4, 3), inputs="normalized")),
    "lstm-normalized-and-size": Case(lstm(hidden_sizes=(4,), inputs="normalized_and_size")),
    "lstm-bfloat16-state": Case(lstm(hidden_sizes=(4,), inputs="normalized", state_dtype="bfloat16")),
    "averaging-lstm": Case(averaging_lstm((4, 3), averaging_cells=2), apart=False),
    "dnc-coordinate": Case(dnc("coordinate", hidden_size=4, num_slots=5, word_size=4)),
    "dnc-tensor": Case(dnc("tensor", hidden_size=4, num_slots=5, word_size=4), factored=True),
    "secant-lstm": Case(secant_lstm(hidden_sizes=(4, 3))),
    "proximal-lstm": Case(proximal_lstm(hidden_sizes=(4, 3))),
    "proximal-lstm-free": Case(proximal_lstm(hidden_sizes=(4,), tied=False)),
    "proximal-rule": Case(proximal_rule(lstm(hidden_sizes=(4,)))),
    "mlp-rule": Case(mlp_rule(), factored=True),
    "tensor-controller": Case(tensor_controller(), factored=True, cosine=False),
    "tensor-controller-lite": Case(tensor_controller(orthogonal=False), factored=True, cosine=False),
    "hyperparameters-adam": Case(
        hyperparameters("adam", {"learning_rate": 0.1, "b1": 0.9, "b2": 0.99}), own=False
    ),
    "hyperparameters-sgd": Case(
        hyperparameters("sgd", {"learning_rate": 0.1, "momentum": 0.5}), own=False, counts=False
    ),
}
OWN = [name for name, case in UNDER_TEST.items() if case.own]

every = pytest.mark.parametrize("name", UNDER_TEST)
# What some of optax's own arithmetic, and its derivatives, need of jax.
standard_promotion = jax.numpy_dtype_promotion("standard")
every_own = pytest.mark.parametrize("name", OWN)


@functools.cache
def theta_of(name: str) -> Theta:
    return UNDER_TEST[name].lopt.init(jax.random.key(0))


@functools.cache  # the same transformation, so that jit knows it again
def build(name: str, **kwargs) -> optax.GradientTransformationExtraArgs:
    return UNDER_TEST[name].lopt.build(theta_of(name), **kwargs)


@functools.cache
def gradient_of_update_size(name: str):
    """With respect to theta, of a first update; compiled once for all gradients of a shape."""

    def update_size(theta, params, gradients):
        tx = UNDER_TEST[name].lopt.build(theta)
        return optax.tree.norm(tx.update(gradients, tx.init(params))[0])

    return jax.jit(jax.grad(update_size))


def small(seed: int = 0):
    """A tree of two leaves, where the containers do not matter."""
    keys = jax.random.split(jax.random.key(seed))
    return {"b": jax.random.normal(keys[0], (3,)), "w": jax.random.normal(keys[1], (2, 2))}


def stack(trees):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def run(tx, params, gradients):
    """The updates and the state after some gradients in a row."""
    state, all_updates = tx.init(params), []
    for g in gradients:
        updates, state = jax.jit(tx.update)(g, state, params)
        all_updates.append(updates)
    return all_updates, state


def assert_close(a, b, rtol=1e-5, atol=1e-7):
    chex.assert_trees_all_close(a, b, rtol=rtol, atol=atol)
