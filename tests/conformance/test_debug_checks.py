"""Runs without NaN or infinity pass under jax's checks for them, whatever is trained and by what."""

import contextlib
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from learned_opt import in_context, meta, optimizers, tasks, training, zoo
from learned_opt.core.kinds import KINDS
from learned_opt.training.estimators import registry
from learned_opt.training.estimators.settings import ObjectiveSettings, TruncationSettings

TASK = tasks.quadratic(dim=2)
LOPT = optimizers.hyperparameters("adam", {"learning_rate": 0.02})
TINY = {"num_meta_steps": 4, "validate_every": 2, "steps_per_call": 1, "quiet": True}
UNROLLS = {"horizon": 6, "num_problems": 4, "num_validation_problems": 4}


@contextlib.contextmanager
def checked():
    """Both checks, of every value that a compiled or an eager function gives."""
    with jax.debug_nans(True), jax.debug_infs(True):
        yield


def test_the_checks_are_in_force():
    with checked(), pytest.raises(FloatingPointError):
        jax.jit(lambda x: 1 / x)(jnp.zeros(2))


@pytest.mark.parametrize("name", KINDS["optimizer"].estimators)
@pytest.mark.parametrize("objective", [{}, {"rate_weight": 0.1}, {"log_floor": 1e-3}], ids=str)
def test_meta_training_by_every_estimator(name, objective, tmp_path):
    kind = registry.get(name)
    if objective and not issubclass(kind, ObjectiveSettings):
        pytest.skip("it has no objective")
    length = {"truncation": 2} if issubclass(kind, TruncationSettings) else {}
    length |= {"segment": 3} if name == "full" else {}
    settings = {"estimator": name, **UNROLLS, **TINY, **length, **objective}
    with checked():
        run = meta.meta_train(LOPT, TASK, directory=tmp_path / "run", **settings)
        assert meta.resume(tmp_path / "run", quiet=True).validation_loss == run.validation_loss
    assert math.isfinite(run.validation_loss)


def test_meta_training_from_several_starts():
    with checked():
        run = meta.meta_train(LOPT, TASK, num_starts=2, truncation=3, **UNROLLS, **TINY)
    assert math.isfinite(run.validation_loss)


LEARNED_IN_CONTEXT = {
    "function learner": (
        lambda: in_context.learners.lstm(num_cells=(3,)),
        lambda: in_context.families.boolean(),
        {},
    ),
    "weight memory": (
        lambda: in_context.weight_memory(num_inputs=2, num_hidden=3, learner_sizes=(4,)),
        lambda: in_context.xor_datasets(num_inputs=2, num_samples=12),
        {"min_train": 4, "max_train": 8, "num_validation_datasets": 4},
    ),
}


@pytest.mark.parametrize("kind", LEARNED_IN_CONTEXT)
def test_meta_training_of_what_learns_in_context(kind):
    model, task, settings = LEARNED_IN_CONTEXT[kind]
    with checked():
        run = meta.meta_train(model(), task(), batch_size=4, **TINY, **settings)
    assert math.isfinite(run.validation_loss)


@pytest.mark.parametrize("name", sorted(zoo.available("optimizer")))
def test_shipped_rules(name):
    task = tasks.sparse_coding(num_measurements=4, num_atoms=8) if "sparse" in name else TASK
    with checked():
        tx = zoo.pretrained(name)
        curves = training.evaluate(tx, task, num_steps=4, num_problems=2)
        params = {"w": jnp.ones((2, 3)), "b": jnp.zeros(3), "none": jnp.zeros((0, 2))}
        state = tx.init(params)
        for scale in (0.0, 1.0, 1e-20):
            gradients = jax.tree.map(functools.partial(jnp.full_like, fill_value=scale), params)
            _, state = tx.update(gradients, state, params)
    assert np.isfinite(curves).all()


def test_a_sweep_may_diverge():
    with checked():
        best = training.tune(optax.sgd, TASK, num_steps=40, num_problems=4)
        compared = training.compare({"mine": optax.sgd(1e-3)}, TASK, num_steps=40, num_problems=4)
    assert math.isfinite(best.loss)
    assert np.isinf(best.losses).any()
    assert all(row["diverged"] == 0 for row in compared.rows())


def test_what_diverges_outside_a_sweep_is_still_found():
    with checked(), pytest.raises(FloatingPointError):
        training.evaluate(optax.sgd(100.0), TASK, num_steps=200, num_problems=2)


def test_predictions():
    x = np.random.default_rng(0).normal(size=(40, 2))
    with checked():
        p = in_context.predict(x, x[:, 0] > 0, x, num_orders=2)
    assert np.isfinite(p).all()


def test_the_doctor_looks_for_what_the_checks_would_stop_at():
    task = TASK._replace(loss=lambda x, problem, batch: jnp.sum(jnp.sqrt(x)), config=None)
    with checked():
        found = meta.doctor(LOPT, task, truncation=3, num_trajectories=2, num_seeds=2, **UNROLLS)
    assert "not-finite" in [finding.name for finding in found.findings]


@pytest.mark.parametrize("kind", LEARNED_IN_CONTEXT)
def test_what_learns_in_context_is_measured(kind):
    with checked():
        if kind == "function learner":
            stored = zoo.load("boolean-16")
            family = stored.config.task.make()
            found = in_context.evaluate_learner(
                stored.model, stored.theta, family, length=24, num_sequences=4
            )
            ablation = in_context.inspect_learner(stored.model, stored.theta, family, settled=8, length=16)
            assert in_context.describe(ablation)
            assert all(math.isfinite(value) for value in in_context.mean_summary([found]).values())
        else:
            stored = zoo.load("weight-memory")
            data, num_train = in_context.comparison_datasets(stored, 3)
            losses = in_context.memory_losses(stored.model, stored.theta, data, num_train, num_orders=2)
            assert np.isfinite(losses).all()
