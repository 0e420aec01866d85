"""Evolution strategies over families of problems of different architectures, relative to tuned Adam.

Reference:
    Salimans et al., Evolution strategies as a scalable alternative to reinforcement learning,
    arXiv:1703.03864, 2017: mirrored sampling. Metz et al., VeLO: training versatile learned optimizers by
    scaling up, arXiv:2211.09760, 2022: whole trajectories of many kinds of tasks, their horizons log-uniform.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from learned_opt.core.errors import check_above_zero, check_at_least
from learned_opt.core.sharding import each_its_share
from learned_opt.core.types import Array, Data, Estimator, Key, LearnedOptimizer, MetaGradient, Task, Theta
from learned_opt.training.estimators.horizons import log_uniform
from learned_opt.training.estimators.settings import UnrollSettings, registry
from learned_opt.training.estimators.truncation import divisors
from learned_opt.training.relative import Pool, log_ratio, measured_losses, pool, score, tuned_adam


@registry.add
@dataclasses.dataclass(frozen=True, kw_only=True)
class FamiliesEs(UnrollSettings):
    """Evolution strategies over the tasks of a mixture, relative to tuned Adam: `families_es`.

    Attributes:
        num_problems: of each family in a meta-step, unrolled side by side.
        min_horizon: horizons are drawn log-uniformly between it and the horizon, one for each family of a
            meta-step; `None` for one horizon.
        num_measurements: of the loss along the longest trajectory, at least; the steps between two of them
            divide the horizon.
        num_families: tasks of the mixture that are drawn in a meta-step; all where there are no more.
        num_pairs: of perturbed thetas, the same for all problems of a meta-step.
        pool_size: problems of each task, of which `num_problems` are drawn in a meta-step. Adam is swept on
            them once.
        sigma: deviation of the noise on theta.
        column_scales: factors on it, and on the outer steps, for the columns of theta's leaves.
        known_share: how often the rule is told the number of steps.
        average: the share by which a mean of theta moves towards theta after each meta-step, at first a plain
            mean of all; it is what is validated and kept. `None` for theta itself.
    """

    name = "families_es"

    num_problems: int = 4
    min_horizon: int | None = None
    num_measurements: int = 32
    num_families: int = 6
    num_pairs: int = 8
    pool_size: int = 16
    sigma: float = 0.1
    column_scales: tuple[float, ...] = ()
    known_share: float = 0.5
    average: float | None = None

    def __post_init__(self):
        super().__post_init__()
        check_at_least(
            1,
            num_measurements=self.num_measurements,
            num_families=self.num_families,
            num_pairs=self.num_pairs,
        )
        check_at_least(self.num_problems, pool_size=self.pool_size)
        check_above_zero(sigma=self.sigma)
        for scale in self.column_scales:
            check_above_zero(column_scales=scale)
        if self.min_horizon is not None and not 1 <= self.min_horizon <= self.horizon:
            raise ValueError(
                f"min_horizon={self.min_horizon!r}: give one between 1 and horizon={self.horizon}, or None"
            )
        if not 0 <= self.known_share <= 1:
            raise ValueError(f"known_share={self.known_share!r}: give a share from 0 to 1")
        if self.average is not None and not 0 < self.average <= 1:
            raise ValueError(f"average={self.average!r}: give a share above 0 and at most 1, or None")
        if self.window != 1:
            raise ValueError(f"window={self.window!r}: losses are measured on fixed batches; leave it at 1")

    @property
    def block(self) -> int:
        """Inner steps between two measurements."""
        return max(d for d in divisors(self.horizon) if d * self.num_measurements <= self.horizon or d == 1)

    @property
    def num_blocks(self) -> int:
        """Measurements along the longest trajectory."""
        return self.horizon // self.block

    def make(self, lopt: LearnedOptimizer, task: Task) -> Estimator:
        """The estimator of the meta-gradient of a learned optimizer on a task."""
        return families_es(lopt, task, self)

    def validation(self, lopt: LearnedOptimizer, task: Task, key: Key) -> Callable[[Theta], dict[str, Any]]:
        """The score at the horizon on fresh problems of every task, half of them with `num_steps` told."""
        return _validation(lopt, task, key, self)


def families_es(lopt: LearnedOptimizer, task: Task, settings: FamiliesEs) -> Estimator:
    r"""Finite differences of a score relative to tuned Adam, over whole trajectories of several tasks.

    .. math::

        \hat\nabla = \frac{1}{P} \sum_{p=1}^{P} \frac{1}{n} \sum_{i=1}^{n} \frac{\epsilon_i}{2 \sigma^2 d^2}
            \bigl(S_p(\theta + \epsilon_i) - S_p(\theta - \epsilon_i)\bigr), \qquad
        \epsilon_i \sim N(0, \sigma^2 \operatorname{diag}(d^2))

    with the score :math:`S_p` of `training.relative`: squashed logarithms of the loss over that of Adam with
    the best of 13 learning rates at the same step, on the same problem and the same fixed batches. In each
    meta-step some tasks of a mixture are drawn, for each of them a horizon and some problems of a pool, and
    whether `lopt.build` is told the number of steps. All problems see the same pairs. A task that is no
    mixture is one of itself.

    The state is the pools: their problems, and Adam's losses on them, which `init` makes.

    Args:
        lopt: the learned optimizer; where it is not told `num_steps`, it is given infinity.
        task: a mixture, whose tasks may have params of any structure, or another task.
        settings: all numbers.

    Returns:
        The estimator. The meta-loss that it reports is the mean score, 0 for tuned Adam and -1.1 for far
        ahead of it; the last loss that of the optimizees at the end.

    Raises:
        ValueError: in `estimate`, if `column_scales` are given and theta has a leaf with other columns.

    Example:
        >>> from learned_opt.optimizers import hyperparameters
        >>> from learned_opt.tasks import mixture, quadratic
        >>> lopt, key = hyperparameters("sgd", {"learning_rate": 0.02}), jax.random.key(0)
        >>> task = mixture((quadratic(dim=2), quadratic(dim=3)))
        >>> estimator = families_es(lopt, task, FamiliesEs(horizon=10, num_problems=2, num_pairs=2))
        >>> theta = lopt.init(key)
        >>> state = estimator.init(key, theta, task.data)
        >>> meta_gradient, state = estimator.estimate(key, theta, state, task.data)
        >>> bool(-1.1 <= meta_gradient.loss <= 1.3), bool(meta_gradient.ends_trajectory)
        (True, True)

    Reference:
        Salimans et al. 2017, algorithm 1, with mirrored sampling and without rank transformation, whose place
        the squashed score takes.
    """
    tasks = task.parts or (task,)
    drawn = min(settings.num_families, len(tasks))
    scores_of = [_scores(lopt, t, settings) for t in tasks]

    def init(key: Key, theta: Theta, data: Data) -> tuple[Pool, ...]:
        del theta
        return _pools(task, key, data, settings.pool_size, settings)

    def estimate(key: Key, theta: Theta, state: tuple[Pool, ...], data: Data):
        noise_key, family_key, horizon_key, known_key, problem_key = jax.random.split(key, 5)
        parts = _parts(task, data)
        deviations = _deviations(theta, settings)
        noise = _noise(noise_key, theta, settings.num_pairs)
        families = jax.random.choice(family_key, len(tasks), (drawn,), replace=False)
        meetings = _Meeting(
            families,
            jax.vmap(lambda key: _horizon(key, settings))(jax.random.split(horizon_key, drawn)),
            jax.random.uniform(known_key, (drawn,)) < settings.known_share,
            jax.random.split(problem_key, drawn),
        )

        def of_thetas(thetas: Theta, meetings: _Meeting, state: tuple[Pool, ...], parts: tuple):
            branches = [
                lambda m, i=i, scores=scores: scores(thetas, state[i], m, parts[i])
                for i, scores in enumerate(scores_of)
            ]
            scored, last = jax.lax.map(lambda m: jax.lax.switch(m.family, branches, m), meetings)
            # The thetas first, since each device has some of them.
            return jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1).reshape(x.shape[1], -1), (scored, last))

        thetas = jax.tree.map(
            lambda t, n, d: t[None] + jnp.concatenate([n, -n]) * d, theta, noise, deviations
        )
        scored, last = each_its_share(of_thetas, thetas, meetings, state, parts, combine="gather")
        grad = _gradient(noise, deviations, scored, settings.problem_clip_norm)
        finite = jnp.isfinite(last)
        last_loss = jnp.sum(jnp.where(finite, last, 0)) / jnp.sum(finite).astype(last.dtype)
        return MetaGradient(grad, jnp.mean(scored), last_loss, jnp.array(True)), state

    return Estimator(init, estimate)


class _Meeting(NamedTuple):
    """A family in a meta-step: its index, the number of blocks, whether the rule is told it, and a key."""

    family: Array
    made: Array
    known: Array
    key: Key


def _parts(task: Task, data: Data) -> tuple[Data, ...]:
    return data if task.parts else (data,)


def _pools(task: Task, key: Key, data: Data, size: int, settings: FamiliesEs) -> tuple[Pool, ...]:
    tasks, blocks = task.parts or (task,), (settings.block, settings.num_blocks)
    keys = jax.random.split(key, len(tasks))
    return tuple(pool(t, k, d, size, blocks) for t, k, d in zip(tasks, keys, _parts(task, data), strict=True))


def _horizon(key: Key, settings: FamiliesEs) -> Array:
    """Blocks of a trajectory."""
    if settings.min_horizon is None:
        return jnp.int32(settings.num_blocks)
    steps = log_uniform(settings.min_horizon, settings.horizon)(key, jnp.int32(0))
    return jnp.maximum(steps // settings.block, 1)


def _scores(lopt: LearnedOptimizer, task: Task, settings: FamiliesEs) -> Callable[..., tuple[Array, Array]]:
    """`scores(thetas, pool, meeting, data)`: scores and last losses, f32[num_thetas, num_problems]."""
    length, room = settings.block, settings.num_blocks

    def scores(thetas: Theta, known: Pool, meeting: _Meeting, data: Data) -> tuple[Array, Array]:
        chosen = jax.random.permutation(meeting.key, settings.pool_size)[: settings.num_problems]
        draws, first = jax.tree.map(lambda x: x[chosen], (known.draws, known.first))
        adam = tuned_adam(known.adam, meeting.made - 1)[chosen]
        steps = jnp.where(meeting.known, (length * meeting.made).astype(jnp.float32), jnp.inf)

        def one(theta: Theta, drawn: Any) -> Array:
            tx = lopt.build(theta, num_steps=steps)
            return measured_losses(tx, task, drawn, data, (length, room, meeting.made))[1]

        losses = jax.vmap(jax.vmap(one, (None, 0)), (0, None))(thetas, draws)
        ratio = log_ratio(losses, adam, first)
        return score(ratio, meeting.made, length), jnp.take(losses, meeting.made - 1, axis=2)

    return scores


def _deviations(theta: Theta, settings: FamiliesEs) -> Theta:
    """Of the noise on each leaf, arrays that broadcast against it with a leading axis of thetas."""

    def of_leaf(leaf: Array) -> Array:
        scales = np.asarray(settings.column_scales or 1.0, np.float32)
        if scales.ndim and leaf.shape[-1:] != scales.shape:
            raise ValueError(
                f"column_scales={settings.column_scales!r}: theta has a leaf of shape {leaf.shape}"
            )
        shape = (1,) * (leaf.ndim + 1 - scales.ndim) + scales.shape
        return jnp.asarray(settings.sigma * scales.reshape(shape), leaf.dtype)

    return jax.tree.map(of_leaf, theta)


def _noise(key: Key, theta: Theta, num_pairs: int) -> Theta:
    """Standard normal, leaves `(num_pairs,) + leaf.shape`."""
    leaves, treedef = jax.tree.flatten(theta)
    keys = jax.random.split(key, len(leaves))
    return treedef.unflatten(
        [
            jax.random.normal(k, (num_pairs, *leaf.shape), leaf.dtype)
            for k, leaf in zip(keys, leaves, strict=True)
        ]
    )


def _gradient(noise: Theta, deviations: Theta, scored: Array, clip_norm: float | None) -> Theta:
    """The mean over pairs and problems of scores f32[2 num_pairs, problems], each problem's share clipped."""
    num_pairs = scored.shape[0] // 2
    slopes = (scored[:num_pairs] - scored[num_pairs:]) / (2 * num_pairs)

    def of_leaf(noise: Array, deviation: Array) -> Array:
        return jnp.tensordot(slopes.astype(noise.dtype), noise, ((0,), (0,))) / deviation

    each = jax.tree.map(of_leaf, noise, deviations)
    if clip_norm is not None:
        square = sum(jnp.sum(jnp.square(g).reshape(len(g), -1), axis=1) for g in jax.tree.leaves(each))
        factors = jnp.minimum(1, clip_norm / jnp.sqrt(jnp.maximum(square, 1e-30)))
        each = jax.tree.map(lambda g: g * factors.reshape(-1, *(1,) * (g.ndim - 1)).astype(g.dtype), each)
    return jax.tree.map(lambda g: jnp.mean(g, axis=0), each)


def _validation(
    lopt: LearnedOptimizer, task: Task, key: Key, settings: FamiliesEs
) -> Callable[[Theta], dict[str, Any]]:
    size = settings.num_validation_problems
    each = dataclasses.replace(settings, num_problems=size, pool_size=size)
    tasks = task.parts or (task,)
    pools: list[Pool] = []

    @jax.jit
    def swept(key: Key, data: Data) -> tuple[Pool, ...]:
        return _pools(task, key, data, size, each)

    def of_task(part: Task) -> Callable[..., tuple[Array, Array]]:
        scores = _scores(lopt, part, each)

        @jax.jit
        def both(theta: Theta, known: Pool, data: Data) -> tuple[Array, Array]:
            def one(told: Array) -> tuple[Array, Array]:
                made = jnp.int32(each.num_blocks)
                meeting = _Meeting(jnp.int32(0), made, told, jax.random.key(0))
                return scores(jax.tree.map(lambda x: x[None], theta), known, meeting, data)

            return jax.vmap(one)(jnp.array([False, True]))

        return both

    functions = [of_task(part) for part in tasks]

    def validate(theta: Theta) -> dict[str, Any]:
        if not pools:
            pools.extend(swept(key, task.data))
        found = [
            f(theta, known, data)
            for f, known, data in zip(functions, pools, _parts(task, task.data), strict=True)
        ]
        scored, last = (np.concatenate(list(map(np.ravel, parts))) for parts in zip(*found, strict=True))
        return {
            # 1 is as good as tuned Adam, in logarithms, so that losses are positive as those of others are.
            "loss": float(np.exp(scored.mean())),
            "adam_loss": 1.0,
            "won": float((scored < 0).mean()),
            "diverged": float((~np.isfinite(last)).mean()),
        }

    return validate
