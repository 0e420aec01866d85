import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from learned_opt.optimizers import hyperparameters, lstm
from learned_opt.tasks import quadratic
from learned_opt.training import convergence_rate, truncated_bptt, unroll, weighted_sum

KEY = jax.random.key(0)
TASK = quadratic(dim=3, start_deviation=1.0)
OBJECTIVE = weighted_sum("linear") - 0.1 * convergence_rate()
LOPT = lstm(hidden_sizes=(3,), inputs="normalized_and_size")
THETA = jax.tree.map(lambda x: 3 * x, LOPT.init(jax.random.key(1)))


def make(lopt=LOPT, objective=OBJECTIVE, **kwargs):
    kwargs = {"horizon": 6, "truncation": 6, "num_problems": 4} | kwargs
    return truncated_bptt(lopt, TASK, objective, **kwargs)


def mean_objective(theta, state, second_order: bool = False):
    """The meta-loss of whole trajectories from a state of an estimator that stands at step 0."""
    tx = LOPT.build(theta)

    def one_problem(problem, key, inner):
        return OBJECTIVE(unroll(tx, TASK, key, problem, (), inner, 6, second_order=second_order)[1])

    return jnp.mean(jax.vmap(one_problem)(state.problems, state.keys, state.inner))


@pytest.mark.parametrize("second_order", [False, True], ids=["first order", "second order"])
def test_over_the_whole_trajectory_it_is_the_gradient_of_the_objective(second_order: bool):
    estimator = make(second_order=second_order)
    state = estimator.init(KEY, THETA, ())
    meta_gradient, new_state = jax.jit(estimator.estimate)(KEY, THETA, state, ())
    value, grad = jax.jit(jax.value_and_grad(mean_objective), static_argnums=2)(THETA, state, second_order)
    np.testing.assert_allclose(meta_gradient.loss, value, rtol=1e-5)
    assert optax.tree.norm(grad) > 1e-3
    chex.assert_trees_all_close(meta_gradient.grad, grad, rtol=1e-4, atol=1e-6)
    chex.assert_trees_all_equal_shapes_and_dtypes(meta_gradient.grad, THETA)
    assert new_state.step.tolist() == [6] * 4
    assert meta_gradient.ends_trajectory


def test_truncations_are_the_trajectory_cut():
    """Their meta-losses sum to the whole; each gradient holds the state it starts from constant."""
    whole = make(truncation=6)
    state = whole.init(KEY, THETA, ())
    expected, _ = jax.jit(whole.estimate)(KEY, THETA, state, ())

    parts = make(truncation=2)
    estimate = jax.jit(parts.estimate)
    losses, ends, steps = [], [], []
    for _ in range(3):
        before = state
        meta_gradient, state = estimate(KEY, THETA, state, ())
        losses.append(meta_gradient.loss)
        ends.append(bool(meta_gradient.ends_trajectory))
        steps.append(int(state.step[0]))
    np.testing.assert_allclose(sum(losses), expected.loss, rtol=1e-5)
    np.testing.assert_allclose(meta_gradient.last_loss, expected.last_loss, rtol=1e-5)
    assert ends == [False, False, True]
    assert steps == [2, 4, 6]

    def last_share(theta):
        def one_problem(problem, key, inner, history, memory):
            _, losses = unroll(LOPT.build(theta), TASK, key, problem, (), inner, 2)
            return OBJECTIVE.truncation(memory, history, losses[1:], jnp.int32(4), 6)[0]

        parts = (before.problems, before.keys, before.inner, before.history, before.memory)
        return jnp.mean(jax.vmap(one_problem)(*parts))

    grad = jax.jit(jax.grad(last_share))(THETA)
    chex.assert_trees_all_close(meta_gradient.grad, grad, rtol=1e-4, atol=1e-6)
    # What the state that the truncation starts from owes to theta is left out.
    assert optax.tree.norm(optax.tree.sub(grad, expected.grad)) > 1e-2 * optax.tree.norm(grad)


def test_new_problems_after_the_horizon():
    estimator = make(truncation=3)
    estimate = jax.jit(estimator.estimate)
    state = first = estimator.init(KEY, THETA, ())
    for i in range(2):
        _, state = estimate(jax.random.fold_in(KEY, i), THETA, state, ())
    chex.assert_trees_all_equal(state.problems, first.problems)
    assert state.ended.all()

    third = jax.random.fold_in(KEY, 2)
    meta_gradient, state = estimate(third, THETA, state, ())
    assert state.step.tolist() == [3] * 4
    assert not meta_gradient.ends_trajectory
    assert not np.any(np.isclose(state.problems.w, first.problems.w))
    # As if it had started there: nothing of the old trajectory is left.
    fresh, fresh_state = estimate(third, THETA, estimator.init(third, THETA, ()), ())
    same_place = state._replace(truncations=fresh_state.truncations)
    chex.assert_trees_all_equal((meta_gradient, same_place), (fresh, fresh_state))


def test_problems_differ_and_the_key_decides():
    estimator = make(num_problems=5)
    state = estimator.init(KEY, THETA, ())
    assert len(np.unique(np.asarray(state.problems.w[:, 0, 0]))) == 5
    assert len(np.unique(np.asarray(state.inner.params[:, 0]))) == 5
    assert len(np.unique(jax.random.key_data(state.keys), axis=0)) == 5
    chex.assert_trees_all_equal(estimator.init(KEY, THETA, ()).problems, state.problems)
    other = estimator.init(jax.random.key(9), THETA, ())
    assert not np.any(np.isclose(other.problems.w, state.problems.w))


def test_sgd_on_truncations_of_one_step_by_hand():
    """One step of SGD at a time: d mean f(x - r g) / dr = -mean g(x) . g(x')."""
    lopt = hyperparameters("sgd", {"learning_rate": 0.01}, {"learning_rate": "linear"})
    theta = lopt.init(KEY)
    estimator = make(lopt, weighted_sum("uniform"), horizon=4, truncation=1)
    state = estimator.init(KEY, theta, ())
    estimate = jax.jit(estimator.estimate)
    gradient = jax.vmap(jax.grad(TASK.loss), (0, 0, None))
    for _ in range(2):
        g = gradient(state.inner.params, state.problems, ())
        meta_gradient, state = estimate(KEY, theta, state, ())
        after = gradient(state.inner.params, state.problems, ())
        expected = -jnp.mean(jnp.sum(g * after, axis=-1)) / 4  # one of four weights
        np.testing.assert_allclose(meta_gradient.grad["learning_rate"], expected, rtol=1e-4)


@pytest.mark.parametrize("second_order", [False, True], ids=["first order", "second order"])
def test_each_problem_is_clipped_before_the_mean(second_order: bool):
    plain = make(second_order=second_order)
    state = plain.init(KEY, THETA, ())
    num_problems = len(state.keys)

    one = jax.jit(make(num_problems=1, second_order=second_order).estimate)

    def alone(i: int):
        """The gradient of one problem."""
        return one(KEY, THETA, jax.tree.map(lambda x: x[i : i + 1], state), ())[0].grad

    def assert_close(one, other):
        assert optax.tree.norm(optax.tree.sub(one, other)) < 1e-5 * optax.tree.norm(other)

    grads = [alone(i) for i in range(num_problems)]
    norms = [float(optax.tree.norm(g)) for g in grads]
    clip_norm = float(np.median(norms))
    assert min(norms) < clip_norm < max(norms)
    factors = [min(1.0, clip_norm / norm) for norm in norms]
    expected = jax.tree.map(
        lambda *g: sum(f * x for f, x in zip(factors, g, strict=True)) / num_problems, *grads
    )

    clipped = make(second_order=second_order, problem_clip_norm=clip_norm)
    meta_gradient, new_state = jax.jit(clipped.estimate)(KEY, THETA, state, ())
    assert_close(meta_gradient.grad, expected)

    # All else is as it is without clipping, and so is the gradient where no norm reaches the bound.
    unclipped, plain_state = jax.jit(plain.estimate)(KEY, THETA, state, ())
    np.testing.assert_allclose(meta_gradient.loss, unclipped.loss, rtol=1e-5)
    np.testing.assert_allclose(meta_gradient.last_loss, unclipped.last_loss, rtol=1e-5)
    chex.assert_trees_all_close(new_state.history, plain_state.history, rtol=1e-5)
    loose = make(second_order=second_order, problem_clip_norm=2 * max(norms))
    assert_close(jax.jit(loose.estimate)(KEY, THETA, state, ())[0].grad, unclipped.grad)


def test_one_compilation_for_all_truncations():
    estimator, traces = make(truncation=2), []

    @jax.jit
    def estimate(key, theta, state):
        traces.append(None)
        return estimator.estimate(key, theta, state, ())

    state = estimator.init(KEY, THETA, ())
    for i in range(7):
        _, state = estimate(jax.random.fold_in(KEY, i), THETA, state)
    assert len(traces) == 1
    assert estimate._cache_size() == 1


@pytest.mark.parametrize("argument", ["horizon", "truncation", "num_problems"])
def test_numbers_below_one_are_refused(argument: str):
    with pytest.raises(ValueError, match=f"{argument}=0: it must be at least 1"):
        make(**{argument: 0})


@pytest.mark.parametrize("clip_norm", [0.0, -1.0, float("nan")])
def test_clipping_to_nothing_is_refused(clip_norm: float):
    with pytest.raises(ValueError, match=f"problem_clip_norm={clip_norm}: it must be positive"):
        make(problem_clip_norm=clip_norm)


@pytest.mark.parametrize(
    ("horizon", "truncation", "divisor"), [(100, 30, 25), (10, 4, 5), (7, 3, 1), (6, 7, 6), (100, 60, 50)]
)
def test_truncation_that_does_not_divide_is_answered_with_one_that_does(
    horizon: int, truncation: int, divisor: int
):
    message = (
        f"truncation={truncation} does not divide horizon={horizon}; choose one that does, such as {divisor}$"
    )
    with pytest.raises(ValueError, match=message):
        make(horizon=horizon, truncation=truncation)
