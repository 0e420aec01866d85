"""Persistent evolution strategies.

Reference:
    Vicol, Metz, Sohl-Dickstein, Unbiased gradient estimation in unrolled computation graphs with persistent
    evolution strategies, ICML 2021, algorithm 2.
"""

from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp

from learned_opt.core.sharding import on_every_device
from learned_opt.core.types import Array, Data, Estimator, Key, LearnedOptimizer, Task, Theta
from learned_opt.training.antithetic import (
    Inner,
    along,
    both_signs,
    check_noise,
    evolution_gradient,
    gaussian,
    in_pairs,
    walk_pairs,
)
from learned_opt.training.objectives import Objective
from learned_opt.training.walkers import Walkers, replace, report, truncated_step


class PESState(NamedTuple):
    """Where the pairs stand.

    Attributes:
        walkers: one for each problem, with the params, the optimizer's state and the last losses of two
            trajectories, leading axes `(num_problems, 2)`.
        perturbation: the sum of the noise that each pair's trajectory has had so far, a tree like theta with
            leaves `(num_problems,) + leaf.shape`, whole on every device.
    """

    walkers: Walkers
    perturbation: Theta


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
        >>> state = estimator.init(key, theta, ())
        >>> meta_gradient, state = estimator.estimate(key, theta, state, ())
        >>> state.walkers.step.shape, bool(meta_gradient.ends_trajectory)
        ((3,), False)

    Reference:
        Vicol et al. 2021, algorithm 2. Deviations: each pair has a problem of its own; clipping; the
        treatment of losses that are not finite. As there, it is unbiased as long as theta stands still
        during a trajectory: in training theta moves, and the older noise was on an older theta.
    """
    check_noise(sigma, problem_clip_norm)
    step = truncated_step(lopt, task, objective, **inner)

    def init(key: Key, theta: Theta, data: Data) -> PESState:
        no_noise = jax.tree.map(lambda t: jnp.zeros((step.num_problems, *t.shape), t.dtype), theta)
        return PESState(in_pairs(step.begin(key, theta)), no_noise)

    def accumulated(ended: Array, perturbation: Theta, noise: Theta) -> Theta:
        return jax.tree.map(lambda p, n: jnp.where(along(ended, p), 0, p) + n, perturbation, noise)

    def estimate(key: Key, theta: Theta, state: PESState, data: Data):
        problem_key, noise_key = jax.random.split(key)
        ended, age = state.walkers.ended, state.walkers.age
        walkers = replace(ended, lambda: in_pairs(step.begin(problem_key, theta, age)), state.walkers)
        noise = gaussian(noise_key, theta, sigma, step.num_problems)
        perturbation = on_every_device(accumulated, ended, state.perturbation, noise)
        losses, walkers = walk_pairs(step.walk, both_signs(theta, noise), walkers, data)
        grad, loss = evolution_gradient(perturbation, losses, sigma, problem_clip_norm)
        return report(grad, loss, walkers), PESState(walkers, perturbation)

    return Estimator(init, estimate)
