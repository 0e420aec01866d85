import functools
import inspect
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import learned_opt
from learned_opt.optimizers import hyperparameters
from learned_opt.tasks import quadratic
from learned_opt.training import evaluation_keys, trajectories

KEY = jax.random.key(0)


def test_theta_starts_at_the_transformed_hyperparameters():
    lopt = hyperparameters(
        "adam",
        {"learning_rate": 0.1, "b1": 0.9, "b2": 0.5, "eps": 1e-8},
        {"eps": "linear", "b2": "log"},
    )
    expected = {
        "learning_rate": np.log(0.1),
        "b1": np.log(0.9 / 0.1),
        "b2": np.log(0.5),
        "eps": 1e-8,
    }
    theta = lopt.init(KEY)
    assert set(theta) == set(expected)
    for name, value in expected.items():
        assert theta[name].dtype == jnp.float32
        assert theta[name].shape == ()
        np.testing.assert_allclose(theta[name], value, rtol=1e-6)


def test_adams_learning_rate_by_default():
    theta = hyperparameters().init(KEY)
    assert theta == {"learning_rate": jnp.log(jnp.float32(1e-3))}


@pytest.mark.parametrize(
    ("factory", "arguments"),
    [
        ("adam", {"learning_rate": 0.03, "b1": 0.8, "b2": 0.95, "eps": 1e-4}),
        ("sgd", {"learning_rate": 0.03, "momentum": 0.7}),
        ("rmsprop", {"learning_rate": 0.03, "decay": 0.95}),
        (optax.lion, {"learning_rate": 0.03, "b2": 0.9}),
    ],
)
def test_updates_are_the_factorys(factory, arguments):
    lopt = hyperparameters(factory, arguments)
    ours = lopt.build(lopt.init(KEY))
    theirs = (getattr(optax, factory) if isinstance(factory, str) else factory)(**arguments)
    params = jnp.linspace(-1.0, 1.0, 7)
    our_state, their_state = ours.init(params), theirs.init(params)
    for i in range(3):
        gradients = jax.random.normal(jax.random.key(i), (7,))
        expected, their_state = theirs.update(gradients, their_state, params)
        updates, our_state = ours.update(gradients, our_state, params)
        np.testing.assert_allclose(updates, expected, rtol=1e-4)


def test_num_steps_changes_nothing():
    lopt = hyperparameters("sgd", {"learning_rate": 0.5})
    tx = lopt.build(lopt.init(KEY), num_steps=1)
    state = tx.init(jnp.ones(2))
    for _ in range(3):
        updates, state = tx.update(jnp.ones(2), state)
        np.testing.assert_allclose(updates, -0.5 * np.ones(2), rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"factory": "adm"}, "unknown optax optimizer 'adm'; did you mean 'adam'"),
        ({"initial": {}}, "initial={}: name at least one"),
        ({"initial": {"learning_rate": 0.0}}, "learning_rate=0.0 on scale 'log'.*above 0"),
        ({"initial": {"learning_rate": -1.0}}, "learning_rate=-1.0 on scale 'log'"),
        ({"initial": {"b1": 1.0}}, "b1=1.0 on scale 'logit'.*strictly between 0 and 1"),
        ({"initial": {"momentum": 0.0}}, "momentum=0.0 on scale 'logit'"),
        (
            {"initial": {"eps": np.inf}, "scales": {"eps": "linear"}},
            "eps=inf on scale 'linear'.*finite",
        ),
        ({"scales": {"b1": "logit"}}, "unknown learned hyperparameter 'b1'"),
        ({"scales": {"learning_rate": "lg"}}, "unknown scale 'lg'; did you mean 'log'"),
    ],
)
def test_arguments_out_of_range_are_quoted(arguments, message):
    with pytest.raises(ValueError, match=message):
        hyperparameters(**arguments)


def test_theta_of_other_hyperparameters_is_refused():
    lopt = hyperparameters("adam", {"learning_rate": 0.1})
    with pytest.raises(ValueError, match=r"theta has \['b1'\], this optimizer learns \['learning_rate'"):
        lopt.build({"b1": jnp.float32(0)})


# Meta-training reaches what a sweep over a fine grid finds.

TASK = quadratic(dim=4, condition_number=100.0, start_deviation=1.0)
HORIZON = 10
# The whole derivative of the last loss: what the sweep minimises, and nothing else.
EXACT = {
    "horizon": HORIZON,
    "truncation": HORIZON,
    "weights": "final",
    "second_order": True,
    "num_problems": 128,
    "num_validation_problems": 128,
    "learning_rate": 0.1,
    "steps_per_call": 50,
    "quiet": True,
}


def final_losses(factory, thetas) -> np.ndarray:
    """The mean final loss of every theta in a stack, on problems that meta-training does not see."""
    keys = evaluation_keys(7, 256)
    curves = jax.vmap(lambda theta: trajectories(factory, TASK, HORIZON, theta, keys)[0])(thetas)
    return np.asarray(curves)[:, :, -1].mean(axis=-1)


def test_meta_training_finds_the_learning_rate_that_a_sweep_finds():
    rates = np.geomspace(1e-3, 1.0, 61)
    swept = final_losses(optax.sgd, jnp.asarray(rates, jnp.float32))
    best = np.nanargmin(swept)
    assert 0 < best < len(rates) - 1

    lopt = hyperparameters("sgd", {"learning_rate": 1e-3})
    run = learned_opt.meta_train(lopt, TASK, num_meta_steps=150, validate_every=50, **EXACT)
    found = final_losses(lopt.build, jax.tree.map(lambda x: x[None], run.theta))[0]
    assert found < 1.02 * swept[best]
    assert np.exp(run.theta["learning_rate"]) == pytest.approx(rates[best], rel=0.25)
    assert final_losses(optax.sgd, jnp.float32([1e-3]))[0] > 2 * found  # from far away


@jax.numpy_dtype_promotion("standard")  # the derivative of optax's bias correction needs it
def test_meta_training_finds_adams_learning_rate_and_betas_that_a_sweep_finds():
    axes = (np.geomspace(0.1, 4.0, 17), [0.1, 0.3, 0.5, 0.7, 0.9], [0.5, 0.8, 0.9, 0.97, 0.999])
    grid = jnp.asarray(list(itertools.product(*axes)), jnp.float32)
    swept = final_losses(lambda h: optax.adam(h[0], h[1], h[2]), grid)
    best_rate, best_b1, _ = grid[np.nanargmin(swept)]
    assert axes[0][0] < best_rate < axes[0][-1]
    assert 0.1 < best_b1 < 0.9

    lopt = hyperparameters("adam", {"learning_rate": 0.03, "b1": 0.9, "b2": 0.99})
    run = learned_opt.meta_train(lopt, TASK, num_meta_steps=300, validate_every=100, **EXACT)
    found = final_losses(lopt.build, jax.tree.map(lambda x: x[None], run.theta))[0]
    assert found < 1.05 * np.nanmin(swept)
    # Adam's own betas, at the learning rate that suits them best, are well behind.
    with_default_betas = final_losses(optax.adam, jnp.asarray(axes[0], jnp.float32))
    assert found < 0.9 * with_default_betas.min()
    assert run.validation_loss < run.adam_loss


@pytest.mark.parametrize(
    ("factory", "name", "value"), [("adadelta", "rho", 0.9), ("adan", "b3", 0.99), ("signum", "beta", 0.9)]
)
def test_decay_rates_stay_between_0_and_1(factory, name, value):
    theta = hyperparameters(factory, {"learning_rate": 0.1, name: value}).init(KEY)
    np.testing.assert_allclose(theta[name], np.log(value / (1 - value)), rtol=1e-6)


def test_every_number_below_1_of_every_optax_factory_has_a_scale_that_keeps_it_there_or_none():
    """Positive numbers that may leave (0, 1) are known by name; of others the scale has to be given."""
    positive = ("learning_rate", "weight_decay", "eps", "step_size", "trust_coefficient")
    for factory, function in vars(optax).items():
        if getattr(function, "__module__", "") != optax.adam.__module__ or not callable(function):
            continue
        for p in inspect.signature(function).parameters.values():
            if not isinstance(p.default, float) or not 0 < p.default < 1:
                continue
            try:
                theta = hyperparameters(factory, {p.name: p.default}).init(KEY)
            except ValueError as error:
                assert "give scales=" in str(error)  # noqa: PT017
                continue
            scale = np.log if any(word in p.name for word in positive) else logit
            np.testing.assert_allclose(theta[p.name], scale(p.default), rtol=1e-5)


def logit(x):
    return np.log(x / (1 - x))


@pytest.mark.parametrize("factory", ["adam", "adamw", "lamb", "radam", "adabelief", "rmsprop", "amsgrad"])
def test_derivatives_are_finite_where_the_gradient_is_zero(factory):
    """A black pixel has gradient zero at every step; weight decay and the loss go on."""
    decay = "decay" if factory == "rmsprop" else "b2"
    lopt = hyperparameters(factory, {"learning_rate": 0.1, decay: 0.9})

    @functools.partial(jax.grad, argnums=(0, 1))
    def meta_gradient(theta, start):
        tx, x, state = lopt.build(theta), start, lopt.build(theta).init(start)
        for _ in range(8):  # radam looks at the second moment from the sixth on
            updates, state = tx.update(x * jnp.array([0.0, 1.0, 2.0]), state, x)
            x = optax.apply_updates(x, updates)
        return jnp.sum(jnp.square(x - 2))

    theta = lopt.init(KEY)
    with jax.numpy_dtype_promotion("standard"):
        grads, second_order = jax.jit(meta_gradient)(theta, jnp.array([1.0, -1.0, 0.5]))
    assert np.all(np.isfinite(second_order))
    assert all(np.isfinite(g) for g in grads.values())
    # amsgrad's largest second moment is the first one here, in which the decay cancels.
    assert all(g != 0 for name, g in grads.items() if (factory, name) != ("amsgrad", "b2"))


@pytest.mark.parametrize("arguments", [{"learning_rate": 1e-2, "b2": 0.99}, {"learning_rate": 1e-2}])
def test_adam_trains_on_digits(arguments):
    """Black pixels have a gradient of zero."""
    lopt = hyperparameters("adam", arguments)
    with jax.numpy_dtype_promotion("standard"):
        run = learned_opt.meta_train(
            lopt,
            learned_opt.tasks.classification("digits", hidden_sizes=(4,), batch_size=16),
            horizon=6,
            truncation=3,
            num_meta_steps=4,
            num_problems=2,
            learning_rate=0.05,
            second_order="b2" not in arguments,
            seed=0,
        )
    moved = {name: float(abs(run.theta[name] - lopt.init(KEY)[name])) for name in arguments}
    assert min(moved.values()) > 0.01
