import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt import optimizers, tasks
from learned_opt.core.kinds import kind_named
from learned_opt.meta import RECIPES, Settings, meta_train, recipe
from learned_opt.training import convergence_rate, weighted_sum
from learned_opt.training.estimators import Bptt, Pes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"horizons": 10}, "unknown field of settings 'horizons'; did you mean 'horizon'"),
        ({"num_metasteps": 10}, "did you mean 'num_meta_steps'"),
        ({"horizon": "long"}, "estimator 'tbptt' does not fit: horizon='long'"),
        ({"weights": "unifrom"}, "'uniform', 'linear' or 'final'"),
        ({"horizon": 0}, "horizon=0: it must be at least 1"),
        ({"num_meta_steps": -1}, "num_meta_steps=-1"),
        ({"learning_rate": 0.0}, "learning_rate=0.0: it must be positive"),
        ({"clip_norm": float("nan")}, "clip_norm=nan: it must be positive"),
        ({"warmup_steps": 10, "num_meta_steps": 10}, "warmup_steps=10.*below num_meta_steps=10"),
        ({"final_fraction": 1.5}, "final_fraction=1.5: it must be between 0 and 1"),
        ({"horizon": 10, "truncation": 4}, "truncation=4 does not divide horizon=10"),
        ({"truncation": 0}, "truncation=0: it must be at least 1"),
        ({"horizon": -100}, "horizon=-100: it must be at least 1"),
        ({"problem_clip_norm": 0.0}, "problem_clip_norm=0.0: it must be positive"),
        ({"window": 2}, "window=2: give a positive odd number"),
        ({"weights": (1.0, 2.0)}, "2 weights for a horizon of 100 steps"),
        ({"estimator": "ess"}, "unknown estimator for optimizers 'ess'; did you mean 'es'"),
        (
            {"estimator": "sequences"},
            "unknown estimator for optimizers 'sequences'.*Known: blend, es, families_es, full",
        ),
        ({"estimator": "pes", "sigma": 0.0}, "sigma=0.0: it must be positive"),
        (
            {"sigma": 0.1},
            "sigma has no meaning for estimator='tbptt': leave it out, or choose one of .*pes",
        ),
        ({"estimator": "imitation", "teacher": "adams"}, "'sgd', 'momentum', 'nag', 'rmsprop' or 'adam'"),
        (
            {"estimator": "imitation", "teacher_learning_rate": 0.0},
            "teacher_learning_rate=0.0: it must be positive",
        ),
        ({"weight_decay": -1.0}, "weight_decay=-1.0: it must not be negative"),
        ({"num_starts": 0}, "num_starts=0: it must be at least 1"),
        ({"estimator": "blend", "num_problems": 1}, "num_problems=1: estimator='blend' needs at least 2"),
        ({"min_horizon": 101}, "min_horizon=101: give one between 1 and horizon=100"),
        ({"growth_steps": -1}, "growth_steps=-1: it must not be negative"),
        ({"estimator": "full", "random_phases": True}, "random_phases has no meaning for estimator='full'"),
        ({"estimator": "full", "min_horizon": 10}, "min_horizon has no meaning for estimator='full'"),
        (
            {"horizon": 2, "truncation": 1, "weights": (1.0, 2.0), "min_horizon": 1},
            "need a fixed horizon: no min_horizon and growth_steps",
        ),
    ],
)
def test_settings_out_of_range_are_quoted_before_anything_is_stored(tmp_path, arguments, message):
    lopt, task = optimizers.lstm(hidden_sizes=(2,)), tasks.quadratic(dim=2)
    with pytest.raises(ValueError, match=message):
        meta_train(lopt, task, directory=tmp_path / "run", quiet=True, **arguments)
    assert not (tmp_path / "run").exists()


def test_objective_is_the_weighted_sum_less_the_rate():
    losses = jnp.float32([5, 3, 2, 1.7, 1.1, 1])
    plain = Bptt(weights="linear").objective()
    assert plain(losses) == weighted_sum("linear")(losses)
    with_rate = Bptt(weights="final", rate_weight=0.3).objective()
    expected = 1 - 0.3 * convergence_rate()(losses)
    np.testing.assert_allclose(with_rate(losses), expected, rtol=1e-6)


def outer_steps(gradients, **settings) -> list[float]:
    """The updates that the outer optimizer makes of a sequence of meta-gradients."""
    outer = Settings(estimator=Bptt(), **settings).make_outer_optimizer()
    state, updates = outer.init(jnp.float32(0)), []
    update_fn = jax.jit(outer.update)
    with jax.numpy_dtype_promotion("standard"):  # what meta_steps gives optax's schedules
        for g in gradients:
            update, state = update_fn(jnp.float32(g), state)
            updates.append(float(update))
    return updates


def test_outer_optimizer_warms_up_and_decays():
    settings = {"num_meta_steps": 20, "learning_rate": 0.1, "final_fraction": 0.1}
    steps = outer_steps(np.ones(21), warmup_steps=5, **settings)
    # Adam's update of a constant gradient is the learning rate.
    np.testing.assert_allclose(steps[:6], -0.1 * np.arange(6) / 5, rtol=1e-4, atol=1e-8)
    assert np.all(np.diff(np.abs(steps[5:])) < 0)
    np.testing.assert_allclose(steps[20], -0.01, rtol=1e-4)
    np.testing.assert_allclose(outer_steps([1.0], **settings), [-0.1], rtol=1e-4)


def test_outer_optimizer_clips_and_skips():
    clipped = outer_steps([1.0, 1000.0], clip_norm=1.0, learning_rate=0.1)
    constant = outer_steps([1.0, 1.0], clip_norm=1.0, learning_rate=0.1)
    np.testing.assert_allclose(clipped, constant, rtol=1e-6)
    skipped = outer_steps([1.0, np.nan, np.inf, 1.0], learning_rate=0.1)
    assert skipped[1:3] == [0.0, 0.0]
    np.testing.assert_allclose([skipped[0], skipped[3]], constant, rtol=1e-6)


def test_a_run_of_nothing_but_bad_gradients_never_lets_one_through():
    assert outer_steps([np.nan] * 30, num_meta_steps=30, learning_rate=0.1) == [0.0] * 30


def test_recipes_make_what_they_name():
    assert RECIPES
    for name, r in RECIPES.items():
        assert recipe(name) is r
        model, registry = r.model.make(), r.kind.models
        assert isinstance(model, r.kind.model)
        assert registry.to_json(model.config) == registry.to_json(r.model)
        r.settings.make_outer_optimizer()
    with pytest.raises(ValueError, match="unknown recipe 'lstm-quadratics'; did you mean 'lstm-quadratic'"):
        recipe("lstm-quadratics")


@pytest.mark.parametrize("name", RECIPES)
def test_settings_survive_json_and_keywords(name: str):
    settings, kind = recipe(name).settings, recipe(name).kind
    assert Settings.of(kind, json.loads(json.dumps(settings.to_json()))) == settings
    assert Settings.of(kind, settings.flat()) == settings


def test_estimator_by_name_by_class_and_by_json_is_the_same():
    kind = kind_named("optimizer")
    by_name = Settings.of(kind, {"estimator": "pes", "sigma": 0.1, "truncation": 10})
    assert by_name == Settings.of(kind, {"estimator": Pes(sigma=0.1, truncation=10)})
    assert by_name == Settings.of(kind, {"estimator": {"name": "pes", "sigma": 0.1, "truncation": 10}})
    assert by_name.estimator == Pes(sigma=0.1, truncation=10)
    # Fields beside an estimator override its own.
    assert Settings.of(kind, {"estimator": Pes(sigma=0.1), "sigma": 0.2}).estimator.sigma == 0.2
