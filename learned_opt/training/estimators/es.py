"""Antithetic evolution strategies.

Reference:
    Salimans et al., Evolution strategies as a scalable alternative to reinforcement learning,
    arXiv:1703.03864, 2017. In truncations: Vicol, Metz, Sohl-Dickstein, Unbiased gradient estimation in
    unrolled computation graphs with persistent evolution strategies, ICML 2021, algorithm 1.
"""

import dataclasses
from typing import Unpack

from learned_opt.core.types import Array, Data, Estimator, LearnedOptimizer, Task, Theta
from learned_opt.training.estimators.evolution import check_noise, evolution_gradient, restarted_pairs
from learned_opt.training.estimators.settings import EvolutionSettings, registry
from learned_opt.training.estimators.truncation import Inner, UnrollState, truncated_unrolls
from learned_opt.training.objectives import Objective


def es(
    lopt: LearnedOptimizer,
    task: Task,
    objective: Objective,
    *,
    sigma: float = 0.01,
    problem_clip_norm: float | None = None,
    **inner: Unpack[Inner],
) -> Estimator:
    r"""Finite differences of the meta-loss along random directions, one antithetic pair for each problem.

    .. math::

        \hat\nabla = \frac{1}{P} \sum_{i=1}^{P} \frac{\epsilon_i}{2 \sigma^2}
            \bigl(L_i(\theta + \epsilon_i) - L_i(\theta - \epsilon_i)\bigr), \qquad
        \epsilon_i \sim N(0, \sigma^2 I)

    where :math:`L_i` is the objective's share of one truncation of problem i, from the same state for both
    signs. It estimates the gradient of the meta-loss smoothed by the noise: chaotic trajectories leave it
    bounded. Its variance grows with the number of meta-parameters and not with the truncation.

    From one truncation to the next the trajectories go on with theta as it is. As in `truncated_bptt`, what
    the state that a truncation starts from owes to theta is left out, so that truncations shorter than the
    horizon bias it; `pes` and `nres` are without that bias.

    A pair of which a loss is not finite is left out of the mean.

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
        >>> import jax
        >>> from learned_opt.optimizers import lstm
        >>> from learned_opt.tasks import quadratic
        >>> from learned_opt.training.objectives import weighted_sum
        >>> lopt, key = lstm(hidden_sizes=(4,)), jax.random.key(0)
        >>> estimator = es(lopt, quadratic(dim=2), weighted_sum(), horizon=4, truncation=2, num_problems=3)
        >>> theta = lopt.init(key)
        >>> state = jax.jit(estimator.init)(key, theta, ())
        >>> meta_gradient, state = jax.jit(estimator.estimate)(key, theta, state, ())
        >>> state.step.tolist(), bool(meta_gradient.ends_trajectory)
        ([2, 2, 2], False)

    Reference:
        Salimans et al. 2017, algorithm 1, with their mirrored sampling and without rank transformation; Vicol
        et al. 2021, algorithm 1. Deviations: each pair has a problem of its own; clipping; the treatment of
        losses that are not finite.
    """
    check_noise(sigma, problem_clip_norm)
    unrolls = truncated_unrolls(lopt, task, objective, **inner)

    def unroll(theta: Theta, state: UnrollState, data: Data) -> tuple[Array, UnrollState, tuple[()]]:
        return *unrolls.unroll(theta, state, data), ()

    def gradient(noise: Theta, losses: Array, others: tuple[()]) -> tuple[Theta, Array]:
        return evolution_gradient(noise, losses, sigma, problem_clip_norm)

    return restarted_pairs(unrolls, sigma, unroll, gradient)


@registry.add
@dataclasses.dataclass(frozen=True, kw_only=True)
class Es(EvolutionSettings):
    """Evolution strategies: `es` with an objective."""

    name = "es"

    def make(self, lopt: LearnedOptimizer, task: Task) -> Estimator:
        """The estimator of the meta-gradient of a learned optimizer on a task."""
        return es(lopt, task, self.objective(), sigma=self.sigma, **self.unrolls())
