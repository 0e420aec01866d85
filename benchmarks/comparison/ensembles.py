"""Optimizers meta-trained side by side in one program: every lambda with every seed."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from learned_opt import training
from learned_opt.core.types import Array, Key, LearnedOptimizer, Task, Theta
from learned_opt.meta import MetaState, Settings, initial_state, meta_steps

CALLS = 10  # that can be interrupted between


class Trained(NamedTuple):
    """What came out; all leaves have leading axes of lambdas and of seeds.

    Attributes:
        theta: after the last meta-step.
        gradient_norm: the largest of a meta-gradient before clipping, infinite where one was not finite.
    """

    theta: Theta
    gradient_norm: np.ndarray


def train(
    lopt: LearnedOptimizer, task: Task, settings: Settings, rate_weights: Sequence[float], num_seeds: int
) -> Trained:
    """Meta-trains with each lambda and each seed; those of one seed begin alike and see the same problems."""
    estimator, outer = settings.estimator, settings.make_outer_optimizer()

    def bptt(rate_weight: Array) -> Any:
        objective = estimator.objective() - training.convergence_rate() * rate_weight
        return training.truncated_bptt(
            lopt, task, objective, second_order=estimator.second_order, **estimator.unrolls()
        )

    def start(rate_weight: Array, key: Key) -> MetaState:
        theta_key, problem_key, _ = jax.random.split(key, 3)
        return initial_state(theta_key, problem_key, lopt.init, outer, bptt(rate_weight), task.data)

    def advance(rate_weight: Array, key: Key, state: MetaState, data: Any, num_steps: int) -> Any:
        step_key = jax.random.split(key, 3)[2]
        state, metrics = meta_steps(step_key, state, data, outer, bptt(rate_weight), num_steps)
        return state, jnp.max(jnp.where(jnp.isnan(metrics.gradient_norm), jnp.inf, metrics.gradient_norm))

    weights, seeds = jnp.meshgrid(jnp.float32(rate_weights), jnp.arange(num_seeds), indexing="ij")
    keys = jax.vmap(jax.random.key)(seeds.ravel())
    state = jax.jit(jax.vmap(start))(weights.ravel(), keys)
    norms, left = [], settings.num_meta_steps
    while left:
        num_steps = min(left, -(-settings.num_meta_steps // CALLS))
        step = _advanced(advance, num_steps)
        state, norm = step(weights.ravel(), keys, state, task.data)
        norms.append(np.asarray(norm))
        left -= num_steps
    theta = jax.tree.map(lambda leaf: np.asarray(leaf).reshape(*weights.shape, *leaf.shape[1:]), state.theta)
    return Trained(theta, np.max(norms, axis=0).reshape(weights.shape))


@functools.cache
def _advanced(advance: Any, num_steps: int) -> Any:
    lanes = jax.vmap(functools.partial(advance, num_steps=num_steps), (0, 0, 0, None))
    return jax.jit(lanes, donate_argnums=2)
