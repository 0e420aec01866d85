import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from learned_opt.core import Task
from learned_opt.optimizers import lstm
from learned_opt.tasks import classification, quadratic
from learned_opt.training import InnerState, start, unroll

KEY = jax.random.key(0)


def noisy_quadratic() -> Task:
    """A quadratic whose target is drawn anew at each step."""
    plain = quadratic(dim=3, start_deviation=1.0)

    def batch(key, problem, data):
        return data + 0.1 * jax.random.normal(key, (3,))

    def loss(params, problem, batch):
        return plain.loss(params["x"], problem._replace(y=problem.y + batch), ())

    return Task(plain.sample, lambda key, p: {"x": plain.init(key, p)}, batch, loss, jnp.ones(3))


TASKS = {
    "quadratic": lambda: quadratic(dim=3),
    "noisy quadratic": noisy_quadratic,
    "classification": lambda: classification("digits", hidden_sizes=(5,), batch_size=8),
}
OPTIMIZERS = {
    "adam": lambda: optax.adam(0.1),
    "lstm": lambda: lstm(hidden_sizes=(4,)).build(lstm(hidden_sizes=(4,)).init(KEY)),
}

every_task = pytest.mark.parametrize("task_name", TASKS)
every_optimizer = pytest.mark.parametrize("optimizer_name", OPTIMIZERS)


def first_state(tx, task, seed: int = 0):
    problem = task.sample(jax.random.key(seed))
    return problem, start(tx, task, KEY, problem)


def test_start_is_step_zero():
    task, tx = quadratic(dim=3), optax.adam(0.1)
    problem, state = first_state(tx, task)
    assert isinstance(state, InnerState)
    assert state.step == 0
    assert state.step.dtype == jnp.int32
    np.testing.assert_array_equal(state.params, task.init(KEY, problem))
    chex.assert_trees_all_equal(state.opt_state, tx.init(state.params))


@every_task
@every_optimizer
def test_unrolled_in_parts_or_at_once(task_name: str, optimizer_name: str):
    """Bit for bit: all randomness is the key's and the step's."""
    task, tx = TASKS[task_name](), OPTIMIZERS[optimizer_name]()
    problem, state = first_state(tx, task)
    steps = jax.jit(
        lambda state, num_steps: unroll(tx, task, KEY, problem, task.data, state, num_steps),
        static_argnums=1,
    )
    whole, losses = steps(state, 6)
    middle, first = steps(state, 2)
    end, second = steps(middle, 4)
    chex.assert_trees_all_equal(end, whole)
    assert whole.step == 6
    np.testing.assert_array_equal(jnp.append(first, second[1:]), losses)
    assert first[-1] == second[0]


@every_task
def test_loop_by_hand(task_name: str):
    task, tx = TASKS[task_name](), optax.adam(0.1)
    problem, state = first_state(tx, task)
    end, losses = jax.jit(lambda s: unroll(tx, task, KEY, problem, task.data, s, 5))(state)

    value_and_grad = jax.jit(jax.value_and_grad(task.loss))
    params, opt_state, expected = state.params, tx.init(state.params), []
    for step in range(6):
        batch = task.batch(jax.random.fold_in(KEY, step), problem, task.data)
        value, grad = value_and_grad(params, problem, batch)
        expected.append(value)
        if step < 5:
            updates, opt_state = tx.update(grad, opt_state, params)
            params = optax.apply_updates(params, updates)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    chex.assert_trees_all_close(end.params, params, rtol=1e-4, atol=1e-5)
    chex.assert_trees_all_close(end.opt_state, opt_state, rtol=1e-3, atol=1e-5)


def test_optimizer_is_given_the_loss_the_gradient_and_the_function():
    task = quadratic(dim=2)
    problem = task.sample(KEY)

    def update(updates, state, params, *, value, grad, value_fn, **extra_args):
        again, expected = jax.value_and_grad(value_fn)(params)
        ok = (value == again) & jnp.all(grad == expected) & jnp.all(grad == updates)
        return jnp.zeros_like(updates), state & ok

    tx = optax.GradientTransformationExtraArgs(lambda params: jnp.array(True), update)
    state, losses = unroll(tx, task, KEY, problem, (), start(tx, task, KEY, problem), 3)
    assert state.opt_state
    assert len(set(losses.tolist())) == 1


def test_no_steps_give_the_first_loss():
    task, tx = quadratic(dim=2), optax.sgd(0.1)
    problem, state = first_state(tx, task)
    end, losses = unroll(tx, task, KEY, problem, (), state, 0)
    np.testing.assert_array_equal(losses, task.loss(state.params, problem, ())[None])
    chex.assert_trees_all_equal(end, state)


def test_vmap_over_problems_keys_and_learning_rates():
    task = noisy_quadratic()
    keys = jax.random.split(KEY, 3)
    rates = jnp.float32([0.01, 0.02])

    def curve(rate, key):
        tx = optax.sgd(rate)
        problem = task.sample(key)
        return unroll(tx, task, key, problem, task.data, start(tx, task, key, problem), 4)[1]

    together = jax.jit(jax.vmap(jax.vmap(curve, (None, 0)), (0, None)))(rates, keys)
    apart = [[jax.jit(curve)(rate, key) for key in keys] for rate in rates]
    np.testing.assert_allclose(together, apart, rtol=1e-5)
    assert together.shape == (2, 3, 5)


# Derivatives.


def reference(lopt_build, task, problem, state, num_steps: int, second_order: bool):
    """A Python loop that says with stop_gradient what first order means."""

    def losses(theta):
        tx = lopt_build(theta)
        params, opt_state, values = state.params, tx.init(state.params), []
        for step in range(num_steps + 1):
            batch = task.batch(jax.random.fold_in(KEY, step), problem, task.data)
            value, grad = jax.value_and_grad(task.loss)(params, problem, batch)
            values.append(value)
            if not second_order:
                grad = jax.lax.stop_gradient(grad)
            updates, opt_state = tx.update(grad, opt_state, params)
            params = optax.apply_updates(params, updates)
        return jnp.stack(values)

    return losses


@pytest.mark.parametrize("second_order", [False, True], ids=["first order", "second order"])
@pytest.mark.parametrize("inputs", ["log_sign", "normalized"])
def test_meta_gradient_is_that_of_a_loop(inputs: str, second_order: bool):
    task = noisy_quadratic()
    lopt = lstm(hidden_sizes=(4,), inputs=inputs)
    theta = jax.tree.map(lambda x: 3 * x, lopt.init(KEY))  # steps that matter
    tx = lopt.build(theta)
    problem, state = first_state(tx, task)
    weights = jnp.float32([0.3, 1.0, -0.5, 2.0])

    def ours(theta):
        _, losses = unroll(
            lopt.build(theta), task, KEY, problem, task.data, state, 3, second_order=second_order
        )
        return jnp.sum(weights * losses)

    by_hand = reference(lopt.build, task, problem, state, 3, second_order)
    value, grad = jax.jit(jax.value_and_grad(ours))(theta)
    expected_value, expected = jax.jit(jax.value_and_grad(lambda t: jnp.sum(weights * by_hand(t))))(theta)
    np.testing.assert_allclose(value, expected_value, rtol=1e-5)
    size = float(optax.tree.norm(expected))
    assert size > 1e-4
    chex.assert_trees_all_close(grad, expected, rtol=1e-3, atol=1e-4 * size)


def test_first_and_second_order_differ():
    task = noisy_quadratic()
    problem, state = first_state(optax.sgd(0.05), task)

    def last_loss(rate, second_order):
        tx = optax.sgd(rate)
        return unroll(tx, task, KEY, problem, task.data, state, 3, second_order=second_order)[1][-1]

    first, second = (jax.grad(functools.partial(last_loss, second_order=s))(0.05) for s in (False, True))
    assert abs(first - second) > 0.01 * abs(second)


def one_dimensional() -> Task:
    """f(x) = a x^2 / 2 from x = 1, for a = 2."""
    return Task(
        sample=lambda key: jnp.float32(2),
        init=lambda key, a: jnp.float32(1),
        batch=lambda key, a, data: (),
        loss=lambda x, a, batch: a * x**2 / 2,
    )


@pytest.mark.parametrize("rate", [0.1, 0.4, 0.9])
def test_sgd_on_a_line_by_hand(rate: float):
    """With SGD x_t = (1 - a r)^t, so f_T = a/2 (1 - a r)^(2T)."""
    task, a, steps = one_dimensional(), 2.0, 4

    def losses(r, second_order=False):
        tx = optax.sgd(r)
        problem, state = first_state(tx, task)
        return unroll(tx, task, KEY, problem, (), state, steps, second_order=second_order)[1]

    shrink = 1 - a * rate
    t = np.arange(steps + 1)
    np.testing.assert_allclose(losses(rate), a / 2 * shrink ** (2 * t), rtol=1e-4, atol=1e-7)

    # Everything differentiated: df_t/dr = -a^2 t (1 - a r)^(2t - 1).
    whole = jax.jacobian(functools.partial(losses, second_order=True))(rate)
    np.testing.assert_allclose(whole[1:], -(a**2) * t[1:] * shrink ** (2 * t[1:] - 1), rtol=1e-3, atol=1e-6)
    assert whole[0] == 0

    # The gradients a x_s constant: x_t = x_0 - r sum_s a x_s, so df_t/dr = -a x_t sum_{s<t} a x_s.
    x = shrink**t
    before = np.concatenate([[0], np.cumsum(x)[:-1]])
    np.testing.assert_allclose(jax.jacobian(losses)(rate), -(a**2) * x * before, rtol=1e-3, atol=1e-6)


def test_state_that_enters_is_differentiated_too():
    """The derivative with respect to the starting point, first order: dx_t/dx_0 = 1."""
    task = one_dimensional()
    tx = optax.sgd(0.1)

    def last_loss(x, second_order):
        state = InnerState(x, tx.init(x), jnp.int32(0))
        return unroll(tx, task, KEY, jnp.float32(2), (), state, 3, second_order=second_order)[1][-1]

    np.testing.assert_allclose(jax.grad(last_loss)(1.0, False), 2 * 0.8**3, rtol=1e-5)
    np.testing.assert_allclose(jax.grad(last_loss)(1.0, True), 2 * 0.8**6, rtol=1e-5)


def test_first_order_does_not_differentiate_the_optimizee_twice():
    """A loss whose second derivative is refused can be meta-trained on to first order."""

    @jax.custom_vjp
    def square(x):
        return jnp.sum(x**2)

    @jax.custom_vjp
    def once(x):
        return 2 * x

    def refuse(residuals, cotangent):
        raise AssertionError("differentiated twice")

    once.defvjp(lambda x: (2 * x, None), refuse)
    square.defvjp(lambda x: (jnp.sum(x**2), x), lambda x, c: (c * once(x),))
    task = quadratic(dim=2)._replace(loss=lambda params, problem, batch: square(params))

    def last_loss(rate, second_order):
        tx = optax.sgd(rate)
        problem, state = first_state(tx, task)
        return unroll(tx, task, KEY, problem, (), state, 3, second_order=second_order)[1][-1]

    assert jax.grad(last_loss)(0.1, False) < 0
    with pytest.raises(AssertionError, match="differentiated twice"):
        jax.grad(last_loss)(0.1, True)


def test_data_is_not_baked_into_the_program():
    task, tx = classification("digits", hidden_sizes=(5,), batch_size=8), optax.sgd(0.1)
    problem, state = first_state(tx, task)
    jaxpr = jax.make_jaxpr(lambda data, state: unroll(tx, task, KEY, problem, data, state, 2))(
        task.data, state
    )
    assert (
        sum(np.asarray(c).nbytes for c in jaxpr.consts if not jnp.issubdtype(c.dtype, jax.dtypes.prng_key))
        < 4096
    )


@pytest.mark.parametrize("second_order", [False, True])
def test_optimizer_sees_the_smooth_part_and_the_losses_are_the_tasks(second_order: bool):
    """x_{t+1} = prox(x_t - r x_t) from the smooth part x^2 / 2; what is differentiated is |x - 1|."""
    task = Task(
        sample=lambda key: (),
        init=lambda key, problem: jnp.float32(4),
        batch=lambda key, problem, data: (),
        loss=lambda x, problem, batch: jnp.abs(x - 1),
        smooth=lambda x, problem, batch: x**2 / 2,
        prox=lambda x, step_size: x - step_size,
    )

    def losses(rate):
        def update(updates, state, params=None, *, value, prox, **extra_args):
            moved = prox(params - rate * updates, 0.5)
            return moved - params, value

        tx = optax.GradientTransformationExtraArgs(lambda params: jnp.float32(0), update)
        state = start(tx, task, KEY, ())
        return unroll(tx, task, KEY, (), (), state, 2, second_order=second_order)

    state, curve = losses(jnp.float32(0.25))
    # 4 -> 3 - 0.5 = 2.5 -> 1.875 - 0.5 = 1.375, and the last value that was seen is 2.5^2 / 2.
    np.testing.assert_allclose(curve, [3, 1.5, 0.375], rtol=1e-6)
    np.testing.assert_allclose(state.opt_state, 3.125, rtol=1e-6)
    # dx_1/dr = -4, and dx_2/dr = -2.5 + (1 - r) dx_1/dr, where first order takes the gradient as constant.
    last = -2.5 + (1 - 0.25 * second_order) * -4
    np.testing.assert_allclose(
        jax.jacobian(lambda r: losses(r)[1])(jnp.float32(0.25)), [0, -4, last], rtol=1e-6
    )
