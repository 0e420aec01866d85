"""What is read off the state of a tensor controller, wherever that lies."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from learned_opt import diagnose
from learned_opt.optimizers import safeguard, tensor_controller

LOPT = tensor_controller()
THETA = LOPT.init(jax.random.key(0))
PARAMS = {"layer": {"w": jnp.ones((6, 4)), "b": jnp.ones(4)}, "rest": [jnp.ones(())]}
LABELS = {"layer": {"w": "ours", "b": "adam"}, "rest": ["slow"]}


def transformation(scale=1.0):
    return optax.chain(LOPT.build(THETA), optax.scale(scale))


def after_one_step(tx):
    with jax.numpy_dtype_promotion("standard"):  # for optax's wrappers
        return jax.jit(tx.update)(PARAMS, tx.init(PARAMS), PARAMS)[1]


def injected():
    return optax.inject_hyperparams(transformation)(scale=1.0)


WRAPPED = {
    "alone": transformation,
    "chain": lambda: optax.chain(optax.clip(1.0), transformation()),
    "injected": injected,
    "multi-steps": lambda: optax.MultiSteps(transformation(), 1),
    "safeguard": lambda: safeguard(transformation()),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_tells_the_last_step_of_each_parameter(name: str):
    readout = diagnose(after_one_step(WRAPPED[name]()))
    assert list(readout) == ["layer/b", "layer/w", "rest/0"]
    # A tenth of the prior's step, as warm-up takes ten steps.
    for row in readout.values():
        assert row.relative_step == pytest.approx(0.003 * (1 + 1 / 30) ** -0.5, rel=1e-4)
        assert row.age == 1
        assert row.orthogonal + row.adam + row.momentum == pytest.approx(1)
    share = np.exp(4) / (np.exp(4) + 2)
    assert readout["layer/w"].orthogonal == pytest.approx(share, rel=1e-5)
    assert readout["layer/b"].orthogonal == 0
    assert readout["layer/b"].adam > 0.9


def test_groups_of_params_have_their_own_steps():
    slow = tensor_controller(max_step=1e-4)
    tx = optax.partition(
        {"ours": LOPT.build(THETA), "adam": optax.adam(1e-3), "slow": slow.build(THETA)}, LABELS
    )
    readout = diagnose(after_one_step(tx))
    assert set(readout) == {"layer/w", "rest/0"}
    assert readout["rest/0"].relative_step == pytest.approx(1e-5, rel=1e-3)
    assert readout["layer/w"].relative_step > 1e-3


def test_second_controller_of_a_parameter_is_told_apart():
    readout = diagnose(after_one_step(optax.chain(transformation(), transformation())))
    assert set(readout) == {
        f"{path}{end}" for path in ("layer/b", "layer/w", "rest/0") for end in ("", " (2)")
    }


def test_prints_a_row_for_each_parameter():
    lines = str(diagnose(after_one_step(transformation()))).splitlines()
    assert len(lines) == 4
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split()[:3] == ["parameter", "relative", "step"]
    assert lines[2].split()[:2] == ["layer/w", "2.95e-03"]


def test_other_states_are_refused():
    with pytest.raises(ValueError, match="no state of a tensor controller"):
        diagnose(optax.adam(1e-3).init(PARAMS))


def test_run_of_adam_goes_on_with_the_controller():
    """From its params: the controller starts as at the first step, with ten steps of warm-up."""

    def loss(p):
        return sum(jnp.sum(jnp.square(x - 3)) for x in jax.tree.leaves(p))

    adam, ours = optax.adam(0.01), LOPT.build(THETA)
    params = PARAMS
    state = adam.init(params)
    for _ in range(20):
        updates, state = adam.update(jax.grad(loss)(params), state, params)
        params = optax.apply_updates(params, updates)
    before = loss(params)
    state = ours.init(params)
    update = jax.jit(ours.update)
    for _ in range(20):
        updates, state = update(jax.grad(loss)(params), state, params)
        params = optax.apply_updates(params, updates)
    assert loss(params) < 0.9 * before
