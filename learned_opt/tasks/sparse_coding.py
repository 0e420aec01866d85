"""Sparse coding: recover a sparse code from its product with a dictionary.

References:
    Chen, Donoho, Saunders, Atomic decomposition by basis pursuit, SIAM Journal on Scientific Computing 20(1),
    1998: the l1 penalty.
    Blumensath, Davies, Iterative thresholding for sparse approximations, Journal of Fourier Analysis and
    Applications 14, 2008: the l0 penalty.
    Yuan, Lin, Model selection and estimation in regression with grouped variables, Journal of the Royal
    Statistical Society B 68(1), 2006: the group penalty.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from learned_opt.core.decompositions import largest_eigenvalue
from learned_opt.core.errors import check_at_least, unknown_name
from learned_opt.core.prox import block_soft_threshold, group_norms, hard_threshold, soft_threshold
from learned_opt.core.types import Array, Data, Key, Task
from learned_opt.tasks.dictionaries import (
    PatchCoding,
    SparseCoding,
    choose_patches,
    draw_dictionary,
    measure,
    patch_data,
    patch_dictionary,
    sample_code,
)
from learned_opt.tasks.registry import registry

CHOICES = {
    "dictionary": ("gaussian", "ill_conditioned", "natural_images"),
    "penalty": ("l1", "l0", "group"),
    "form": ("proximal", "subgradient"),
    "objective": ("penalized", "recovery"),
}
SUPPORT_LEVEL = 1e-3  # an entry below it counts as zero; the entries of a code have deviation 1
LEAST_NMSE = 1e-15


@registry.register
def sparse_coding(
    num_measurements: int = 25,
    num_atoms: int = 50,
    dictionary: Literal["gaussian", "ill_conditioned", "natural_images"] = "gaussian",
    condition_number: float = 50.0,
    sparsity: float = 0.1,
    snr_db: float | None = None,
    penalty: Literal["l1", "l0", "group"] = "l1",
    weight: float = 0.005,
    group_size: int = 1,
    form: Literal["proximal", "subgradient"] = "proximal",
    objective: Literal["penalized", "recovery"] = "penalized",
    dictionary_seed: int | None = None,
    optimum_steps: int = 0,
) -> Task:
    r"""Sparse codes of random signals in random dictionaries, with a penalty that makes them sparse.

    .. math::

        f(x) = \tfrac12 \|A x - y\|^2 + \lambda\, \Omega(x), \qquad
        y = A x^* + e, \qquad x_0 = 0

    where the penalty is the sum of absolute values, the number of nonzeros, or the sum of the norms of groups
    of neighbours:

    .. math::

        \Omega_{l1}(x) = \sum_i |x_i|, \qquad \Omega_{l0}(x) = \sum_i [x_i \ne 0], \qquad
        \Omega_{group}(x) = \sum_g \|x_g\|

    The columns of A have norm 1. `"gaussian"` draws its entries from N(0, 1/m). `"ill_conditioned"` replaces
    the singular values of such a matrix by a geometric sequence with the given ratio of the first to the last
    and then normalises the columns, which leaves a ratio of about 43 of 50 at 25x50 and of 49 at
    256x512.
    `"natural_images"` takes mean-free patches of two photographs, `sqrt(m)` pixels on a side; its patches lie
    in the task's data, and `batch` makes the dictionary of them.

    An entry of x* is active with probability `sparsity` and then standard normal; with the group penalty
    whole groups are. A code in which nothing is active gets one active entry (or group), so that every
    problem has something to recover. The noise e is Gaussian, its power `|A x*|^2` over the given ratio.

    With `form="proximal"` the optimizer sees the gradient of the quadratic part alone and the proximal
    operator of the penalty as `prox(params, step_size)`: put it into `learned_opt.optimizers.proximal`. With
    `form="subgradient"` it sees a subgradient of the whole, to which the number of nonzeros adds nothing.
    With `objective="recovery"` it sees the same, but the loss is the relative error of the code, which is
    what a rule for recovery is meta-trained on:

    .. math::

        \|x - x^*\|^2 / \|x^*\|^2

    The metrics are `nmse_db`, that error in decibels, at least -150; `support_f1`, the harmonic mean of
    precision and recall of the entries (or groups) above 1e-3; `objective`, the penalised f; and with
    `optimum_steps`, for the convex penalties, `gap`, the relative distance `(f(x) - f*) / f*` to the optimum.

    Args:
        num_measurements: m, rows of A; with `"natural_images"` a square.
        num_atoms: n, columns of A.
        dictionary: `"gaussian"`, `"ill_conditioned"` or `"natural_images"`.
        condition_number: of an ill-conditioned A before its columns are normalised, at least 1.
        sparsity: the probability of an active entry or group, above 0 and at most 1.
        snr_db: signal-to-noise ratio of y in decibels; `None` for no noise.
        penalty: `"l1"`, `"l0"` or `"group"`.
        weight: lambda, the weight of the penalty, at least 0.
        group_size: neighbours in a group, a divisor of n; used with `penalty="group"` only.
        form: what the optimizer sees, `"proximal"` or `"subgradient"`.
        objective: what the loss is, `"penalized"` or `"recovery"`.
        dictionary_seed: makes one dictionary for all problems; `None` for a new one each.
        optimum_steps: steps of the accelerated solver that finds f* for the metric `gap`; 0 leaves it out.

    Returns:
        The task; its params are one array f32[n]. `task.batch` returns the problem as a `SparseCoding`
        whatever the dictionary, and the losses see nothing but that.

    Raises:
        ValueError: if an argument is out of its range or does not fit another.

    Example:
        >>> task = sparse_coding(num_measurements=25, num_atoms=50)
        >>> problem = task.sample(jax.random.key(0))
        >>> x = task.init(jax.random.key(1), problem)
        >>> problem.dictionary.shape, x.shape
        ((25, 50), (50,))
        >>> gradient = jax.grad(task.smooth)(x, problem, task.batch(jax.random.key(2), problem, task.data))
        >>> step = task.prox(x - 0.1 * gradient, 0.1)
        >>> int(jnp.sum(step != 0)) < 50
        True

    Reference:
        The problem family is eq. 7 of the project's third paper; sizes, sparsity and weight follow the
        benchmark of Chen et al., Learning to optimize: a primer and a benchmark, JMLR 23, 2022.
    """
    m, n = num_measurements, num_atoms
    _check_choices(dictionary=dictionary, penalty=penalty, form=form, objective=objective)
    check_at_least(1, num_measurements=m, num_atoms=n)
    check_at_least(1, condition_number=condition_number, group_size=group_size)
    check_at_least(0, weight=weight)
    if not 0 < sparsity <= 1:
        raise ValueError(f"sparsity={sparsity!r}: it must be above 0 and at most 1")
    if penalty == "group" and n % group_size:
        raise ValueError(f"group_size={group_size!r}: it must divide num_atoms={n}")
    if optimum_steps < 0 or (optimum_steps and penalty == "l0"):
        raise ValueError(
            f"optimum_steps={optimum_steps!r}: it must not be negative, and 0 with penalty='l0', whose "
            "optimum no such solver finds"
        )
    entries = group_size if penalty == "group" else 1  # that are active together
    data = patch_data(m, n) if dictionary == "natural_images" else None

    def sample(key: Key) -> SparseCoding | PatchCoding:
        dictionary_key, code_key, noise_key = jax.random.split(key, 3)
        if dictionary_seed is not None:
            dictionary_key = jax.random.key(dictionary_seed)
        code = sample_code(code_key, n, sparsity, entries)
        noise = jax.random.normal(noise_key, (m,))
        if data is not None:
            return PatchCoding(choose_patches(dictionary_key, data.shape[0], n), code, noise)
        a = draw_dictionary(dictionary_key, m, n, None if dictionary == "gaussian" else condition_number)
        return measure(a, code, noise, snr_db)

    def batch(key: Key, problem: SparseCoding | PatchCoding, data: Data) -> SparseCoding:
        del key
        if isinstance(problem, SparseCoding):
            return problem
        return measure(patch_dictionary(data[problem.patches]), problem.code, problem.noise, snr_db)

    penalized = functools.partial(_penalized, penalty=penalty, weight=weight, group_size=group_size)
    prox = proximal_operator(penalty, weight, group_size)

    def metrics(params: Array, problem: SparseCoding | PatchCoding, data: Data) -> dict[str, Array]:
        seen = batch(jax.random.key(0), problem, data)
        found = {
            "nmse_db": 10 * jnp.log10(jnp.maximum(_recovery(params, problem, seen), LEAST_NMSE)),
            "support_f1": _support_f1(params, seen.code, entries),
            "objective": penalized(params, problem, seen),
        }
        if optimum_steps:
            optimum = penalized(_solve(seen, prox, optimum_steps), problem, seen)
            found["gap"] = (found["objective"] - optimum) / optimum
        return found

    visible = _quadratic_part if form == "proximal" else penalized
    return Task(
        sample,
        init=lambda key, problem: jnp.zeros(n),
        batch=batch,
        loss=penalized if objective == "penalized" else _recovery,
        data=() if data is None else data,
        metrics=metrics,
        smooth=None if (form, objective) == ("subgradient", "penalized") else visible,
        prox=prox if form == "proximal" else None,
    )


@functools.lru_cache
def proximal_operator(
    penalty: Literal["l1", "l0", "group"], weight: float, group_size: int
) -> Callable[[Array, Any], Array]:
    """`prox(x, step_size)` of a weighted penalty; the same function for the same arguments."""

    def prox(params: Array, step_size: Any) -> Array:
        scaled = weight * jnp.asarray(step_size, params.dtype)
        if penalty == "l1":
            return soft_threshold(params, scaled)
        if penalty == "l0":
            return hard_threshold(params, jax.lax.stop_gradient(jnp.sqrt(2 * scaled)))
        return block_soft_threshold(params, scaled, group_size)

    return prox


def _quadratic_part(params: Array, problem: Any, batch: SparseCoding) -> Array:
    del problem
    return 0.5 * jnp.sum(jnp.square(batch.dictionary @ params - batch.measurement))


def _penalized(
    params: Array, problem: Any, batch: SparseCoding, *, penalty: str, weight: float, group_size: int
) -> Array:
    return _quadratic_part(params, problem, batch) + weight * _penalty(params, penalty, group_size)


def _recovery(params: Array, problem: Any, batch: SparseCoding) -> Array:
    del problem
    return jnp.sum(jnp.square(params - batch.code)) / jnp.sum(jnp.square(batch.code))


def _penalty(x: Array, penalty: str, group_size: int) -> Array:
    if penalty == "l1":
        # The derivative of jnp.abs at 0 is 1; this one's is 0.
        return jnp.sum(x * jax.lax.stop_gradient(jnp.sign(x)))
    if penalty == "l0":
        return jnp.sum((x != 0).astype(x.dtype))
    return jnp.sum(group_norms(x, group_size))


def _support_f1(x: Array, code: Array, entries: int) -> Array:
    found, true = (jnp.any(jnp.abs(v).reshape(-1, entries) > SUPPORT_LEVEL, axis=1) for v in (x, code))
    hits = jnp.sum((found & true).astype(jnp.float32))
    return 2 * hits / jnp.maximum(jnp.sum(found.astype(jnp.float32)) + jnp.sum(true.astype(jnp.float32)), 1)


def _solve(problem: SparseCoding, prox: Callable[[Array, Any], Array], num_steps: int) -> Array:
    """The minimiser by accelerated proximal gradients that restart where momentum points uphill.

    O'Donoghue, Candes, Adaptive restart for accelerated gradient schemes, Foundations of Computational
    Mathematics 15, 2015, the gradient scheme.
    """
    a, _, y = problem
    step_size = 1 / largest_eigenvalue(a @ a.T)

    def step(state: tuple[Array, Array, Array], _) -> tuple[tuple[Array, Array, Array], None]:
        x, z, t = state
        new = prox(z - step_size * (a.T @ (a @ z - y)), step_size)
        t = jnp.where(jnp.sum((z - new) * (new - x)) > 0, 1.0, t)
        new_t = (1 + jnp.sqrt(1 + 4 * t * t)) / 2
        return (new, new + (t - 1) / new_t * (new - x), new_t), None

    zero = jnp.zeros(a.shape[1], a.dtype)
    (x, _, _), _ = jax.lax.scan(step, (zero, zero, jnp.ones([], a.dtype)), length=num_steps)
    return x


def _check_choices(**choices: str) -> None:
    for name, choice in choices.items():
        if choice not in CHOICES[name]:
            raise unknown_name(name, choice, CHOICES[name])
