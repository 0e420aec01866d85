"""What every estimator must do. One of a learned optimizer takes part by being registered."""

import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from learned_opt import optimizers, tasks
from learned_opt.core.kinds import KINDS
from learned_opt.training import estimators
from learned_opt.training.estimators import registry
from learned_opt.training.estimators.settings import TruncationSettings

NAMES = KINDS["optimizer"].estimators
LOPT = optimizers.hyperparameters("sgd", {"learning_rate": 0.02, "momentum": 0.5})
TASK = tasks.quadratic(dim=2, start_deviation=1.0)
KEY = jax.random.key(0)
every = pytest.mark.parametrize("name", NAMES)


def make(name: str, **fields):
    """Small, of several truncations where there are truncations."""
    small = {"horizon": 6, "num_problems": 4} | fields
    if issubclass(registry.get(name), TruncationSettings):
        small.setdefault("truncation", 2)
    return registry.get(name)(**small)


def begun(name: str, **fields):
    estimator = make(name, **fields).make(LOPT, TASK)
    theta = LOPT.init(KEY)
    return jax.jit(estimator.estimate), theta, jax.jit(estimator.init)(KEY, theta, ())


def test_every_estimator_that_is_registered_belongs_to_a_kind():
    assert set(registry.names()) == {name for kind in KINDS.values() for name in kind.estimators}


@every
def test_settings_survive_json(name: str):
    settings = make(name, problem_clip_norm=0.5)
    assert registry.from_json(json.loads(json.dumps(registry.to_json(settings)))) == settings
    assert registry.to_json(settings)["name"] == name


@every
@pytest.mark.parametrize("field", ["horizon", "num_problems", "num_validation_problems", "problem_clip_norm"])
def test_numbers_that_are_not_positive_are_quoted(name: str, field: str):
    with pytest.raises(ValueError, match=f"{field}=0"):
        make(name, **{field: 0})


@every
def test_shapes_are_kept_by_a_rule_with_a_network(name: str):
    """Traced only, with all that the settings can ask for."""
    fields = {"problem_clip_norm": 1.0}
    if issubclass(registry.get(name), TruncationSettings):
        fields |= {"growth_steps": 3, "random_phases": True, "min_horizon": 2}
    lopt = optimizers.mlp_rule()
    estimator = make(name, **fields).make(lopt, TASK)
    theta = jax.eval_shape(lopt.init, KEY)
    state = jax.eval_shape(estimator.init, KEY, theta, ())
    meta_gradient, new_state = jax.eval_shape(estimator.estimate, KEY, theta, state, ())
    chex.assert_trees_all_equal_shapes_and_dtypes(meta_gradient.grad, theta)
    chex.assert_trees_all_equal_shapes_and_dtypes(new_state, state)
    for value, dtype in zip(meta_gradient[1:], (jnp.float32, jnp.float32, jnp.bool), strict=True):
        chex.assert_shape(value, ())
        assert value.dtype == dtype


@every
def test_the_same_keys_give_the_same_bits_and_others_do_not(name: str):
    estimate, theta, state = begun(name)
    one, state_after = estimate(jax.random.key(1), theta, state, ())
    other, _ = estimate(jax.random.key(1), theta, state, ())
    chex.assert_trees_all_equal(one, other)
    chex.assert_tree_all_finite(one.grad)
    assert optax.tree.norm(one.grad) > 0
    # Estimators without a state draw new problems from the key; those with one have begun with theirs.
    later, _ = estimate(jax.random.key(2), theta, state_after, ())
    assert later.loss != one.loss


@every
def test_a_trajectory_ends_at_the_horizon_and_another_begins(name: str):
    estimate, theta, state = begun(name)
    ends = []
    for key in jax.random.split(jax.random.key(1), 7):
        meta_gradient, state = estimate(key, theta, state, ())
        ends.append(bool(meta_gradient.ends_trajectory))
    truncations = 6 // getattr(make(name), "truncation", 6)
    assert ends == [n % truncations == truncations - 1 for n in range(7)]


@every
def test_the_estimate_is_not_compiled_a_second_time(name: str):
    estimate, theta, state = begun(name)
    for key in jax.random.split(jax.random.key(1), 3):
        _, state = estimate(key, theta, state, ())
    assert estimate._cache_size() == 1


@every
def test_its_gradient_leads_downhill(name: str):
    """From a learning rate that is far too small, Adam on theta lowers what the estimator reports."""
    fields = {"num_problems": 16, "horizon": 4}
    if hasattr(registry.get(name), "sigma"):
        fields["sigma"] = 0.1
    if name == "imitation":
        fields |= {"teacher": "sgd", "teacher_learning_rate": 0.02}
    lopt = optimizers.hyperparameters("sgd", {"learning_rate": 1e-3})
    estimator = make(name, **fields).make(lopt, TASK)
    theta = lopt.init(KEY)
    state = estimator.init(KEY, theta, ())
    outer = optax.adam(0.2)
    outer_state, estimate, losses = outer.init(theta), jax.jit(estimator.estimate), []
    for key in jax.random.split(jax.random.key(1), 40):
        meta_gradient, state = estimate(key, theta, state, ())
        losses.append(float(meta_gradient.last_loss if name != "imitation" else meta_gradient.loss))
        with jax.numpy_dtype_promotion("standard"):
            updates, outer_state = outer.update(meta_gradient.grad, outer_state)
        theta = optax.apply_updates(theta, updates)
    assert np.mean(losses[-8:]) < 0.8 * np.mean(losses[:8])
    assert theta["learning_rate"] > np.log(3e-3)


def test_an_exact_gradient_of_a_loss_is_that_of_jax():
    estimator = estimators.loss_gradient(lambda theta, key: jnp.sum(theta**3) * jax.random.normal(key))
    theta = jnp.float32([1.0, -2.0])
    state = estimator.init(KEY, theta, ())
    keys = [jax.random.fold_in(KEY, n) for n in range(2)]
    for key in keys:
        meta_gradient, state = estimator.estimate(jax.random.key(9), theta, state, ())
        expected = jax.grad(lambda t, key=key: jnp.sum(t**3) * jax.random.normal(key))(theta)
        chex.assert_trees_all_close(meta_gradient.grad, expected, rtol=1e-6)
        assert not meta_gradient.ends_trajectory
