"""Sick learned optimizers, tasks and runs, and sound ones, from end to end."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from learned_opt import LearnedOptimizer, optimizers, tasks
from learned_opt.meta import doctor, doctor_run, meta_train
from learned_opt.meta.diagnosis.diagnostics import leaf_names, watched_trajectories, with_saturation
from learned_opt.training import start, unroll

QUADRATIC = tasks.quadratic(dim=2)
SMALL = {"horizon": 8, "truncation": 4, "num_problems": 4, "num_seeds": 3, "num_trajectories": 4}
SGD = optimizers.hyperparameters("sgd", {"learning_rate": 0.01})


def names(diagnosis) -> list[str]:
    return [finding.name for finding in diagnosis.findings]


def test_a_sound_recipe_has_no_finding():
    diagnosis = doctor(optimizers.lstm(hidden_sizes=(4,)), QUADRATIC, **SMALL)
    assert diagnosis.findings == []
    assert diagnosis.measured["problems that diverged"] == "0% of 4"
    assert "of the compiled program" in diagnosis.measured["memory of a meta-step"]


def test_a_loss_that_ignores_the_params():
    task = QUADRATIC._replace(loss=lambda x, problem, batch: 1.0 + 0.0 * jnp.sum(x))
    assert names(doctor(SGD, task, **SMALL)) == ["start-at-floor", "loss-does-not-move", "meta-gradient-zero"]


def test_nan_is_found_where_it_comes_first():
    """The loss is a logarithm whose argument falls by 2 a step, from 5: it is negative at step 3."""
    task = QUADRATIC._replace(
        init=lambda key, problem: {"w": jnp.full(1, 5.0)},
        loss=lambda params, problem, batch: jnp.log(params["w"][0]),
    )

    def build(theta, *, num_steps=None):
        return optax.stateless(lambda g, params: jax.tree.map(lambda x: -2.0 * theta * jnp.ones_like(x), g))

    falling = LearnedOptimizer(lambda key: jnp.float32(1), build)
    diagnosis = doctor(falling, task, **SMALL)
    finding = next(f for f in diagnosis.findings if f.name == "not-finite")
    assert finding.measured.startswith("at inner step 3 the first NaN or infinity appears, in loss")
    assert "4 of 4 problems" in finding.measured
    assert "problems-diverged" in names(diagnosis)


def test_saturated_gates():
    lopt = optimizers.lstm(hidden_sizes=(4,))
    theta = lopt.init(jax.random.key(0))
    theta["lstm/linear"]["b"] = jnp.full_like(theta["lstm/linear"]["b"], 20.0)
    finding = next(f for f in doctor(lopt, QUADRATIC, theta=theta, **SMALL).findings if "gates" in f.name)
    assert "100% of lstm sigmoid" in finding.measured


def test_memory_is_judged_before_anything_runs():
    diagnosis = doctor(SGD, QUADRATIC, memory=10, **SMALL)
    assert names(diagnosis) == ["memory"]
    assert "num_problems=2 or truncation=2" in diagnosis.findings[0].fix


def test_chaos_leaves_no_direction():
    """Steps that are thrown about between ripples: the meta-gradient is exact and says nothing."""
    task = QUADRATIC._replace(
        init=lambda key, problem: jax.random.normal(key, (1,)),
        loss=lambda x, problem, batch: jnp.sum(jnp.square(x)) / 2 + jnp.sum(1 - jnp.cos(10 * x)),
    )
    lopt = optimizers.hyperparameters("sgd", {"learning_rate": 0.1, "momentum": 0.5})
    settings = SMALL | {"horizon": 20, "truncation": 20, "second_order": True, "num_seeds": 8}
    found = names(doctor(lopt, task, **settings))
    assert {"meta-gradient-noisy", "meta-gradient-huge"} & set(found)


def parabola(**settings):
    task = QUADRATIC._replace(
        sample=lambda key: (),
        init=lambda key, problem: jnp.float32(1),
        loss=lambda x, problem, batch: 0.4 * x**2,
    )
    lopt = optimizers.hyperparameters("sgd", {"learning_rate": 0.3, "momentum": 0.5})
    settings = {"estimator": "full", "weights": "linear", "horizon": 20, "num_problems": 2} | settings
    return doctor(lopt, task, num_seeds=2, num_trajectories=2, **settings)


def test_the_first_order_is_shown_beside_the_second():
    """By learning rate and momentum, (0.00428, 0.00329) against (-0.00300, 0.00099)."""
    diagnosis = parabola()
    both = diagnosis.measured["meta-gradient of first and of second order"]
    assert both == "cosine -0.561, norms 0.0054 and 0.00316; against each other in ['learning_rate']"
    assert names(diagnosis) == ["first-order-misleads"]
    assert diagnosis.findings[0].fix == "second_order=True"
    whole = parabola(second_order=True)
    assert whole.measured["meta-gradient of first and of second order"] == both
    assert names(whole) == []
    assert "meta-gradient of first and of second order" not in parabola(estimator="pes").measured


def test_bad_numbers_are_refused():
    with pytest.raises(ValueError, match="num_seeds=1: it must be at least 2"):
        doctor(SGD, QUADRATIC, num_seeds=1)


def test_watching_changes_nothing():
    """The trajectories are those of `unroll`, and the norms those of their updates."""
    lopt, keys = optimizers.lstm(hidden_sizes=(4,)), jax.random.split(jax.random.key(1), 2)
    theta = lopt.init(jax.random.key(0))
    losses, stats = watched_trajectories(lopt, QUADRATIC, theta, (), keys, 5)
    sample_key, start_key, batch_key = jax.random.split(keys[1], 3)
    problem, tx = QUADRATIC.sample(sample_key), lopt.build(theta)
    state = start(tx, QUADRATIC, start_key, problem)
    _, expected = unroll(tx, QUADRATIC, batch_key, problem, (), state, 5)
    np.testing.assert_allclose(losses[1], expected, rtol=1e-5)
    moved, _ = unroll(tx, QUADRATIC, batch_key, problem, (), state, 1)
    np.testing.assert_allclose(
        stats.update_norm[1, 0], jnp.linalg.norm(moved.params - state.params), rtol=1e-3
    )
    assert stats.finite.shape == (2, 5, len(leaf_names(lopt, QUADRATIC, theta)))
    assert stats.finite.all()


def test_only_activations_of_theta_count():
    def rule(theta, x):
        return jax.nn.sigmoid(theta * x) + jnp.tanh(100.0 * x)

    value, shares = with_saturation(rule, jnp.float32(10), jnp.float32([0.0, 0.1, 1.0, -1.0]))
    np.testing.assert_allclose(value, rule(jnp.float32(10), jnp.float32([0.0, 0.1, 1.0, -1.0])))
    assert {name: float(share) for name, share in shares.items()} == {"output sigmoid": 0.5}


TRAINING = {"horizon": 4, "truncation": 2, "num_problems": 4, "num_validation_problems": 2, "quiet": True}


def test_a_run_is_looked_at_as_it_stands(tmp_path):
    run = meta_train(
        SGD, QUADRATIC, directory=tmp_path / "run", num_meta_steps=4, validate_every=2, **TRAINING
    )
    before = {path: path.read_bytes() for path in run.directory.rglob("*") if path.is_file()}
    diagnosis = doctor_run(run.directory, num_trajectories=2)
    assert diagnosis.measured["theta against its start"] == "1 of 1 leaves moved"
    assert diagnosis.measured["validations"] == "2, the last at meta-step 4"
    assert diagnosis.findings == []
    assert {path: path.read_bytes() for path in run.directory.rglob("*") if path.is_file()} == before


def test_a_run_that_does_not_learn_is_told_of_while_it_goes_on(tmp_path):
    task = QUADRATIC._replace(loss=lambda x, problem, batch: 1.0 + 0.0 * jnp.sum(x), config=None)
    with pytest.warns(UserWarning, match="theta has not moved in 10 meta-steps"):
        run = meta_train(SGD, task, directory=tmp_path / "run", num_meta_steps=10, **TRAINING)
    found = names(doctor_run(run.directory, task=task, num_trajectories=2))
    assert found[0] == "theta-does-not-move"
    assert "meta-gradient-zero" in found


def test_losses_that_are_nan_from_the_start_are_no_matter_of_step_sizes(tmp_path):
    lopt = optimizers.hyperparameters("sgd", {"learning_rate": 0.01})
    task = tasks.quadratic(dim=2)
    broken = task._replace(loss=lambda x, problem, batch: jnp.sum(jnp.sqrt(-1 - x**2)), config=None)
    path = tmp_path / "run"
    settings = {"horizon": 4, "truncation": 2, "num_problems": 2, "num_meta_steps": 4, "quiet": True}
    with pytest.raises(FloatingPointError) as error:
        meta_train(lopt, broken, directory=path, **settings)
    diagnosis = doctor_run(path, task=broken, num_trajectories=2)
    assert names(diagnosis) == ["never-finite", "not-finite"]
    for advice in (str(error.value), *(finding.fix for finding in diagnosis.findings)):
        assert "learning_rate" not in advice
        assert "step size" not in advice
        assert "truncation" not in advice
