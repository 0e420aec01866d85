"""Bayes-optimal predictors: the limit that a learner of functions cannot go below.

Each is told the distribution that functions are drawn from and sees what a learner sees. It predicts the
mean of its posterior, which no other predictor beats in expected squared error.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from learned_opt.core.types import Array

Predictor = Callable[[Array, Array], Array]  # x f32[T, 2], y f32[T] -> f32[T], from y before each alone
Carry = tuple[
    Array, Array
]  # weights f32[n], or particles of them f32[num, n], and their covariance f32[n, n]
Row = tuple[Array, Array]  # features f32[n] and a value
Step = Callable[[Carry, Row], tuple[Carry, Array]]

PRIOR_VARIANCE = 1 / 3  # of a number that is uniform on [-1, 1]
# Observations are exact. The variance only keeps float32 from dividing rounding errors by each other.
NOISE_VARIANCE = 1e-5
CUBE_MARGIN = 0.01


def among_tables(tables: Array) -> Predictor:
    """The exact posterior mean over the equally likely truth tables f32[num_functions, 4]."""

    def predictor(x: Array, y: Array) -> Array:
        values = tables[:, row_of(x)]  # [num_functions, T]
        wrong = jnp.cumsum(jnp.abs(values - y[None, :]) > 0.5, axis=1)
        wrong_before = jnp.pad(wrong, ((0, 0), (1, 0)))[:, :-1]
        possible = (wrong_before == 0).astype(jnp.float32)
        # A function outside the set leaves none; then all of them count, and not none.
        possible = jnp.where(possible.sum(0, keepdims=True) > 0, possible, jnp.ones_like(possible))
        return (possible * values).sum(0) / possible.sum(0)

    return predictor


def among_switching_tables(tables: Array, hazard: float) -> Predictor:
    """The posterior mean where before each example another of the tables comes with a given probability.

    It is not told when: the function may change at any time, into one of the equally likely tables.
    """

    def predictor(x: Array, y: Array) -> Array:
        prior = jnp.full(tables.shape[0], 1 / tables.shape[0])

        def step(weights: Array, example: tuple[Array, Array]) -> tuple[Array, Array]:
            values, target = example
            fitting = jnp.where(jnp.abs(values - target) <= 0.5, weights, 0)
            total = fitting.sum()
            # A function outside the set leaves none; then all of them count, and not none.
            known = jnp.where(total > 0, fitting / jnp.where(total > 0, total, 1), prior)
            return (1 - hazard) * known + hazard * prior, weights @ values

        return jax.lax.scan(step, prior, (tables[:, row_of(x)].T, y))[1]

    return predictor


def row_of(x: Array) -> Array:
    """The row of a truth table, i32[...], for pairs of bits x f32[..., 2]: `2 x1 + x2`."""
    return (2 * x[..., 0] + x[..., 1]).astype(jnp.int32)


def linear_regression(
    features: Callable[[Array], Array],
    offset: float,
    scale: float,
    prior: Array | None = None,
    hazard: float | None = None,
) -> Predictor:
    """Bayesian linear regression of `y = offset + scale * w . features(x)` without noise.

    The weights' prior is replaced by a Gaussian of mean 0 and the same covariance `prior`, by default that
    of numbers uniform on [-1, 1]: what remains is the best predictor that is linear in the targets. As soon
    as there are as many examples as weights it knows the function, as the exact posterior does. With a
    hazard it is for functions that change, as `restarting` says.
    """

    def predictor(x: Array, y: Array) -> Array:
        a = jax.vmap(features)(x)
        start = jnp.zeros(a.shape[1], jnp.float32), _prior(a.shape[1]) if prior is None else prior
        _, outputs = jax.lax.scan(
            restarting(start, lambda mean, a: mean @ a, hazard), start, (a, (y - offset) / scale)
        )
        return offset + scale * outputs

    return predictor


def particles(
    features: Callable[[Array], Array],
    link: Callable[[Array], Array],
    inverse_link: Callable[[Array], Array],
    num_features: int,
    num_particles: int = 2048,
    hazard: float | None = None,
) -> Predictor:
    r"""The posterior mean of `y = link(w . features(x))` over weights uniform on [-1, 1], by particles.

    A noiseless example leaves a slice of the cube of weights, on which the posterior is uniform. The
    particles are draws from a Gaussian of the cube's variance, moved into the slice by the gain of linear
    regression, which makes them draws from the Gaussian on it. Each is weighted by the uniform density over
    the Gaussian one, :math:`1[w \in \text{cube}]\, e^{|w|^2 / 2 \sigma^2}`. They are always the same draws.
    With a hazard it is for functions that change, as `restarting` says.
    """

    def predictor(x: Array, y: Array) -> Array:
        a = jax.vmap(features)(x)
        half = jax.random.normal(jax.random.key(0), (num_particles // 2, num_features))
        # In pairs of opposite sign, so that the prior's mean is exact.
        w = jnp.sqrt(jnp.float32(PRIOR_VARIANCE)) * jnp.concatenate([half, -half])

        def posterior(w: Array) -> Array:
            inside = jnp.all(jnp.abs(w) <= 1 + CUBE_MARGIN, axis=1)
            size = jnp.square(w).sum(1) / (2 * PRIOR_VARIANCE)
            return jax.nn.softmax(size + jnp.where(inside, 0.0, -1e4))

        z, start = inverse_link(y), (w, _prior(num_features))
        step = restarting(start, lambda w, a: posterior(w) @ link(w @ a), hazard)
        if hazard is not None:
            return jax.lax.scan(step, start, (a, z))[1]
        # As many examples as weights leave a point of the slice, up to rounding; after twice as many, one
        # particle does for all.
        early = 2 * num_features
        (w, covariance), first = jax.lax.scan(step, start, (a[:early], z[:early]))
        _, rest = jax.lax.scan(
            lambda carry, row: _regress(carry, row, lambda w, a: link(w @ a)),
            (posterior(w) @ w, covariance),
            (a[early:], z[early:]),
        )
        return jnp.concatenate([first, rest])

    return predictor


def _prior(num_features: int) -> Array:
    return PRIOR_VARIANCE * jnp.eye(num_features, dtype=jnp.float32)


def restarting(start: Carry, predict: Callable[[Array, Array], Array], hazard: float | None) -> Step:
    """A step of regression where before each example another function comes with probability `hazard`.

    It is not told when. Where another function explains an example better than the one so far, by the odds
    of Gaussian densities and of the hazard, it starts anew with that example. For functions of continuous
    values that is all that there is to find out: the first value of another one contradicts the last. Two
    changes with fewer examples between them than a function has weights it may take for one; the exact
    posterior would weigh both. Without a hazard nothing changes.
    """
    if hazard is None:
        return lambda carry, row: _regress(carry, row, predict)

    def log_density(carry: Carry, row: Row) -> Array:
        (w, covariance), (a, z) = carry, row
        mean = w if w.ndim == 1 else w.mean(0)  # particles are in pairs, and their mean is the Gaussian's
        variance = a @ covariance @ a + NOISE_VARIANCE
        return -0.5 * (jnp.square(z - mean @ a) / variance + jnp.log(variance))

    def step(carry: Carry, row: Row) -> tuple[Carry, Array]:
        output = (1 - hazard) * predict(carry[0], row[0]) + hazard * predict(start[0], row[0])
        another = jnp.log(hazard) + log_density(start, row) > jnp.log1p(-hazard) + log_density(carry, row)
        carry = jax.tree.map(lambda first, now: jnp.where(another, first, now), start, carry)
        return _regress(carry, row, predict)[0], output

    return step


def _regress(carry: Carry, row: Row, predict: Callable[[Array, Array], Array]) -> tuple[Carry, Array]:
    """Predicts an example from weights, one vector or many, and then updates them with it."""
    (w, covariance), (a, z) = carry, row
    output = predict(w, a)
    gain = covariance @ a / (a @ covariance @ a + NOISE_VARIANCE)
    error = z - w @ a
    w = w + (error * gain if w.ndim == 1 else error[:, None] * gain[None, :])
    # Joseph's form, which stays positive where the shorter one does not.
    rest = jnp.eye(a.shape[0], dtype=jnp.float32) - jnp.outer(gain, a)
    covariance = rest @ covariance @ rest.T + NOISE_VARIANCE * jnp.outer(gain, gain)
    return (w, covariance), output
