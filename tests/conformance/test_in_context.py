"""What every function learner, family, weight memory and distribution of data sets must do.

Each takes part by being registered, with its default arguments; a table adds others.
"""

import functools
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt import meta_train, resume, zoo
from learned_opt.core.kinds import KINDS, kind_of, kind_of_config
from learned_opt.in_context import (
    bayes_outputs,
    examples,
    families,
    learn,
    learners,
    xor_datasets,
)

MEMORIES, DATASETS = KINDS["weight memory"].models, KINDS["weight memory"].tasks


def made(registry, table):
    """One of each name that is registered, with default arguments, and those of the table."""
    return {name: registry.get(name)() for name in registry.names()} | {
        f"{name}-{label}": registry.get(name)(**arguments) for name, label, arguments in table
    }


LEARNERS = made(
    learners.registry,
    [
        ("lstm", "1997", {"num_cells": (2,), "num_units": (2,), "forget_gate": False, "truncated": True}),
        ("lstm", "two-layers", {"num_cells": (2, 0), "num_units": (1, 3), "feedback": True}),
        ("lstm", "linear", {"num_cells": (2,), "output": "linear", "target_scale": 20.0}),
        ("lstm", "error", {"num_cells": (2,), "shown": "error", "target_scale": 2.0}),
        ("fully_recurrent", "bptt", {"num_units": 3, "gradient": "bptt"}),
    ],
)
FAMILIES = made(
    families.registry,
    [
        ("boolean", "14", {"num_functions": 14, "num_held_out": 3}),
        ("boolean", "held-out", {"num_held_out": 3, "part": "held_out"}),
        ("quadratic", "each", {"scaled": "each"}),
    ],
)
WEIGHT_MEMORIES = made(
    MEMORIES,
    [
        ("weight_memory", "small", {"num_inputs": 2, "learner_sizes": (8,)}),
        ("weight_memory", "deep", {"num_hidden": 5, "more_hidden": (4, 3), "learner_sizes": (8,)}),
        ("weight_memory", "classes", {"num_hidden": 5, "targets": "classes", "learner_sizes": (8,)}),
        ("weight_memory", "numbers", {"num_hidden": 5, "targets": "numbers", "learner_sizes": (8,)}),
    ],
)
DISTRIBUTIONS = made(DATASETS, [("xor_datasets", "noiseless", {"num_inputs": 2, "noise": 0.0})])


@pytest.mark.parametrize(
    ("registry", "config"),
    [
        pytest.param(registry, config, id=name)
        for registry, configs in (
            (learners.registry, LEARNERS),
            (families.registry, FAMILIES),
            (MEMORIES, WEIGHT_MEMORIES),
            (DATASETS, DISTRIBUTIONS),
        )
        for name, config in configs.items()
    ],
)
def test_configurations_survive_json_and_make_what_they_say(registry, config):
    assert registry.from_json(json.loads(json.dumps(registry.to_json(config)))) == config
    assert config.make().config == config


@functools.cache
def learner_of(name: str):
    return LEARNERS[name].make()


@pytest.fixture(params=LEARNERS)
def learner(request):
    return learner_of(request.param)


@functools.cache
def begun(learner):
    """Its first theta, and its predictions, compiled once for all tests of a shape."""
    return jax.jit(learner.init)(jax.random.key(0)), jax.jit(learner.predict)


@functools.cache
def drawn(length: int = 12):
    return examples(families.boolean(), jax.random.key(5), length)


def test_predictions_do_not_look_ahead(learner):
    """What comes later has no influence, and what came before has some."""
    theta, predict = begun(learner)
    inputs = drawn().inputs
    before = predict(theta, inputs)
    after = predict(theta, inputs.at[6:].add(1.0))
    np.testing.assert_array_equal(before[:6], after[:6])
    changed = predict(theta, inputs.at[3].add(1.0))
    assert np.abs(changed - before)[4:].max() > 1e-6


def test_learners_vmap_and_keep_their_types(learner):
    theta, predict = begun(learner)
    inputs = jnp.stack([drawn().inputs, 1 - drawn().inputs])
    outputs = jax.jit(jax.vmap(learner.predict, in_axes=(None, 0)))(theta, inputs)
    assert outputs.dtype == jnp.float32
    np.testing.assert_allclose(outputs[1], predict(theta, inputs[1]), rtol=1e-5, atol=1e-6)
    chex.assert_tree_all_finite(jax.jit(jax.grad(lambda t: learner.predict(t, inputs[0]).sum()))(theta))


def test_predictions_go_on_from_a_state(learner):
    (theta, predict), inputs = begun(learner), drawn().inputs
    state = jax.tree.map(lambda s: s[4], jax.jit(learner.states)(theta, inputs))
    rest = predict(theta, inputs[5:], state=state)
    np.testing.assert_allclose(rest, predict(theta, inputs)[5:], rtol=1e-6, atol=1e-7)


def test_cutting_out_units(learner):
    """All factors 1 change nothing; of every layer a unit that is cut out is missed."""
    (theta, predict), inputs = begun(learner), drawn().inputs
    ones = tuple(jnp.ones(n) for n in learner.widths)
    whole = predict(theta, inputs)
    np.testing.assert_allclose(predict(theta, inputs, ones), whole, rtol=1e-6)
    for layer, width in enumerate(learner.widths):
        keep = (*ones[:layer], ones[layer].at[width - 1].set(0.0), *ones[layer + 1 :])
        assert not np.allclose(predict(theta, inputs, keep), whole, atol=1e-7)


def test_states_are_of_every_example(learner):
    theta, _ = begun(learner)
    states = jax.eval_shape(learner.states, theta, drawn().inputs)
    assert len(states) == len(learner.widths)
    assert all(leaf.shape[0] == 12 for leaf in jax.tree.leaves(states))


def test_every_learner_is_trained_stored_resumed_and_loaded(learner, tmp_path):
    sequences = {"length": 4, "batch_size": 2, "num_validation_sequences": 4}
    steps = {"num_meta_steps": 2, "validate_every": 2, "steps_per_call": 2, "quiet": True}
    run = meta_train(learner, families.boolean(), directory=tmp_path / "run", **sequences, **steps)
    stored = zoo.load(tmp_path / "run")
    assert stored.kind == kind_of(learner).name == kind_of_config(stored.config.model).name
    assert stored.config.model == learner.config
    chex.assert_trees_all_equal(stored.theta, run.theta)
    assert any(map(np.any, jax.tree.leaves(jax.tree.map(np.subtract, run.theta, first_theta(learner)))))
    assert resume(tmp_path / "run", quiet=True).validation_loss == run.validation_loss


def first_theta(learner):
    key = jax.random.fold_in(jax.random.key(0), 0x7A1)
    return jax.jit(learner.init)(jax.random.split(key)[0])


@pytest.mark.parametrize("name", FAMILIES)
def test_sequences_hand_on_the_target(name: str):
    drawn = examples(FAMILIES[name].make(), jax.random.key(3), length=6, num_functions=3)
    assert drawn.inputs.shape == (18, 3)
    np.testing.assert_array_equal(drawn.inputs[1:, 2], drawn.targets[:-1])
    assert drawn.inputs[0, 2] == 0
    assert np.all(np.abs(drawn.inputs[:, :2]) <= 1)
    assert np.all((drawn.targets >= 0) & (drawn.targets <= 1))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_bayes_optimal_predictor_gets_better_and_is_no_oracle(name: str):
    family = FAMILIES[name].make()

    def errors(key):
        one = examples(family, key, 24)
        return jnp.square(bayes_outputs(family, one) - one.targets)

    keys = jax.random.split(jax.random.key(0), 100)
    squared = np.asarray(jax.jit(lambda keys: jax.lax.map(errors, keys, batch_size=20))(keys)).mean(0)
    assert squared[0] > 1e-4
    assert squared[12:].mean() < 0.25 * squared[0]


@pytest.mark.parametrize("name", WEIGHT_MEMORIES)
def test_a_memory_learns_from_targets_that_are_shown_and_from_no_others(name: str):
    memory = WEIGHT_MEMORIES[name].make()
    theta = jax.jit(memory.init)(jax.random.key(0))
    datasets = xor_datasets(num_inputs=memory.num_inputs, num_samples=12)
    data = jax.jit(datasets.sample)(jax.random.key(1))
    learn_from = jax.jit(lambda data: learn(memory, theta, data, 6))
    learned = learn_from(data)
    assert learned.logits.shape == ((12,) if memory.targets.num_outputs == 1 else (12, 3))
    hidden = data._replace(targets=data.targets.at[6:].set(jnp.nan))
    chex.assert_trees_all_equal(learn_from(hidden), learned)
    shown = data._replace(targets=1 - data.targets)
    assert not np.allclose(learn_from(shown).cells[6], learned.cells[6], atol=1e-7)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_data_sets_are_standardised_and_of_all_classes(name: str):
    datasets = DISTRIBUTIONS[name].make()
    many = jax.jit(jax.vmap(datasets.sample))(jax.random.split(jax.random.key(0), 8))
    np.testing.assert_allclose(many.inputs.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(many.inputs.std(axis=1), 1, atol=1e-4)
    if datasets.targets == "numbers":
        np.testing.assert_allclose(many.targets.mean(axis=1), 0, atol=1e-5)
        np.testing.assert_allclose(many.targets.std(axis=1), 1, atol=1e-4)
    else:
        assert np.all(np.isin(many.targets, range(datasets.num_classes)))
        for number in range(datasets.num_classes):
            share = (many.targets == number).mean(axis=1)
            assert np.all((share > 0.1) & (share < 0.9))
    assert not np.array_equal(many.inputs[0], many.inputs[1])
