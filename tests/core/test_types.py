"""Callable objects in the place of functions."""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import learned_opt
from learned_opt.core import LearnedOptimizer, Task, soft_threshold
from learned_opt.optimizers import proximal


class Module(eqx.Module):
    scale: jax.Array

    def __call__(self, params, problem, batch):
        return self.scale * jnp.sum(jnp.square(params - problem))


@dataclasses.dataclass
class Dataclass:
    scale: float

    def __call__(self, params, problem, batch):
        return jnp.float32(self.scale) * jnp.sum(jnp.square(params - problem))


@dataclasses.dataclass
class Draw:
    shape: tuple[int, ...]

    def __call__(self, key, *rest):
        return jax.random.normal(key, self.shape)


class Decay(eqx.Module):
    rate: jax.Array

    def __call__(self, count):
        return self.rate / (1 + count.astype(jnp.float32))


OBJECTS = {"module": lambda: Module(jnp.float32(2)), "dataclass": lambda: Dataclass(2.0)}
objects = pytest.mark.parametrize("loss", [make() for make in OBJECTS.values()], ids=list(OBJECTS))


def task_of(loss: Callable, **fields) -> Task:
    return Task(Draw((3,)), Draw((3,)), lambda key, problem, data: (), loss, **fields)


@objects
def test_a_task_of_objects_is_one_of_functions(loss):
    task = task_of(loss)
    assert hash(task) == hash(task._replace(loss=loss))
    plain = task_of(lambda *args: loss(*args))
    curves, expected = (
        learned_opt.evaluate(optax.adam(0.1), t, num_steps=3, num_problems=2) for t in (task, plain)
    )
    np.testing.assert_allclose(curves, expected, rtol=1e-6)


@objects
def test_fields_that_are_replaced_are_hashed_too(loss):
    task = learned_opt.tasks.quadratic(dim=2)._replace(smooth=loss, loss=loss)
    assert task.loss == task.smooth
    assert hash(task)
    assert isinstance(task, Task)
    assert task._replace(loss=task.smooth) == task


def test_meta_training_on_objects():
    task = task_of(Module(jnp.float32(2)), smooth=Dataclass(1.0))
    lopt = learned_opt.optimizers.lstm(hidden_sizes=(2,))
    run = learned_opt.meta_train(
        LearnedOptimizer(lopt.init, lopt.build),
        task,
        horizon=2,
        truncation=2,
        num_meta_steps=1,
        num_problems=2,
        num_validation_problems=2,
    )
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(run.theta))


def test_step_sizes_that_are_modules():
    tx = proximal(optax.sgd(0.5), soft_threshold, step_size=Decay(jnp.float32(0.5)))
    x, state = jnp.float32([2.0, 0.1]), tx.init(jnp.zeros(2))
    for step_size in (0.5, 0.25):
        updates, state = jax.jit(tx.update)(x, state, x)
        np.testing.assert_allclose(x + updates, soft_threshold(0.5 * x, step_size), rtol=1e-6)


def test_data_that_can_be_called_stays_what_it_is():
    data = Decay(jnp.ones(2))
    assert task_of(Dataclass(1.0), data=data).data is data
