"""Backpropagation and evolution strategies, each weighted by its inverse variance.

Reference:
    Metz, Maheswaranathan, Nixon, Freeman, Sohl-Dickstein, Understanding and correcting pathologies in the
    training of learned optimizers, ICML 2019.
"""

import dataclasses
import functools
from typing import Unpack

import jax
import jax.numpy as jnp
import optax

from learned_opt.core.types import Array, Data, Estimator, LearnedOptimizer, Task, Theta
from learned_opt.training.estimators.evolution import (
    along,
    check_noise,
    mean_over_pairs,
    pair_slopes,
    restarted_pairs,
)
from learned_opt.training.estimators.settings import EvolutionSettings, registry
from learned_opt.training.estimators.truncation import Inner, UnrollState, truncated_unrolls
from learned_opt.training.objectives import Objective

MIN_VARIANCE = 1e-30  # its inverse is still a float32 number


def blend(
    lopt: LearnedOptimizer,
    task: Task,
    objective: Objective,
    *,
    sigma: float = 0.01,
    second_order: bool = False,
    problem_clip_norm: float | None = None,
    **inner: Unpack[Inner],
) -> Estimator:
    r"""The mean of backpropagation and evolution strategies, weighted by inverse variance.

    Both estimate the gradient of the same smoothed meta-loss, from the same pairs of unrolls:

    .. math::

        g_i &= \tfrac{1}{2} \bigl(\nabla L_i(\theta + \epsilon_i)
            + \nabla L_i(\theta - \epsilon_i)\bigr), \qquad
        e_i = \frac{\epsilon_i}{2 \sigma^2} \bigl(L_i(\theta + \epsilon_i) - L_i(\theta - \epsilon_i)\bigr) \\
        \hat\nabla &= \frac{\bar g\, / \operatorname{Var} g + \bar e\, / \operatorname{Var} e}
            {1 / \operatorname{Var} g + 1 / \operatorname{Var} e}, \qquad
        \epsilon_i \sim N(0, \sigma^2 I)

    Mean and variance are over the problems i, for each meta-parameter by itself. Where trajectories are tame
    the gradient decides; where they are chaotic its variance explodes and evolution strategies take over.
    Where the gradient of a meta-parameter is not finite in some problem, evolution strategies decide alone;
    a pair with a loss that is not finite is left out of them.

    Truncations are as in `es`: both signs start from the same state, and theta itself leads to the next.

    Args:
        lopt: the learned optimizer.
        task: what its problems are drawn from.
        objective: the meta-objective of one trajectory.
        sigma: deviation of the noise on each meta-parameter.
        second_order: whether to differentiate through the optimizee's gradients. First-order
            backpropagation estimates another quantity than evolution strategies do, which the weights do
            not account for.
        problem_clip_norm: norm that each problem's two estimates are clipped to, each by itself.
        **inner: `horizon`, `truncation`, `num_problems` and `random_phases`, as `truncated_bptt` has them.

    Returns:
        The estimator. The meta-loss that it reports is the mean over the pairs.

    Raises:
        ValueError: if a number is out of its range, there are fewer than two problems to tell a variance
            from, or the truncation does not divide the horizon.

    Example:
        >>> from learned_opt.optimizers import lstm
        >>> from learned_opt.tasks import quadratic
        >>> from learned_opt.training.objectives import weighted_sum
        >>> lopt, key = lstm(hidden_sizes=(4,)), jax.random.key(0)
        >>> estimator = blend(lopt, quadratic(dim=2), weighted_sum(), horizon=4, truncation=2, num_problems=3)
        >>> theta = lopt.init(key)
        >>> state = jax.jit(estimator.init)(key, theta, ())
        >>> meta_gradient, state = jax.jit(estimator.estimate)(key, theta, state, ())
        >>> state.step.tolist(), bool(meta_gradient.ends_trajectory)
        ([2, 2, 2], False)

    Reference:
        Metz et al. 2019. Deviations: the variances are of one meta-step's problems and are not
        averaged over meta-steps; since they are from the same problems as the means, the blend has a bias
        that falls with the number of problems: take tens of them, not a few.
    """
    check_noise(sigma, problem_clip_norm)
    unrolls = truncated_unrolls(lopt, task, objective, second_order=second_order, **inner)
    if unrolls.num_problems < 2:
        raise ValueError(f"num_problems={unrolls.num_problems}: the variance needs at least 2")

    def unroll(theta: Theta, state: UnrollState, data: Data) -> tuple[Array, UnrollState, Theta]:
        (loss, state), grad = jax.value_and_grad(unrolls.unroll, has_aux=True)(theta, state, data)
        return loss, state, grad

    def gradient(noise: Theta, losses: Array, grads: Theta) -> tuple[Theta, Array]:
        backpropagated = jax.tree.map(lambda g: jnp.mean(g, axis=1), grads)
        if problem_clip_norm is not None:
            clip = functools.partial(optax.projections.projection_l2_ball, scale=problem_clip_norm)
            backpropagated = jax.vmap(clip)(backpropagated)
        slopes, finite = pair_slopes(noise, losses, sigma, problem_clip_norm)
        evolved = jax.tree.map(lambda n: along(slopes, n) * n, noise)
        grad = jax.tree.map(lambda g, e: inverse_variance_mean(g, e, finite), backpropagated, evolved)
        return grad, mean_over_pairs(losses, finite)

    return restarted_pairs(unrolls, sigma, unroll, gradient)


def inverse_variance_mean(one: Array, other: Array, counted: Array) -> Array:
    """The mean of two estimates of one number, each weighted by the inverse of its mean's variance.

    Samples f32[n, ...] of each; `counted`, bool[n], says which of the other's count. The first has no weight
    where a sample is not finite, the other with fewer than two that count; NaN where neither has.
    """
    (mean, weight), (other_mean, other_weight) = (
        _mean_and_weight(one, jnp.ones_like(counted)),
        _mean_and_weight(jnp.where(along(counted, other), other, 0), counted),
    )
    share = weight / (weight + other_weight)
    # An estimate without weight may be NaN, and a product with 0 would keep that. Where neither has weight
    # the share is NaN, and so is the mean.
    return jnp.where(share == 0, 0, share * mean) + jnp.where(share == 1, 0, (1 - share) * other_mean)


def _mean_and_weight(samples: Array, counted: Array) -> tuple[Array, Array]:
    """The mean of the samples that count, and the inverse of its variance, 0 where there is none."""
    n = jnp.sum(counted).astype(samples.dtype)
    mean = jnp.sum(samples, axis=0) / n
    squares = jnp.where(along(counted, samples), jnp.square(samples - mean[None]), 0)
    variance = jnp.sum(squares, axis=0) / ((n - 1) * n)
    usable = jnp.isfinite(variance) & (n > 1)
    return mean, jnp.where(usable, 1 / jnp.maximum(variance, MIN_VARIANCE), 0)


@registry.add
@dataclasses.dataclass(frozen=True, kw_only=True)
class Blend(EvolutionSettings):
    """Backpropagation and evolution strategies: `blend` with an objective.

    Attributes:
        second_order: whether to differentiate through the optimizee's gradients.
    """

    name = "blend"

    second_order: bool = False

    def __post_init__(self):
        super().__post_init__()
        if self.num_problems < 2:
            raise ValueError(f"num_problems={self.num_problems}: estimator='blend' needs at least 2")

    def make(self, lopt: LearnedOptimizer, task: Task) -> Estimator:
        """The estimator of the meta-gradient of a learned optimizer on a task."""
        return blend(
            lopt,
            task,
            self.objective(),
            sigma=self.sigma,
            second_order=self.second_order,
            **self.unrolls(),
        )
