"""The suite of function learners: seeds side by side train as one does alone; the table says who learned."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from benchmarks.comparison.learners import judge
from benchmarks.harness.results import Cell
from benchmarks.harness.suite import Key, Request
from benchmarks.suites.in_context import descent, ensembles, measured, sets, suite
from learned_opt import in_context
from learned_opt.in_context import families, learners
from learned_opt.meta import Settings, initial_state, meta_steps
from learned_opt.training import loss_gradient

SETTINGS = Settings(
    estimator=in_context.Sequences(length=8, batch_size=4),
    num_meta_steps=20,
    warmup_steps=2,
    steps_per_call=5,
    learning_rate=0.03,
)


def test_a_seed_among_others_trains_as_it_does_alone():
    learner, family = learners.lstm(num_cells=(2,)), families.boolean()
    thetas, rate, tried = ensembles.train(learner, family, SETTINGS, num_seeds=2, rates=(0.03,))
    assert (rate, tried) == (0.03, [0.03])
    theta_keys, step_keys = jax.random.split(jax.random.key(SETTINGS.seed), (2, 2))
    outer = SETTINGS.make_outer_optimizer()
    estimator = loss_gradient(in_context.sequence_loss(learner, family, SETTINGS.estimator))
    for i in range(2):
        state = initial_state(theta_keys[i], step_keys[i], learner.init, outer, estimator, ())
        state, _ = meta_steps(step_keys[i], state, (), outer, estimator, SETTINGS.num_meta_steps)
        alone, among = state.theta, jax.tree.map(lambda leaf, i=i: leaf[i], thetas)
        chex.assert_trees_all_close(among, alone, rtol=1e-3, atol=1e-5)


def test_a_trial_chooses_the_learning_rate_that_learns():
    # One constant function; the first rate moves nothing.
    constant = families.TABLES[[0b0000]]
    learner, family = learners.elman(num_units=2), families.among(constant, constant)
    rates = (1e-9, 0.3, float("inf"))
    _, rate, tried = ensembles.train(learner, family, SETTINGS, num_seeds=1, rates=rates)
    assert (rate, tuple(tried)) == (0.3, rates)
    # None is taken from the edge before others beyond it were tried.
    _, rate, tried = ensembles.train(learner, family, SETTINGS, num_seeds=1, rates=(1e-9, 1e-3))
    assert tried[:3] == [1e-9, 1e-3, 3e-3]
    assert rate > 1e-3


def test_judging_is_that_of_the_package():
    learner, family = learners.gru(num_units=2), families.semilinear()
    thetas = jax.vmap(learner.init)(jax.random.split(jax.random.key(0), 2))
    first, second = judge(learner, thetas, lambda: family, length=12, num_sequences=200)
    theta = jax.tree.map(lambda leaf: leaf[0], thetas)
    alone = in_context.evaluate_learner(learner, theta, family, length=12, num_sequences=200).summary()
    assert first["mse"] == pytest.approx(alone["mse"], rel=0.2)
    assert first["bayes_mse"] != second["bayes_mse"]  # sequences of its own
    assert first["accuracy"] is None


def test_rows_say_who_learned():
    seeds = [
        {"mse": mse, "bayes_mse": 0.01, "settled_mse": 0.0, "accuracy": None, "bayes_accuracy": None}
        for mse in (0.011, 0.019, 0.3)
    ]
    result = {"epochs": 10, "learning_rate": 0.1, "tried": [0.01, 0.1], "seeds": seeds}
    row = suite.row_of("lstm", result)
    assert (row["learned"], row["mse"], row["mse_high"]) == ("2 of 3", 0.019, 0.3)
    assert row["ratio"] == pytest.approx(1.9)
    assert "accuracy" not in row
    assert row["on_edge"]
    assert not suite.row_of("lstm", result | {"tried": [0.01, 0.1, 1.0]})["on_edge"]
    # Of several starts the one that validation chose, though another is better.
    of_starts = suite.row_of("lstm", result | {"chosen": 1})
    assert (of_starts["mse"], of_starts["mse_low"], of_starts["learned"]) == (0.019, 0.011, "2 of 3")
    assert suite.row_of("lstm", result | {"chosen": 2})["mse"] == 0.3
    del result["tried"]  # as of what is shipped
    assert not suite.row_of("lstm", result)["on_edge"]


def test_the_plan_has_every_network_on_every_set():
    jobs = suite.plan(Request())
    planned = {(job.key.task, job.key.optimizer) for job in jobs}
    assert len(planned) == len(jobs)
    for name, what in suite.SETS.items():
        references = *(suite.SHIPPED + shipped for shipped in what.shipped), suite.MEAN, *descent.DESCENTS
        if what.starts:  # they are with the set of one start
            references = ()
        assert planned >= {(name, network) for network in (*what.networks, *references)}
    with pytest.raises(ValueError, match="no optimizers"):
        suite.plan(Request(optimizers=("adam",)))


def test_gradient_descent_on_a_sequence_by_hand():
    """The first answer is that of the start; the second that after one step on the first example."""
    one = descent.learner(descent.Descent(optax.sgd, num_hidden=1), 0.5)
    theta = (jnp.zeros((2, 1)), jnp.ones(1), jnp.ones(1), jnp.zeros(()))
    inputs = jnp.array([[0.0, 0, 0], [0, 0, 1], [0, 0, 0]])
    says = one.predict(theta, inputs)
    h = np.tanh(1.0)
    p = 1 / (1 + np.exp(-h))
    slope = 2 * (p - 1) * p * (1 - p)  # of the squared error at a target of 1
    b, v, c = 1 - 0.5 * slope * (1 - h**2), 1 - 0.5 * slope * h, -0.5 * slope
    assert says[0] == pytest.approx(p)
    assert says[1] == pytest.approx(1 / (1 + np.exp(-(np.tanh(b) * v + c))))
    assert says[2] < says[1]


def test_of_several_starts_all_are_judged_and_one_is_chosen():
    what = sets.Set(families.boolean, 8, (), 8, starts=3)
    budget = sets.Budget(1, 8, 20, batch_size=4, rates=(0.03,))
    found = measured.trained(what, learners.elman(num_units=2), budget, lambda key: {})
    assert len(found["seeds"]) == 3
    assert found["chosen"] in range(3)
    assert len({figures["mse"] for figures in found["seeds"]}) == 3  # starts of their own


def test_figure_three_has_a_line_for_each_learner_and_reference():
    task, what = f"boolean-16{suite.IN_A_ROW}", suite.SETS[f"boolean-16{suite.IN_A_ROW}"]
    networks = [suite.SHIPPED + what.shipped[0], suite.UNTOLD]
    cells = [
        Cell(
            Key("in_context", task, network, what.length, None, "meta-training"),
            {},
            {"absolute": [0.5] * 1280},
            {},
            0.0,
        )
        for network in networks
    ]
    svg = suite.figure_three(cells)
    assert all(network in svg for network in networks)
