"""Noise-reuse evolution strategies.

Reference:
    Li, Harrison, Sohl-Dickstein, Smith, Metz, Variance-reduced gradient estimation via noise-reuse in online
    evolution strategies, NeurIPS 2023.
"""

import dataclasses
from typing import Unpack

import jax

from learned_opt.core.sharding import on_every_device
from learned_opt.core.types import Array, Estimator, Key, LearnedOptimizer, Task, Theta
from learned_opt.training.estimators.evolution import (
    PairsState,
    check_noise,
    gaussian,
    in_pairs,
    persistent_pairs,
)
from learned_opt.training.estimators.settings import EvolutionSettings, registry
from learned_opt.training.estimators.truncation import Inner, replace, truncated_unrolls
from learned_opt.training.objectives import Objective


def nres(
    lopt: LearnedOptimizer,
    task: Task,
    objective: Objective,
    *,
    sigma: float = 0.01,
    problem_clip_norm: float | None = None,
    **inner: Unpack[Inner],
) -> Estimator:
    r"""Evolution strategies in truncations without their bias: each trajectory keeps its noise to its end.

    .. math::

        \hat\nabla_k = \frac{1}{P} \sum_{i=1}^{P} \frac{\epsilon_i}{2 \sigma^2}
            \bigl(L_{i,k}^+ - L_{i,k}^-\bigr), \qquad \epsilon_i \sim N(0, \sigma^2 I)

    Each problem has two trajectories, unrolled with :math:`\theta + \epsilon_i` and
    :math:`\theta - \epsilon_i` over the seams of the truncations until the horizon; then new noise is drawn
    with the new problem. With theta held fixed the estimates of a trajectory's truncations sum to what `es`
    makes of the whole trajectory with the same noise, exactly. Nothing accumulates, so that the variance is
    below that of `pes` where the parts of a trajectory pull theta the same way.

    A pair of which a loss is not finite is left out of the mean, until its trajectory is over.

    Args:
        lopt: the learned optimizer.
        task: what its problems are drawn from.
        objective: the meta-objective of one trajectory; it need not be differentiable.
        sigma: deviation of the noise on each meta-parameter.
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
        >>> estimator = nres(lopt, quadratic(dim=2), weighted_sum(), horizon=4, truncation=2, num_problems=3)
        >>> theta = lopt.init(key)
        >>> state = jax.jit(estimator.init)(key, theta, ())
        >>> meta_gradient, state = jax.jit(estimator.estimate)(key, theta, state, ())
        >>> state.unrolls.step.shape, bool(meta_gradient.ends_trajectory)
        ((3,), False)

    Reference:
        Li et al. 2023, noise-reuse ES. Deviations: each pair has a problem of its own; clipping; the
        treatment of losses that are not finite. The paper has its workers at random phases, here
        `random_phases=True`.
    """
    check_noise(sigma, problem_clip_norm)
    unrolls = truncated_unrolls(lopt, task, objective, **inner)

    def fresh(key: Key, theta: Theta) -> Theta:
        return gaussian(key, theta, sigma, unrolls.num_problems)

    def init(key: Key, theta: Theta) -> PairsState:
        problem_key, noise_key = jax.random.split(key)
        return PairsState(in_pairs(unrolls.begin(problem_key, theta)), fresh(noise_key, theta))

    def renewed(key: Key, theta: Theta, ended: Array, noise: Theta) -> Theta:
        return replace(ended, lambda: fresh(key, theta), noise)

    def draw(key: Key, theta: Theta, ended: Array, noise: Theta) -> tuple[Theta, Theta]:
        noise = on_every_device(renewed, key, theta, ended, noise)
        return noise, noise

    return persistent_pairs(unrolls, init, draw, sigma, problem_clip_norm)


@registry.add
@dataclasses.dataclass(frozen=True, kw_only=True)
class Nres(EvolutionSettings):
    """Noise-reuse evolution strategies: `nres` with an objective."""

    name = "nres"

    def make(self, lopt: LearnedOptimizer, task: Task) -> Estimator:
        """The estimator of the meta-gradient of a learned optimizer on a task."""
        return nres(lopt, task, self.objective(), sigma=self.sigma, **self.unrolls())
