"""Function learners: they learn, resume to the bit, and are what their configuration says."""

import functools
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt import meta_train, resume, zoo
from learned_opt.in_context import (
    Sequences,
    describe,
    evaluate_learner,
    examples,
    families,
    inspect_learner,
    learners,
    sequence_loss,
)
from learned_opt.in_context.functions.evaluation import cycles_to_learn, running_means
from learned_opt.in_context.functions.sequences import trainable, with_random_changes
from learned_opt.meta import RECIPES
from learned_opt.meta.settings import Settings, settings_of

TINY = {"length": 8, "batch_size": 4, "warmup_steps": 1, "num_validation_sequences": 8, "quiet": True}
CASES = {
    "lstm": learners.lstm(num_cells=(2,)),
    "1997": learners.lstm(num_cells=(2,), num_units=(2,), forget_gate=False, truncated=True),
    "two layers": learners.lstm(num_cells=(2, 0), num_units=(1, 3), feedback=True),
    "linear": learners.lstm(num_cells=(2,), output="linear", target_scale=20.0),
    "error": learners.lstm(num_cells=(2,), num_units=(1,), feedback=True, shown="error"),
    "elman": learners.elman(num_units=3),
    "gru": learners.gru(num_units=3),
    "rtrl": learners.fully_recurrent(num_units=3),
    "bptt": learners.fully_recurrent(num_units=3, gradient="bptt"),
}


@pytest.fixture(params=CASES)
def learner(request):
    return CASES[request.param]


@functools.cache
def drawn(length: int = 12):
    return examples(families.boolean(), jax.random.key(5), length)


def test_a_cut_out_cell_of_an_lstm():
    learner = CASES["1997"]
    theta, inputs = learner.init(jax.random.key(0)), drawn().inputs
    cut = jax.tree.map(jnp.copy, theta)
    cut["memory_cells/linear"]["w"] = theta["memory_cells/linear"]["w"].at[3 + 1].set(0.0)
    cut["readout"]["w"] = theta["readout"]["w"].at[1].set(0.0)
    keep = (jnp.ones(4).at[1].set(0.0),)
    np.testing.assert_allclose(
        learner.predict(theta, inputs, keep), learner.predict(cut, inputs), rtol=1e-5, atol=1e-6
    )


def test_both_gradients_train_the_same_network():
    def trained(learner):
        return meta_train(learner, families.boolean(), num_meta_steps=20, validate_every=20, **TINY)

    forward, backward = trained(CASES["rtrl"]), trained(CASES["bptt"])
    chex.assert_trees_all_close(forward.last_theta, backward.last_theta, rtol=1e-3, atol=1e-4)


def test_a_small_network_learns_two_functions():
    """A function or its negation, told apart by one example: from then on there is nothing to miss."""
    family = families.among(families.TABLES[[0b0011, 0b1100]], families.TABLES[[0b0011, 0b1100]])
    learner = learners.lstm(num_cells=(4,))
    settings = {**TINY, "batch_size": 16, "learning_rate": 0.03, "validate_every": 300}
    trained = meta_train(learner, family, num_meta_steps=1200, **settings)
    evaluation = evaluate_learner(learner, trained.theta, family, length=8, num_sequences=200)
    summary = evaluation.summary()
    assert summary["bayes_mse"] == pytest.approx(0.25 / 8)
    assert summary["mse"] < 1.3 * summary["bayes_mse"]
    assert np.square(evaluation.errors[:, 2:]).mean() < 0.01


@pytest.mark.parametrize("num_functions", [1, 2])
def test_distillation_has_its_optimum_at_the_limit(num_functions):
    """The Bayes-optimal predictor has nothing to learn from itself, and pays for what it cannot know."""
    family = families.semilinear()

    def predict(theta, inputs, keep=None):
        x = inputs[:, :2].reshape(num_functions, -1, 2)
        y = jnp.append(inputs[1:, 2], 0.5).reshape(num_functions, -1)
        return jax.vmap(family.bayes)(x, y).reshape(-1) + theta

    learner = CASES["gru"]._replace(predict=predict)
    shape = {"length": 5, "num_functions": num_functions, "batch_size": 8}
    losses = {
        target: jax.jit(sequence_loss(learner, family, Sequences(target=target, **shape)))
        for target in ("bayes", "predict")
    }
    key = jax.random.key(0)
    assert losses["bayes"](jnp.float32(0), key) == pytest.approx(0, abs=1e-10)
    assert losses["bayes"](jnp.float32(0.1), key) == pytest.approx(0.01, rel=1e-3)
    assert losses["predict"](jnp.float32(0), key) > 0.01


def test_noise_is_on_what_a_learner_sees_and_not_on_what_it_is_to_say():
    """One that says what it was shown errs by the noise; one that sees nothing errs by the targets alone."""
    theta = CASES["elman"].init(jax.random.key(0))
    echo = CASES["elman"]._replace(predict=lambda theta, inputs: inputs[:, 0])
    blind = CASES["elman"]._replace(predict=lambda theta, inputs: jnp.full(len(inputs), 0.5))
    first = families.among(families.TABLES[[0b0011]], families.TABLES[[0b0011]])  # f(x) = x1

    def loss(learner, noise: float) -> float:
        sequences = Sequences(noise=noise, batch_size=100)
        return float(jax.jit(sequence_loss(learner, first, sequences))(theta, jax.random.key(1)))

    assert loss(echo, 0.0) == 0
    assert loss(echo, 0.2) == pytest.approx(0.04, rel=0.1)
    assert loss(blind, 0.0) == loss(blind, 0.2) == 0.25


def test_theta_is_selected_on_several_functions_in_a_row():
    """An echo of the last target errs at the first example, of however many functions."""
    always = families.among(families.TABLES[[0b1111]], families.TABLES[[0b1111]])
    echo = CASES["gru"]._replace(predict=lambda theta, inputs: inputs[:, 2])
    losses = {
        num: trainable(
            echo,
            always,
            always,
            Settings(estimator=Sequences(length=5, num_validation_functions=num, num_validation_sequences=2)),
            None,
        ).validate({})["loss"]
        for num in (1, 4)
    }
    assert losses == pytest.approx({1: 1 / 5, 4: 1 / 20})


def test_of_several_starts_the_best_is_kept(tmp_path):
    learner, family = learners.lstm(num_cells=(2,)), families.boolean()
    settings = {**TINY, "num_meta_steps": 12, "validate_every": 4, "learning_rate": 0.05}
    one = meta_train(learner, family, **settings)
    assert np.isnan(one.adam_loss)  # of an optimizer alone
    several = meta_train(learner, family, directory=tmp_path / "run", num_starts=4, **settings)
    # The first start is that of a run of one; three others are no worse together.
    assert several.validation_loss <= one.validation_loss * (1 + 1e-5)
    best = [row["best_loss"] for row in several.metrics]
    assert best == sorted(best, reverse=True)
    assert several.validation_loss == best[-1]
    assert all(row["best_loss"] <= row["validation_loss"] for row in several.metrics)
    chex.assert_trees_all_equal_shapes(several.theta, one.theta)
    chex.assert_trees_all_equal(zoo.load(tmp_path / "run").theta, several.theta)
    with pytest.raises(ValueError, match="num_starts=0: it must be at least 1"):
        meta_train(learner, family, num_starts=0, **settings)


@pytest.mark.parametrize("num_starts", [1, 3])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(tmp_path, num_starts):
    learner, family = learners.lstm(num_cells=(2,)), families.boolean(num_held_out=3)
    settings = {
        **TINY,
        "num_meta_steps": 12,
        "validate_every": 4,
        "steps_per_call": 3,
        "num_starts": num_starts,
    }
    whole = meta_train(learner, family, directory=tmp_path / "whole", **settings)
    shutil.copytree(tmp_path / "whole", tmp_path / "stopped")
    # As a kill after the first validation leaves it.
    for step in (8, 12):
        shutil.rmtree(tmp_path / "stopped" / "checkpoints" / f"step_{step:09d}")
    (tmp_path / "stopped" / "theta.safetensors").unlink()
    resumed = resume(tmp_path / "stopped", quiet=True)
    chex.assert_trees_all_equal(resumed.theta, whole.theta)
    chex.assert_trees_all_equal(resumed.last_theta, whole.last_theta)
    assert [row["validation_loss"] for row in resumed.metrics] == [
        row["validation_loss"] for row in whole.metrics
    ]
    stored = zoo.load(tmp_path / "stopped")
    chex.assert_trees_all_equal(stored.theta, whole.theta)
    assert stored.kind == "function learner"
    assert stored.config.task == family.config
    assert settings_of(stored.config).num_meta_steps == 12


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 0}, "length=0"),
        ({"noise": -0.1}, "noise=-0.1"),
        ({"validation_length": 0}, "validation_length=0"),
        ({"num_validation_functions": 0}, "num_validation_functions=0"),
        ({"target": "bays"}, "'bays'"),
        ({"horizon": 10}, "unknown field of settings 'horizon'"),
        ({"estimator": "tbptt"}, "unknown estimator for function learners 'tbptt'"),
    ],
)
def test_settings_that_make_no_sense(settings, message: str):
    with pytest.raises(ValueError, match=message):
        meta_train(CASES["gru"], families.boolean(), **settings)


def test_answers_of_a_family_that_is_not_binary_are_not_recalled():
    with pytest.raises(ValueError, match="target='recall' is for binary families"):
        meta_train(CASES["gru"], families.semilinear(), target="recall")


@pytest.mark.parametrize(
    "arguments",
    [{"num_cells": (2, 2)}, {"num_cells": (0,)}, {"output": "softmax"}, {"target_scale": 0.0}],
)
def test_what_no_lstm_is(arguments):
    with pytest.raises(ValueError, match=r"as many|at least one|softmax|target_scale"):
        learners.lstm(**arguments)


@pytest.mark.parametrize("name", [n for n, r in RECIPES.items() if r.kind.name == "function learner"])
def test_recipes_can_be_made(name: str):
    recipe = RECIPES[name]
    learner, family = recipe.model.make(), recipe.task.make()
    theta = jax.eval_shape(learner.init, jax.random.key(0))
    inputs = examples(family, jax.random.key(0), 4).inputs
    assert jax.eval_shape(learner.predict, theta, inputs).shape == (4,)


def by_hand():
    """An LSTM that stores the answer to (1, 1) in cell 1, +1 for 1 and -1 for 0, and knows no other.

    Units u1 and u2 hold the last input; the input and forget gates open when both say 1.
    """
    learner = learners.lstm(num_cells=(1,), num_units=(2,))
    theta = jax.tree.map(jnp.zeros_like, learner.init(jax.random.key(0)))
    # Columns: cell input, input gate, output gate, forget gate, u1, u2; rows: x1, x2, y-, h, u1, u2.
    w = np.zeros((6, 6), np.float32)
    w[2, 0], b = 20.0, np.zeros(6, np.float32)  # the cell's input is +1 for y- = 1 and -1 for 0
    b[0] = -10.0
    w[4, 1] = w[5, 1] = 20.0
    b[1] = -30.0  # the input gate opens for u1 = u2 = 1
    w[4, 3] = w[5, 3] = -20.0
    b[3] = 30.0  # and the forget gate then closes
    w[0, 2] = w[1, 2] = 20.0
    b[2] = -30.0  # the output gate opens for x1 = x2 = 1
    w[0, 4] = w[1, 5] = 10.0
    theta["memory_cells/linear"]["w"], theta["memory_cells"]["b"] = jnp.asarray(w), jnp.asarray(b)
    theta["readout"]["w"] = jnp.array([[8.0], [0.0], [0.0]])
    return learner, theta


def test_ablation_finds_what_was_put_in():
    learner, theta = by_hand()
    ablation = inspect_learner(learner, theta, families.boolean())
    assert ablation.explained[0].argmax() == 3
    assert ablation.explained[0, 3] > 0.95
    low, high = ablation.sign_code[0, 3]
    assert low == pytest.approx(-np.tanh(1), abs=0.05)
    assert high == pytest.approx(np.tanh(1), abs=0.05)
    assert (ablation.ablated_by_pair[0] - ablation.error_by_pair).argmax() == 3
    (sentence,) = describe(ablation)
    assert sentence.startswith("cell 1 stores the answer to (1, 1), -0.76 for 0 and +0.76 for 1")
    assert "most at (1, 1)" in sentence
    assert ablation.weights["output gate"].shape == (1, 7)
    assert ablation.seen["output gate"] == ["x1", "x2", "y-", "h1", "u1", "u2", "b"]
    assert ablation.readout.tolist() == [8.0, 0.0, 0.0, 0.0]


def test_ablation_of_every_network(learner):
    theta = jax.jit(learner.init)(jax.random.key(0))
    ablation = inspect_learner(learner, theta, families.semilinear(), num_functions=8)
    assert len(describe(ablation)) == len(ablation.cells) == ablation.explained.shape[0]
    assert ablation.explained.shape[1] == 3
    assert len(ablation.units) == sum(learner.widths) == len(ablation.ablated)
    assert np.isfinite(ablation.explained).all()
    for name, matrix in ablation.weights.items():
        assert matrix.shape[1] == len(ablation.seen[name])


def test_the_previous_error_in_place_of_the_previous_target():
    """A network that is shown its errors says what one does that is shown targets and is told so much."""
    settings = {"num_cells": (2,), "output": "linear", "target_scale": 4.0}
    learner, plain = learners.lstm(**settings, shown="error"), learners.lstm(**settings)
    theta, inputs = learner.init(jax.random.key(0)), drawn().inputs
    outputs = learner.predict(theta, inputs)
    start = 0.5 + theta["readout"]["b"] / 4.0
    errors = inputs[:, 2] - jnp.concatenate([start, outputs[:-1]])
    np.testing.assert_allclose(
        plain.predict(theta, inputs.at[:, 2].set(errors + 0.5)), outputs, rtol=1e-5, atol=1e-6
    )
    with pytest.raises(ValueError, match="unknown shown 'errors'"):
        learners.lstm(shown="errors")


def test_the_running_mean_and_the_cycles_by_hand():
    targets = jnp.float32([1, 0, 0, 1, 1, 1])
    np.testing.assert_allclose(running_means(targets, 2), [0.5, 1, 0.5, 0.5, 1, 1])
    assert cycles_to_learn(np.float32([0.9, 0.2, 0.05, 0.2, 0.1, 0.05]), 0.1) == 4
    assert cycles_to_learn(np.float32([0.1, 0.1]), 0.1) == 0
    assert cycles_to_learn(np.float32([0.1, 0.2]), 0.1) is None
    assert cycles_to_learn(np.float32([0.1, np.nan]), 0.1) is None


def test_the_limit_of_one_that_is_not_told_when_functions_change():
    """Hazard 0 is the predictor of one function; after a change it doubts what it knew and then lets go."""
    family = families.boolean()
    one = drawn()
    never = family.switching(0.0)(one.inputs[:, :2], one.targets)
    np.testing.assert_allclose(never, family.bayes(one.inputs[:, :2], one.targets), atol=1e-6)
    x, y = jnp.ones((12, 2)), jnp.repeat(jnp.float32([1, 0]), 6)
    says = family.switching(0.1)(x, y)
    # Known, and 1/2 if another function came: 0.9 + 0.1 / 2; after the change likewise for the other answer.
    np.testing.assert_allclose(says, [0.5, *[0.95] * 6, *[0.05] * 5], atol=1e-6)
    evaluation = evaluate_learner(
        CASES["gru"],
        CASES["gru"].init(jax.random.key(0)),
        family,
        length=32,
        num_functions=3,
        num_sequences=100,
    )
    found = evaluation.summary()
    assert found["bayes_mse"] < found["switching_mse"] < 0.5 * found["mean_mse"]
    assert "switching_mse" not in evaluation._replace(switching_errors=None).summary()


def test_functions_that_change_at_random_times_are_functions_each():
    """Who is told when forgets: a pair of bits that was shown is then as one that was not."""
    draw, forgotten = jax.jit(with_random_changes, static_argnums=(0, 2, 3)), []
    for seed in range(8):
        drawn, told = draw(families.boolean(), jax.random.key(seed), 20, 3)
        chex.assert_shape([drawn.targets, told], (60,))
        np.testing.assert_array_equal(drawn.inputs[1:, 2], drawn.targets[:-1])
        rows = np.asarray(drawn.inputs[:, :2] @ jnp.array([2.0, 1.0])).astype(int)
        shown, times = {}, []
        for t, (row, target, said) in enumerate(zip(rows, drawn.targets, told, strict=True)):
            if np.isclose(said, 0.5):
                times += [t] if row in shown else []
            else:
                np.testing.assert_allclose(said, shown[row], atol=1e-3)
            shown[row] = float(target)
        assert len(times) <= 2 * 4  # two changes, four pairs
        forgotten += times
    assert len({t // 10 for t in forgotten}) > 3  # at any time
