"""The shipped optimizers: there, whole, documented, and as good as their cards say."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import learned_opt
from learned_opt import meta, optimizers, tasks, training, zoo

NAMES = (
    "lstm-general",
    "lstm-mnist",
    "lstm-quadratic",
    "lstm-sparse-coding",
    "lstm-sparse-recovery",
    "mlp-general",
)


def test_what_is_shipped():
    assert tuple(sorted(learned_opt.available())) == NAMES
    assert zoo.DEFAULT in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_card_fits_weights_and_recipe(name):
    card, recipe = learned_opt.available()[name], meta.recipe(name)
    lopt, theta = zoo.shipped(name)
    assert card.optimizer == json.loads(json.dumps(optimizers.registry.to_json(recipe.optimizer)))
    assert card.task == json.loads(json.dumps(tasks.registry.to_json(recipe.task)))
    assert optimizers.registry.from_json(card.optimizer) == lopt.config
    assert card.horizon == recipe.settings.horizon
    assert card.results
    assert card.known_failures
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(theta))


def test_quadratic_card_holds():
    """The card's ratio, measured again on other problems."""
    task = tasks.quadratic()
    ours = training.evaluate(
        learned_opt.pretrained("lstm-quadratic"), task, num_steps=500, num_problems=512, seed=7
    )
    momentum = training.evaluate(optax.sgd(0.03, momentum=0.9), task, num_steps=100, num_problems=512, seed=7)
    assert ours[:, 100].mean() < 0.2 * momentum[:, -1].mean()
    # It never ends above where it was at the horizon.
    later = ours[:, 100:].mean(axis=0)
    assert later.max() <= later[0]


@pytest.mark.parametrize("name", ["lstm-general", "lstm-mnist", "lstm-quadratic", "mlp-general"])
def test_pretrained_learns_digits_or_quadratics(name):
    task = tasks.quadratic() if name == "lstm-quadratic" else tasks.classification("digits")
    curves = training.evaluate(learned_opt.pretrained(name), task, num_steps=100, num_problems=4)
    assert curves[:, -1].mean() < 0.2 * curves[:, 0].mean()


def test_sparse_coding_card_holds():
    """Beside FISTA's mean relative gap of 0.02 at step 100."""
    task = tasks.sparse_coding(optimum_steps=2000)
    _, metrics = training.evaluate_with_metrics(
        learned_opt.pretrained("lstm-sparse-coding"), task, num_steps=100, num_problems=64, seed=7
    )
    assert metrics["gap"].mean() < 0.005
    assert np.median(metrics["gap"]) < 1e-5


@pytest.mark.parametrize(
    ("arguments", "most"), [({}, -60), ({"snr_db": 20.0}, -22), ({"dictionary": "ill_conditioned"}, -11.3)]
)
def test_sparse_recovery_card_holds(arguments, most):
    """At least 8 dB below tuned FISTA, which reaches -14.2, -13.2 and -3.3; the first two far below LISTA."""
    task = tasks.sparse_coding(256, 512, weight=0.1, objective="recovery", **arguments)
    tx = learned_opt.pretrained("lstm-sparse-recovery")
    curves = training.evaluate(tx, task, num_steps=16, num_problems=32, seed=7)
    assert 10 * np.log10(curves[:, -1].mean()) < most


def test_learning_rate_and_num_steps_scale_the_updates():
    params = {"w": jnp.ones(3)}

    def first_update(**arguments):
        tx = learned_opt.pretrained("lstm-mnist", **arguments)
        return tx.update(params, tx.init(params), params)[0]["w"]

    whole = first_update()
    np.testing.assert_allclose(first_update(learning_rate=0.5), 0.5 * whole, rtol=1e-6)
    np.testing.assert_allclose(first_update(learning_rate=lambda step: 0.25), 0.25 * whole, rtol=1e-6)
    np.testing.assert_allclose(first_update(num_steps=10), whole, rtol=1e-6)
    with pytest.raises(ValueError, match="num_steps=0"):
        first_update(num_steps=0)


def test_unknown_name():
    with pytest.raises(ValueError, match="did you mean 'lstm-mnist'"):
        learned_opt.pretrained("lstm_mnist")


def test_save_and_load(tmp_path):
    lopt = optimizers.lstm(hidden_sizes=(4,), inputs="normalized")
    theta = lopt.init(jax.random.key(3))
    path = tmp_path / "mine.safetensors"
    learned_opt.save(path, lopt, theta)
    loaded = learned_opt.load(path)
    assert loaded.lopt.config == lopt.config
    jax.tree.map(np.testing.assert_array_equal, loaded.theta, theta)
    with pytest.raises(FileExistsError):
        learned_opt.save(path, lopt, theta)


def test_save_refuses_what_load_could_not_make_again(tmp_path):
    nameless = optimizers.hyperparameters(optax.adam)
    with pytest.raises(ValueError, match="without a name"):
        learned_opt.save(tmp_path / "x.safetensors", nameless, nameless.init(jax.random.key(0)))
    lopt = optimizers.lstm()
    with pytest.raises(ValueError, match="theta"):
        learned_opt.save(tmp_path / "x.safetensors", lopt, {"wrong": jnp.ones(2)})
    assert not (tmp_path / "x.safetensors").exists()
