"""The external memory against numbers worked out by hand, and against what must hold of every memory."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learned_opt.networks import (
    DNC,
    Interface,
    access,
    allocation_weighting,
    content_weighting,
    empty_memory,
    interface,
    interface_size,
    next_links,
    next_usage,
)
from learned_opt.networks.external_memory import Memory


def assert_close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=2e-5)


def test_an_interface_vector_is_cut_and_squashed():
    """Two words and two heads; log 3 is a sigmoid of 3/4, and softplus of log(e - 1) is 1."""
    one, three = np.log(np.e - 1), np.log(3)
    parts = [1, 2, 3, 4, one, one, 5, 6, one, three, -three, 7, 8, 0, three, -three, three]
    parts += [0, 0, np.log(2), np.log(2), 0, 0]
    assert interface_size(2, 2) == len(parts)
    said = interface(jnp.array(parts, jnp.float32), word_size=2, num_reads=2)
    assert_close(said.read_keys, [[1, 2], [3, 4]])
    assert_close(said.read_strengths, [2, 2])
    assert_close(said.write_key, [5, 6])
    assert_close(said.write_strength, 2)
    assert_close(said.erase, [0.75, 0.25])
    assert_close(said.write, [7, 8])
    assert_close(said.free_gates, [0.5, 0.75])
    assert_close((said.allocation_gate, said.write_gate), (0.25, 0.75))
    assert_close(said.read_modes, [[0.25, 0.25, 0.5], [0.5, 0.25, 0.25]])


def test_content_weighting_by_hand():
    """Cosines with (3, 4) are 3/5, 1 and 0; the strength log 2 / 0.4 makes ratios of powers of two."""
    slots = jnp.array([[2.0, 0.0], [6.0, 8.0], [0.0, 0.0]])
    weights = content_weighting(slots, jnp.array([3.0, 4.0]), jnp.float32(np.log(2) / 0.4))
    ratios = np.array([2**1.5, 2**2.5, 1])
    assert_close(weights, ratios / ratios.sum())


def test_usage_and_allocation_by_hand():
    """(1/2 + 1/2 - 1/4)(1 - 1/2) = 3/8 in the first slot; of the free ones, the least used comes first."""
    memory = empty_memory(3, 2, 2)._replace(
        usage=jnp.array([0.5, 0.0, 1.0]),
        write_weights=jnp.array([0.5, 0.25, 0.0]),
        read_weights=jnp.array([[0.5, 0.0, 1.0], [1.0, 1.0, 1.0]]),
    )
    usage = next_usage(memory, jnp.array([1.0, 0.0]))
    assert_close(usage, [0.375, 0.25, 0.0])
    assert_close(allocation_weighting(usage), [0.0, 0.0, 1.0])
    assert_close(allocation_weighting(jnp.array([0.5, 0.25, 0.5])), [0.125, 0.75, 0.0625])


def test_links_by_hand():
    """Slot 0 was written last; now slot 1 is, half, and slot 2 a quarter."""
    links = jnp.array([[0.0, 0.0, 0.5], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    linked = next_links(links, jnp.array([1.0, 0.0, 0.0]), jnp.array([0.0, 0.5, 0.25]))
    assert_close(linked, [[0, 0, 0.375], [0.5, 0, 0], [0.25, 0, 0]])


def test_a_whole_step_by_hand():
    """Slot 0 was written and read last; now (0, 2) is written, and read half by content, half by links."""
    memory = Memory(
        slots=jnp.array([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]),
        usage=jnp.array([1.0, 0.0, 1.0]),
        links=jnp.zeros((3, 3)),
        precedence=jnp.array([1.0, 0.0, 0.0]),
        write_weights=jnp.array([1.0, 0.0, 0.0]),
        read_weights=jnp.array([[1.0, 0.0, 0.0]]),
    )
    said = Interface(
        read_keys=jnp.array([[1.0, 0.0]]),
        read_strengths=jnp.array([100.0]),
        write_key=jnp.array([1.0, 0.0]),
        write_strength=jnp.float32(100),
        erase=jnp.array([0.5, 0.5]),
        write=jnp.array([0.0, 2.0]),
        free_gates=jnp.array([0.0]),
        allocation_gate=jnp.float32(0.75),
        write_gate=jnp.float32(0.8),
        read_modes=jnp.array([[0.0, 0.5, 0.5]]),
    )
    reads, after = jax.jit(access)(memory, said)
    # 0.8 of the weight: three quarters to the free slot 1, one quarter to slot 0, which agrees with the key.
    assert_close(after.write_weights, [0.2, 0.6, 0.0])
    # (1, 0) (1 - 0.2 / 2) + 0.2 (0, 2); 0.6 (0, 2).
    assert_close(after.slots, [[0.9, 0.4], [0.0, 1.2], [0.0, 0.0]])
    assert_close(after.usage, [1.0, 0.0, 1.0])
    assert_close(after.precedence, [0.4, 0.6, 0.0])
    assert_close(after.links, [[0, 0, 0], [0.6, 0, 0], [0, 0, 0]])
    # Content says slot 0, the links lead with 0.6 to slot 1.
    assert_close(after.read_weights, [[0.5, 0.3, 0.0]])
    assert_close(reads, [[0.45, 0.2 + 0.36]])


@jax.jit
def walked(key, scale):
    """The memories of 12 steps in a row, from random interface vectors."""
    vectors = scale * jax.random.normal(key, (12, interface_size(2, 2)))

    def step(memory, vector):
        said = interface(vector, word_size=2, num_reads=2)
        usage = next_usage(memory, said.free_gates)
        _, memory = access(memory, said)
        return memory, (memory, allocation_weighting(usage))

    return jax.lax.scan(step, empty_memory(5, 2, 2), vectors)[1]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31 - 1), st.sampled_from([0.1, 1.0, 10.0, 100.0]))
def test_what_holds_of_every_memory(seed: int, scale: float):
    memories, allocations = jax.tree.map(np.asarray, walked(jax.random.key(seed), scale))
    slack = 1 + 1e-4
    for weights in (memories.write_weights, memories.read_weights, memories.precedence, allocations):
        assert np.all(weights >= -1e-6)
        assert np.all(weights.sum(-1) <= slack)
    assert np.all((memories.usage >= 0) & (memories.usage <= slack))
    links = memories.links
    assert np.all(links >= -1e-6)
    assert np.all(np.diagonal(links, axis1=1, axis2=2) == 0)
    assert np.all(links.sum(1) <= slack)
    assert np.all(links.sum(2) <= slack)
    for usage, allocation in zip(memories.usage, allocations, strict=True):
        # The usage that was allocated from is that of the state: nothing comes between them.
        assert allocation[np.argmin(usage)] == allocation.max()


def test_what_is_freed_is_written_to_again():
    """Three slots, five symbols: each is read with an open free gate right after it was written."""
    one = jnp.float32(1)

    def written(free):
        memory, places = empty_memory(3, 2, 1), []
        for angle in np.linspace(0, 3, 5):
            symbol = jnp.array([np.cos(angle), np.sin(angle)], jnp.float32)
            said = Interface(
                read_keys=symbol[None],
                read_strengths=jnp.array([100.0]),
                write_key=symbol,
                write_strength=one,
                erase=jnp.ones(2),
                write=symbol,
                free_gates=jnp.array([free]),
                allocation_gate=one,
                write_gate=one,
                read_modes=jnp.array([[0.0, 1.0, 0.0]]),
            )
            memory = step(memory, said)[1]
            places.append((int(jnp.argmax(memory.write_weights)), float(memory.write_weights.sum())))
        return places

    step = jax.jit(access)
    freed, kept = written(1.0), written(0.0)
    assert {place for place, _ in kept[:3]} == {0, 1, 2}
    assert all(total < 1e-3 for _, total in kept[3:])  # all is in use
    assert all(total > 0.99 for _, total in freed)


def network(num_slots: int = 4):
    def run(xs):
        core = DNC(3, hidden_size=5, num_slots=num_slots, word_size=2, num_reads=2)
        return hk.dynamic_unroll(core, xs, core.initial_state(xs.shape[1]))

    return hk.without_apply_rng(hk.transform(run))


def test_a_batch_is_its_examples_and_gradients_reach_every_parameter():
    xs, net = jax.random.normal(jax.random.key(1), (6, 3, 2)), network()
    theta = jax.jit(net.init)(jax.random.key(0), xs)
    apply = jax.jit(lambda theta, xs: net.apply(theta, xs)[0])
    together = apply(theta, xs)
    alone = [apply(theta, xs[:, i : i + 1]) for i in range(3)]
    np.testing.assert_allclose(together, jnp.concatenate(alone, axis=1), rtol=1e-5, atol=1e-6)
    grad = jax.jit(jax.grad(lambda theta: jnp.sum(jnp.square(net.apply(theta, xs)[0]))))(theta)
    assert all(np.all(np.isfinite(g)) and np.any(g != 0) for g in jax.tree.leaves(grad))


def test_the_parameters_do_not_depend_on_the_number_of_slots():
    xs = jnp.ones((2, 1, 2))
    theta = jax.jit(network(4).init)(jax.random.key(0), xs)
    assert jax.eval_shape(network(9).apply, theta, xs)[1].memory.slots.shape == (1, 9, 2)


def test_sizes_below_one_are_refused():
    with pytest.raises(ValueError, match="num_reads=0"):
        hk.transform(lambda: DNC(2, num_reads=0)).init(jax.random.key(0))
