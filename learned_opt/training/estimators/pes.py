"""Persistent evolution strategies.

Reference:
    Vicol, Metz, Sohl-Dickstein, Unbiased gradient estimation in unrolled computation graphs with persistent
    evolution strategies, ICML 2021, algorithm 2.
"""

import dataclasses
from typing import Unpack

import jax
import jax.numpy as jnp

from learned_opt.core.sharding import on_every_device
from learned_opt.core.types import Array, Estimator, Key, LearnedOptimizer, Task, Theta
from learned_opt.training.estimators.evolution import (
    PairsState,
    along,
    check_noise,
    gaussian,
    in_pairs,
    persistent_pairs,
)
from learned_opt.training.estimators.settings import EvolutionSettings, registry
from learned_opt.training.estimators.truncation import Inner, truncated_unrolls
from learned_opt.training.objectives import Objective


def pes(
    lopt: LearnedOptimizer,
    task: Task,
    objective: Objective,
    *,
    sigma: float = 0.01,
    problem_clip_norm: float | None = None,
    **inner: Unpack[Inner],
) -> Estimator:
    r"""Evolution strategies in truncations without their bias: a loss is set against all the noise before it.

    .. math::

        \xi_{i,k} = \sum_{j \le k} \epsilon_{i,j}, \qquad
        \hat\nabla_k = \frac{1}{P} \sum_{i=1}^{P} \frac{\xi_{i,k}}{2 \sigma^2}
            \bigl(L_{i,k}^+ - L_{i,k}^-\bigr), \qquad \epsilon_{i,k} \sim N(0, \sigma^2 I)

    Each problem has two trajectories, which take truncation k with :math:`\theta + \epsilon_{i,k}` and
    :math:`\theta - \epsilon_{i,k}` and go on from where they came to, over the seams. At the horizon both
    start anew and :math:`\xi` is 0. With theta held fixed the estimates of a trajectory's truncations add up,
    in expectation, to the gradient of the whole smoothed meta-loss. Their variance grows with the number of
    truncations behind; with one truncation it is `es`.

    A pair of which a loss is not finite is left out of the mean, until its trajectory is over.

    Args:
        lopt: the learned optimizer.
        task: what its problems are drawn from.
        objective: the meta-objective of one trajectory; it need not be differentiable.
        sigma: deviation of the noise on each meta-parameter, new in each truncation.
        problem_clip_norm: norm that each pair's gradient is clipped to before the mean is taken.
        **inner: `horizon`, `truncation`, `num_problems` (P, the pairs) and `random_phases`, as
            `truncated_bptt` has them.

    Returns:
        The estimator. The meta-loss that it reports is the mean over the pairs.

    Raises:
        ValueError: if a number is out of its range or the truncation does not divide the horizon.

    Example:
        >>> from learned_opt.optimizers import lstm
        >>> from learned_opt.tasks import quadratic
        >>> from learned_opt.training.objectives import weighted_sum
        >>> lopt, key = lstm(hidden_sizes=(4,)), jax.random.key(0)
        >>> estimator = pes(lopt, quadratic(dim=2), weighted_sum(), horizon=4, truncation=2, num_problems=3)
        >>> theta = lopt.init(key)
        >>> state = jax.jit(estimator.init)(key, theta, ())
        >>> meta_gradient, state = jax.jit(estimator.estimate)(key, theta, state, ())
        >>> state.unrolls.step.shape, bool(meta_gradient.ends_trajectory)
        ((3,), False)

    Reference:
        Vicol et al. 2021, algorithm 2. Deviations: each pair has a problem of its own; clipping; the
        treatment of losses that are not finite. As there, it is unbiased as long as theta stands still
        during a trajectory: in training theta moves, and the older noise was on an older theta.
    """
    check_noise(sigma, problem_clip_norm)
    unrolls = truncated_unrolls(lopt, task, objective, **inner)

    def init(key: Key, theta: Theta) -> PairsState:
        no_noise = jax.tree.map(lambda t: jnp.zeros((unrolls.num_problems, *t.shape), t.dtype), theta)
        return PairsState(in_pairs(unrolls.begin(key, theta)), no_noise)

    def accumulated(ended: Array, before: Theta, noise: Theta) -> Theta:
        return jax.tree.map(lambda b, n: jnp.where(along(ended, b), 0, b) + n, before, noise)

    def draw(key: Key, theta: Theta, ended: Array, before: Theta) -> tuple[Theta, Theta]:
        noise = gaussian(key, theta, sigma, unrolls.num_problems)
        return noise, on_every_device(accumulated, ended, before, noise)

    return persistent_pairs(unrolls, init, draw, sigma, problem_clip_norm)


@registry.add
@dataclasses.dataclass(frozen=True, kw_only=True)
class Pes(EvolutionSettings):
    """Persistent evolution strategies: `pes` with an objective."""

    name = "pes"

    def make(self, lopt: LearnedOptimizer, task: Task) -> Estimator:
        """The estimator of the meta-gradient of a learned optimizer on a task."""
        return pes(lopt, task, self.objective(), sigma=self.sigma, **self.unrolls())
