"""Probes of function learners find what was put in by hand, and what the shipped ones hold."""

import jax
import numpy as np
import pytest

from learned_opt import zoo
from learned_opt.in_context import (
    Probes,
    describe_probes,
    examples,
    families,
    learners,
    probe_learner,
    probe_sections,
)
from learned_opt.in_context.functions.probes import gates_in
from tests.in_context.test_learning import CASES, by_hand


def shipped(name: str) -> Probes:
    stored = zoo.load(name)
    return probe_learner(stored.model, stored.theta, stored.config.task.make(), num_functions=512)


def test_what_was_put_in():
    """A cell stores the answer to (1, 1), written when two units that hold the last input both say 1."""
    probes = probe_learner(*by_hand(), families.boolean(), num_functions=128)
    assert probes.readable[-1, 3] > 0.95
    assert (probes.readable[-1, :3] < 0.1).all()
    # In a quarter of the runs (1, 1) was asked last: its answer comes now and is written over the cell.
    np.testing.assert_allclose(probes.exchanged[0], [0, 0, 0, 0.75], atol=0.05)
    np.testing.assert_allclose(probes.holds_input[1:], 1, atol=0.01)
    assert probes.holds_input[0] < 0.5
    np.testing.assert_allclose(probes.opens["input gate"][0], [0, 0, 0, 1], atol=0.01)
    np.testing.assert_allclose(probes.opens["output gate"][0], [0, 0, 0, 1], atol=0.01)
    np.testing.assert_allclose(probes.selects[0], [0, 0.5, 0.5], atol=0.05)
    sentences = "\n".join(describe_probes(probes))
    assert "the previous input is held by unit 1, unit 2" in sentences
    assert "cell 1 is written after (1, 1), selected by unit" in sentences


@pytest.mark.parametrize("shown", ["target", "error"])
def test_gates_are_those_of_the_network(shown):
    """What cells say is what they hold, as far as the output gates that were computed are open."""
    learner = learners.lstm((2, 3), (1, 0), feedback=True, output="linear", target_scale=4.0, shown=shown)
    theta = learner.init(jax.random.key(0))
    drawn = examples(families.semilinear(), jax.random.key(1), 12)
    states = jax.tree.map(lambda s: s[None], learner.states(theta, drawn.inputs))
    gates = gates_in(learner, theta, drawn.inputs[None], states)
    cells, said = (np.concatenate([getattr(s, k)[0] for s in states], -1) for k in ("cell", "hidden"))
    np.testing.assert_allclose(gates["output gate"][0] * np.tanh(cells), said, rtol=1e-4, atol=1e-6)
    # What is added to a cell is the input gate times a hyperbolic tangent.
    added = cells[1:] - gates["forget gate"][0, 1:] * cells[:-1]
    assert (np.abs(added) < gates["input gate"][0, 1:]).all()


def test_probes_of_every_network():
    for learner in CASES.values():
        theta = jax.jit(learner.init)(jax.random.key(0))
        probes = probe_learner(learner, theta, families.semilinear(), num_functions=16, length=40)
        assert probes.exchanged.shape == (len(probes.cells), 3)
        assert probes.holds_input.shape == (len(probes.units),) == (sum(learner.widths),)
        assert np.isfinite(probes.readable).all()
        assert np.isfinite(probes.exchanged).all()
        sections = probe_sections(probes, describe_probes(probes))
        assert all(figure.startswith("<svg") for section in sections for figure in section.figures)


def test_bad_numbers():
    learner = CASES["gru"]
    theta = learner.init(jax.random.key(0))
    with pytest.raises(ValueError, match="settled=94"):
        probe_learner(learner, theta, families.boolean(), settled=94)
    with pytest.raises(ValueError, match="num_functions=8"):
        probe_learner(learner, theta, families.boolean(), num_functions=8)


def test_six_cells_on_boolean_functions():
    """Two cells hold the input; the others an answer each, which comes along into another run."""
    probes = shipped("boolean-16")
    assert (probes.readable[-1] > 0.9).all()
    storing = probes.exchanged.max(1) > 0.9
    assert storing.sum() == 4
    np.testing.assert_allclose(probes.exchanged[storing].sum(0), 1, atol=0.1)
    np.testing.assert_array_equal(probes.holds_input > 0.9, ~storing)
    pairs = probes.exchanged[storing].argmax(1)
    np.testing.assert_array_equal(probes.opens["input gate"][storing].argmax(1), pairs)


def test_spread_codes_are_read_by_a_linear_readout():
    semilinear, quadratic = shipped("semilinear"), shipped("quadratic")
    assert (semilinear.readable[-1] > 0.98).all()
    assert (quadratic.readable[-1] > 0.98).all()
    assert (np.diff(quadratic.readable.mean(1)) > -0.01).all()
    assert semilinear.cells[semilinear.falls.argmax()] == "cell 10 of layer 2"
    assert semilinear.falls.max() > 0.9
    assert "cell 10 of layer 2 follows 1 / step" in "\n".join(describe_probes(semilinear))
