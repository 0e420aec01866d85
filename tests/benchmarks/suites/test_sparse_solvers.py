"""The reference solvers against high-precision optima and known bounds."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import Lasso

from benchmarks.suites.sparse_coding.iterative import (
    approximate_message_passing,
    bayes_message_passing,
    fista,
    iterative_hard_thresholding,
    lipschitz,
    normalized_hard_thresholding,
    orthogonal_matching_pursuit,
    proximal_gradient,
)
from learned_opt.core.prox import group_norms
from learned_opt.tasks import SparseCoding, sparse_coding

WEIGHT = 0.05
L1 = sparse_coding(20, 40, weight=WEIGHT)
L0 = sparse_coding(20, 40, weight=WEIGHT, penalty="l0")
GROUP_WEIGHT = 0.3
GROUP = sparse_coding(20, 40, weight=GROUP_WEIGHT, penalty="group", group_size=4)


@functools.cache
def solve(solver, task, num_steps: int, **arguments) -> tuple[SparseCoding, np.ndarray]:
    """Three problems and the solver's iterates on them."""
    problems = jax.vmap(task.sample)(jax.random.split(jax.random.key(0), 3))
    run = jax.jit(jax.vmap(lambda p: solver(p, num_steps, **arguments)))
    return problems, run(problems)


def values(task, problems, iterates) -> np.ndarray:
    """The objective along the iterates, f64[3, num_steps + 1]."""
    over_steps = jax.vmap(lambda x, p: task.loss(x, p, p), in_axes=(0, None))
    return np.asarray(jax.jit(jax.vmap(over_steps))(iterates, problems), np.float64)


@functools.cache
def lasso_optima() -> tuple[np.ndarray, np.ndarray]:
    """Codes and values by coordinate descent in double precision."""
    problems, _ = solve(proximal_gradient, L1, 1, prox=L1.prox)
    codes, optima = [], []
    for a, y in zip(np.float64(problems.dictionary), np.float64(problems.measurement), strict=True):
        # scikit-learn divides the squared error by the number of rows.
        model = Lasso(alpha=WEIGHT / len(y), fit_intercept=False, tol=1e-14, max_iter=1_000_000)
        x = model.fit(a, y).coef_
        codes.append(x)
        optima.append(0.5 * np.sum((a @ x - y) ** 2) + WEIGHT * np.abs(x).sum())
    return np.array(codes), np.array(optima)


@pytest.mark.parametrize("solver", [proximal_gradient, fista])
def test_starts_at_zero_and_gives_every_iterate(solver):
    problems, iterates = solve(solver, L1, 7, prox=L1.prox)
    assert iterates.shape == (3, 8, 40)
    assert not np.any(iterates[:, 0])
    step = 1 / jax.vmap(lipschitz)(problems.dictionary)
    moved = step[:, None] * jnp.einsum("bij,bi->bj", problems.dictionary, problems.measurement)
    np.testing.assert_allclose(iterates[:, 1], jax.vmap(L1.prox)(moved, step), atol=1e-5)
    _, longer = solve(solver, L1, 9, prox=L1.prox)
    np.testing.assert_allclose(longer[:, :8], iterates, atol=1e-6)


@pytest.mark.parametrize(("solver", "steps"), [(proximal_gradient, 3000), (fista, 600)])
def test_solves_the_lasso_as_scikit_learn_does(solver, steps: int):
    problems, iterates = solve(solver, L1, steps, prox=L1.prox)
    codes, optima = lasso_optima()
    np.testing.assert_allclose(iterates[:, -1], codes, atol=2e-3)
    gaps = values(L1, problems, iterates)[:, -1] / optima - 1
    np.testing.assert_allclose(gaps, 0, atol=2e-6)


def test_lipschitz_constant_is_the_largest_eigenvalue():
    a = L1.sample(jax.random.key(3)).dictionary
    assert float(lipschitz(a)) == pytest.approx(np.linalg.norm(np.float64(a), 2) ** 2, rel=1e-5)


def test_fista_keeps_its_bound_and_ista_its_own():
    """F(x_k) - F* is at most 2 L |x*|^2 / (k + 1)^2, and L |x*|^2 / (2 k) without acceleration."""
    codes, optima = lasso_optima()
    k = np.arange(1, 201)
    bounds = {fista: 2 / (k + 1) ** 2, proximal_gradient: 1 / (2 * k)}
    for solver, bound in bounds.items():
        problems, iterates = solve(solver, L1, 200, prox=L1.prox)
        gaps = values(L1, problems, iterates)[:, 1:] - optima[:, None]
        scale = np.asarray(jax.vmap(lipschitz)(problems.dictionary)) * np.sum(codes**2, axis=1)
        assert np.all(gaps <= scale[:, None] * bound + 1e-6)


def test_ista_never_rises():
    for task in (L1, L0, GROUP):
        problems, iterates = solve(proximal_gradient, task, 200, prox=task.prox)
        f = values(task, problems, iterates)
        assert np.all(np.diff(f) <= 1e-6 * f[:, :1])


@pytest.mark.parametrize(("solver", "steps"), [(proximal_gradient, 4000), (fista, 1000)])
def test_block_solvers_meet_the_optimality_conditions(solver, steps: int):
    """On an active group A_g^T (y - A x) is weight x_g / |x_g|; elsewhere its norm is at most the weight."""
    problems, iterates = solve(solver, GROUP, steps, prox=GROUP.prox)
    num_active = 0
    for a, y, x in zip(problems.dictionary, problems.measurement, iterates[:, -1], strict=True):
        correlations = (a.T @ (y - a @ x)).reshape(-1, 4)
        norms = np.asarray(group_norms(x, 4))
        active = norms > 0
        directions = GROUP_WEIGHT * np.asarray(x).reshape(-1, 4)[active] / norms[active, None]
        np.testing.assert_allclose(correlations[active], directions, atol=1e-4)
        assert np.all(np.linalg.norm(correlations[~active], axis=1) <= GROUP_WEIGHT * (1 + 1e-3))
        num_active += np.sum(active)
    assert 0 < num_active < 30  # of ten groups in each of three problems


def test_hard_thresholding_of_penalised_form_ends_at_a_fixed_point():
    """Its nonzeros lie above the threshold and solve the least squares of their columns."""
    problems, iterates = solve(proximal_gradient, L0, 3000, prox=L0.prox)
    found = map(np.asarray, (problems.dictionary, problems.measurement, iterates[:, -1]))
    for a, y, x in zip(*found, strict=True):
        support = x != 0
        assert np.min(np.abs(x[support])) >= np.sqrt(2 * WEIGHT / float(lipschitz(a)))
        np.testing.assert_allclose(a[:, support].T @ (y - a @ x), 0, atol=1e-3)


@pytest.mark.parametrize(
    ("solver", "steps", "arguments"),
    [
        (iterative_hard_thresholding, 300, {"num_nonzeros": 8}),
        (normalized_hard_thresholding, 40, {"num_nonzeros": 8}),
        (orthogonal_matching_pursuit, 8, {"weight": 1e-4}),
    ],
)
def test_sparse_codes_are_found(solver, steps: int, arguments):
    """Never more than 8 entries are kept, and the code is found where that is no sparser than promised."""
    task = sparse_coding(128, 80, sparsity=0.05)
    problems, iterates = solve(solver, task, steps, **arguments)
    assert np.all(np.sum(np.asarray(iterates) != 0, axis=2) <= 8)
    true = np.sum(np.asarray(problems.code) != 0, axis=1)
    errors = np.linalg.norm(iterates[:, -1] - problems.code, axis=1) / np.linalg.norm(problems.code, axis=1)
    assert np.all(true <= 8)
    assert np.all(errors < (1e-3 if solver is iterative_hard_thresholding else 0.02))


def test_matching_pursuit_stops_where_an_atom_costs_more_than_it_gains():
    problems, iterates = solve(orthogonal_matching_pursuit, L0, 20, weight=WEIGHT)
    f = values(L0, problems, iterates)
    assert np.all(np.diff(f) <= 1e-6)
    assert np.all(f[:, 10] == f[:, 20])
    for a, y, x in zip(problems.dictionary, problems.measurement, iterates[:, -1], strict=True):
        np.testing.assert_allclose(a[:, x != 0].T @ (y - a @ x), 0, atol=1e-4)


def test_message_passing_recovers_and_outruns_fista():
    task = sparse_coding(256, 512, dictionary_seed=0)
    problems = jax.jit(jax.vmap(task.sample))(jax.random.split(jax.random.key(1), 8))

    def error(x):
        return 10 * np.log10(np.sum((x[:, -1] - problems.code) ** 2) / np.sum(problems.code**2))

    amp = jax.jit(jax.vmap(lambda p: approximate_message_passing(p, 30, 1.1)))(problems)
    prox = sparse_coding(weight=0.05).prox
    accelerated = jax.jit(jax.vmap(lambda p: fista(p, 30, prox)))(problems)
    with_prior = jax.jit(jax.vmap(lambda p: bayes_message_passing(p, 30, 0.1)))(problems)
    assert error(amp) < -40
    assert error(amp) < error(accelerated) - 20
    assert error(with_prior) < error(amp) - 20


def test_message_passing_without_memory_is_thresholding():
    """The first step has no memory yet: x_1 is A^T y, shrunk by the residual's root mean square."""
    problems, iterates = solve(approximate_message_passing, L1, 3, threshold_factor=1.2)
    for a, y, x in zip(problems.dictionary, problems.measurement, iterates, strict=True):
        threshold = 1.2 * jnp.sqrt(jnp.mean(y**2))
        z = a.T @ y
        np.testing.assert_allclose(x[1], jnp.sign(z) * jnp.maximum(jnp.abs(z) - threshold, 0), atol=1e-5)
