"""The LSTM whose cells are an MLP's weights: learning happens in the state, and only from what is shown."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt import meta_train, resume, zoo
from learned_opt.in_context import (
    Dataset,
    cluster_datasets,
    draw_datasets,
    fit_spread,
    learn,
    memory_losses,
    moved,
    regression_datasets,
    sampled_logits,
    selected_on,
    weight_memory,
    xor_datasets,
)
from learned_opt.in_context.memory.prediction import averaged_predictions
from learned_opt.in_context.memory.weight_memory import mean_loss
from learned_opt.meta.settings import settings_of

NUM_TRAIN = 60


@pytest.fixture(scope="module")
def stored():
    return zoo.load("weight-memory")


@pytest.fixture(scope="module")
def data() -> Dataset:
    return xor_datasets(num_samples=100).sample(jax.random.key(0))


def learned(stored, data, num_train=NUM_TRAIN):
    return jax.jit(lambda theta, data: learn(stored.model, theta, data, num_train))(stored.theta, data)


def test_one_step_by_hand():
    memory = weight_memory(num_inputs=1, num_hidden=1, learner_sizes=(1,))
    theta = memory.init(jax.random.key(0))
    cells = jnp.array([2.0, 0.5, -1.0, 0.25])  # W1, b1, w2, b2
    assert float(memory.predict(cells, jnp.array([1.0]))) == -1.0 * 2.5 + 0.25
    assert float(memory.predict(cells, jnp.array([-1.0]))) == 0.25
    # With all of the learner's parameters at zero only the biases of the gates are left.
    theta = jax.tree.map(jnp.zeros_like, theta)
    new, logit = memory.step(theta, cells, jnp.array([1.0]), jnp.float32(1), jnp.array(True))
    np.testing.assert_allclose(new, cells / (1 + np.exp(-5.0)), rtol=1e-6)
    assert float(logit) == -2.25


def test_unpack_holds_every_cell_once():
    memory = weight_memory(num_inputs=3, num_hidden=5)
    model = memory.unpack(jnp.arange(5 * 5 + 1, dtype=jnp.float32))
    found = np.concatenate([np.ravel(part) for part in model])
    np.testing.assert_array_equal(np.sort(found), np.arange(26))


def test_a_prediction_does_not_see_its_own_target(stored, data):
    # Whatever the target of a sample is, its prediction and those before are the same; later ones are not.
    flipped = data._replace(targets=data.targets.at[20].set(1 - data.targets[20]))
    first, second = learned(stored, data), learned(stored, flipped)
    np.testing.assert_array_equal(first.logits[:21], second.logits[:21])
    np.testing.assert_array_equal(first.cells[:21], second.cells[:21])
    assert np.all(first.cells[21] != second.cells[21])


@pytest.mark.parametrize("hidden", [0.0, 1.0, np.nan])
def test_targets_of_the_test_part_have_no_influence(stored, data, hidden):
    without = data._replace(targets=data.targets.at[NUM_TRAIN:].set(hidden))
    np.testing.assert_array_equal(learned(stored, data).logits, learned(stored, without).logits)


def test_a_frozen_learner_learns_nothing(data):
    # Gates that keep and add nothing leave the model at its first weights.
    memory = weight_memory()
    theta = memory.init(jax.random.key(0))
    gates = theta["learner"]["gates"]
    bias = jnp.repeat(jnp.array([-1e9, 1e9, 0.0]), gates["b"].shape[0] // 3)
    theta["learner"]["gates"] = {"w": jnp.zeros_like(gates["w"]), "b": bias}
    found = learn(memory, theta, data, NUM_TRAIN)
    np.testing.assert_array_equal(found.cells, np.broadcast_to(found.cells[0], found.cells.shape))
    expected = jax.vmap(memory.predict, (None, 0))(theta["initial"]["cells"], data.inputs)
    np.testing.assert_allclose(found.logits, expected, rtol=1e-5, atol=1e-6)


def test_learning_happens_in_the_state(stored):
    drawn, num_train = draw_datasets(selected_on(stored), jax.random.key(5), 100, 100, 180)
    losses = memory_losses(stored.model, stored.theta, drawn, num_train)
    nothing = memory_losses(stored.model, stored.theta, drawn, jnp.zeros_like(num_train))
    # The entropy of classes as they come is about 0.63.
    assert losses.mean() < 0.54
    assert nothing.mean() > 0.62


def test_shuffled_targets_teach_nothing(stored):
    drawn, num_train = draw_datasets(selected_on(stored), jax.random.key(6), 100, 100, 180)
    keys = jax.random.split(jax.random.key(7), 100)
    shuffled = drawn._replace(targets=jax.vmap(jax.random.permutation)(keys, drawn.targets))
    losses = memory_losses(stored.model, stored.theta, shuffled, num_train)
    assert losses.mean() > memory_losses(stored.model, stored.theta, drawn, num_train).mean() + 0.1


def test_averaged_predictions_of_one_order_are_those_of_the_cells_at_the_switch(stored, data):
    # A single training sample has one order, so that the average over views is all that is left to compare.
    train = Dataset(data.inputs[:1], data.targets[:1])
    options = {"max_train": 180, "num_orders": 4}
    key = jax.random.key(0)
    whole = averaged_predictions(stored.model, stored.theta, data, 1, data.inputs, key, **options)
    alone = averaged_predictions(stored.model, stored.theta, train, 1, data.inputs, key, **options)
    np.testing.assert_allclose(whole, alone, rtol=1e-4, atol=1e-5)


def test_sampled_predictions_are_means_over_drawn_parameters():
    """Of a linear unit of one input the mean over Gaussian weights is known by quadrature."""
    memory = weight_memory(num_inputs=1, num_hidden=1, learner_sizes=(1,))
    theta = jax.tree.map(jnp.zeros_like, memory.init(jax.random.key(0)))
    theta["initial"]["cells"] = jnp.array([2.0, 0.5, -1.0, 0.25])  # W1, b1, w2, b2
    data = Dataset(jnp.ones((3, 1)), jnp.zeros(3))
    spread = jnp.array([0.0, 0.0, 0.8, 0.6])
    found = learn(memory, theta, data, 1)
    sampled = sampled_logits(memory, theta, spread, data, 1, jax.random.key(1), num_draws=20_000)
    assert sampled[0] == found.logits[0]  # a training sample is predicted by the cells
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    for t in (1, 2):
        w1, b1, w2, b2 = np.asarray(found.cells[t])
        deviation = np.hypot(0.8 * (w1 + b1), 0.6)
        p = (weights / (1 + np.exp(-((w1 + b1) * w2 + b2 + deviation * nodes)))).sum() / weights.sum()
        assert jax.nn.sigmoid(sampled[t]) == pytest.approx(p, abs=0.01)
        assert abs(p - jax.nn.sigmoid(found.logits[t])) > 0.04  # drawing makes a difference
    none = sampled_logits(memory, theta, jnp.zeros(4), data, 1, jax.random.key(1), num_draws=2)
    np.testing.assert_allclose(none, found.logits, rtol=1e-5)


def test_a_spread_is_fitted_where_it_helps():
    """A model that is far too sure of what it cannot know is less so over drawn parameters."""
    memory = weight_memory(num_inputs=1, num_hidden=1, learner_sizes=(1,))
    theta = jax.tree.map(jnp.zeros_like, memory.init(jax.random.key(0)))
    theta["initial"]["cells"] = jnp.array([0.0, 0.0, 0.0, 3.0])
    datasets = xor_datasets(num_inputs=1, num_samples=10)
    few = {"num_steps": 200, "batch_size": 8, "num_train": (2, 4)}
    spread = fit_spread(memory, theta, datasets, jax.random.key(0), **few)
    assert spread[3] > 1.0  # from 0.05


@pytest.mark.parametrize(("targets", "num_draws"), [("numbers", 1), ("binary", 0)])
def test_what_cannot_be_sampled(targets, num_draws):
    memory = weight_memory(num_inputs=1, num_hidden=1, learner_sizes=(1,), targets=targets)
    with pytest.raises(ValueError, match=r"two classes|num_draws"):
        sampled_logits(
            memory,
            {},
            jnp.zeros(4),
            Dataset(jnp.ones((3, 1)), jnp.zeros(3)),
            1,
            jax.random.key(0),
            num_draws=num_draws,
        )


def test_costs_over_all_and_over_test_samples():
    memory = weight_memory()
    logits, targets = jnp.array([0.0, 2.0, -1.0]), jnp.array([1.0, 1.0, 0.0])
    each = np.log1p(np.exp(-np.array([0.0, 2.0, 1.0])))
    np.testing.assert_allclose(mean_loss(memory, logits, targets, 1), each.mean(), rtol=1e-6)
    np.testing.assert_allclose(mean_loss(memory, logits, targets, 1, "test"), each[1:].mean(), rtol=1e-6)
    with pytest.raises(ValueError, match="samples='train'"):
        mean_loss(memory, logits, targets, 1, "train")


def test_losses_of_classes_and_of_numbers_by_hand():
    classes = weight_memory(targets="classes", num_classes=3)
    found = mean_loss(classes, jnp.array([[0.0, 0, 0], [0, jnp.log(2), 0]]), jnp.array([2.0, 1.0]), 0)
    assert float(found) == pytest.approx((np.log(3) + np.log(2)) / 2)
    numbers = weight_memory(targets="numbers")
    assert float(mean_loss(numbers, jnp.array([1.0, 2.0]), jnp.array([0.0, 5.0]), 1, "test")) == 9.0


def test_a_deeper_model_by_hand():
    memory = weight_memory(num_inputs=1, num_hidden=1, more_hidden=(1,), learner_sizes=(1,))
    cells = jnp.array([2.0, 0.5, -3.0, 9.0, 4.0, -1.0])  # W1, b1, W2, b2, w3, b3
    assert float(memory.predict(cells, jnp.array([1.0]))) == 4 * (-3 * 2.5 + 9) - 1
    model = memory.unpack(cells)
    assert [float(x.squeeze()) for x in model.deeper[0]] == [-3.0, 9.0]
    assert float(model.output_bias) == -1.0


def test_training_samples_that_lie_among_the_others(stored, data):
    """Which are shown decides, not where they lie; the first ones are those of a number."""
    run = jax.jit(lambda which: learn(stored.model, stored.theta, data, which))
    first = jnp.arange(100) < NUM_TRAIN
    np.testing.assert_array_equal(run(first).logits, learned(stored, data).logits)
    every_second = jnp.arange(100) % 2 == 0
    shuffled = data._replace(targets=jnp.where(every_second, data.targets, 1 - data.targets))
    among = jax.jit(lambda data: learn(stored.model, stored.theta, data, every_second))
    np.testing.assert_array_equal(among(shuffled).logits, among(data).logits)
    test = mean_loss(stored.model, among(data).logits, data.targets, every_second, "test")
    assert float(test) == pytest.approx(
        float(stored.model.targets.loss(among(data).logits, data.targets)[1::2].mean()), rel=1e-5
    )


def test_who_moves_which_weight(stored):
    drawn, _ = draw_datasets(selected_on(stored), jax.random.key(1), 20, 100, 100)
    found = moved(stored, drawn, 100)
    assert found.by_learner.min() >= 0
    assert -1 <= found.correlation <= 1
    assert 0 < found.half < 0.5
    nothing = moved(stored, drawn, 0)
    np.testing.assert_array_equal(nothing.by_learner, 0)
    key = jax.random.split(jax.random.fold_in(jax.random.key(0), 0x7A1))[0]
    untrained = moved(stored._replace(theta=stored.model.init(key)), drawn, 0)
    np.testing.assert_allclose(untrained.by_meta_training, 0, atol=1e-6)


@pytest.mark.parametrize(
    ("targets", "datasets"),
    [("classes", cluster_datasets(num_samples=30)), ("numbers", regression_datasets(num_samples=30))],
)
def test_memories_of_other_targets_are_trained_with_samples_among_the_others(targets, datasets):
    memory = weight_memory(num_hidden=3, learner_sizes=(4,), targets=targets)
    run = meta_train(memory, datasets, **SMALL | {"interlaced": True})
    assert np.isfinite(run.validation_loss)
    with pytest.raises(
        ValueError, match=f"a memory of binary, 1 outputs, cannot learn data sets of {targets}"
    ):
        meta_train(weight_memory(num_hidden=3, learner_sizes=(4,)), datasets, **SMALL)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"targets": "ordinal"}, "unknown targets 'ordinal'"),
        ({"targets": "classes", "num_classes": 1}, "num_classes=1"),
        ({"more_hidden": (0,)}, r"more_hidden=\(0,\)"),
        ({"num_inputs": 0}, "num_inputs=0"),
        ({"num_hidden": 0}, "num_hidden=0"),
        ({"learner_sizes": ()}, r"learner_sizes=\(\)"),
    ],
)
def test_impossible_sizes_are_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        weight_memory(**arguments)


SMALL = {
    "num_meta_steps": 4,
    "warmup_steps": 0,
    "batch_size": 2,
    "min_train": 10,
    "max_train": 20,
    "num_validation_datasets": 4,
    "validate_every": 2,
    "steps_per_call": 2,
    "quiet": True,
}


@pytest.mark.parametrize("optimizer", ["adam", "smorms3"])
@pytest.mark.parametrize("cost", ["all", "test"])
def test_meta_training_lowers_its_loss_and_its_run_can_be_read_and_resumed(tmp_path, optimizer, cost):
    memory = weight_memory(num_inputs=1, num_hidden=4, learner_sizes=(8,))
    datasets = xor_datasets(num_inputs=1, num_samples=30, noise=0.0)
    settings = SMALL | {
        "outer_optimizer": optimizer,
        "cost": cost,
        "num_meta_steps": 60,
        "validate_every": 20,
    }
    settings |= {"batch_size": 16, "learning_rate": 2e-2, "num_validation_datasets": 64, "steps_per_call": 20}
    trained = meta_train(memory, datasets, directory=tmp_path / "run", **settings)
    losses = [row["validation_loss"] for row in trained.metrics]
    assert losses[-1] < losses[0]
    stored = zoo.load(tmp_path / "run")
    assert stored.kind == "weight memory"
    assert stored.config.model == memory.config
    assert settings_of(stored.config).estimator.cost == cost
    assert resume(tmp_path / "run", quiet=True).validation_loss == trained.validation_loss


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"min_train": 21}, "min_train=21"),
        ({"max_train": 40}, "max_train=40"),
        ({"outer_optimizer": "sgd"}, "outer_optimizer"),
    ],
)
def test_bad_settings_are_refused(settings, match):
    memory = weight_memory(num_inputs=2, num_hidden=4, learner_sizes=(8,))
    with pytest.raises(ValueError, match=match):
        meta_train(memory, xor_datasets(num_inputs=2, num_samples=40), **(SMALL | settings))


def test_data_of_other_inputs_are_refused():
    with pytest.raises(ValueError, match="a memory of 3 inputs cannot learn data sets of 2"):
        meta_train(weight_memory(num_inputs=3), xor_datasets(num_inputs=2), **SMALL)
