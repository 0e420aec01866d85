r"""The memory of a Differentiable Neural Computer: one access of it, as a pure function.

Reference:
    Graves, Wayne, Reynolds et al., Hybrid computing using a neural network with dynamic external memory,
    Nature 538, 2016, Methods; the functions below bear the names of its paragraphs. Deviations: usage is kept
    :math:`10^{-6}` away from 0 in the allocation, and norms :math:`10^{-3}` in the content weighting, both
    for the derivative's sake; the free list is not sorted, since what it holds before a slot follows from
    N^2 comparisons, and linkage costs as much anyway.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from learned_opt.core.types import Array

EPSILON = 1e-6


class Memory(NamedTuple):
    """The state of one memory of N slots of W numbers with R read heads.

    Attributes:
        slots: M, f32[N, W].
        usage: u, f32[N], in [0, 1].
        links: L, f32[N, N]; `links[i, j]` says how far slot i was written right after slot j.
        precedence: p, f32[N], how far a slot was the last one written.
        write_weights: f32[N].
        read_weights: f32[R, N].
    """

    slots: Array
    usage: Array
    links: Array
    precedence: Array
    write_weights: Array
    read_weights: Array


class Interface(NamedTuple):
    """What a controller says to its memory in one step.

    Attributes:
        read_keys: f32[R, W].
        read_strengths: f32[R], at least 1.
        write_key: f32[W].
        write_strength: f32[], at least 1.
        erase: e, f32[W], in [0, 1].
        write: v, f32[W].
        free_gates: f32[R], in [0, 1].
        allocation_gate: f32[], in [0, 1].
        write_gate: f32[], in [0, 1].
        read_modes: f32[R, 3], of sum 1: backward, content, forward.
    """

    read_keys: Array
    read_strengths: Array
    write_key: Array
    write_strength: Array
    erase: Array
    write: Array
    free_gates: Array
    allocation_gate: Array
    write_gate: Array
    read_modes: Array


def empty_memory(num_slots: int, word_size: int, num_reads: int) -> Memory:
    """A memory that nothing was written to.

    Args:
        num_slots: N.
        word_size: W.
        num_reads: R.

    Returns:
        Zeros.

    Example:
        >>> empty_memory(3, 2, 1).links.shape
        (3, 3)
    """
    zeros, slots = jnp.zeros, jnp.zeros(num_slots, jnp.float32)
    return Memory(
        zeros((num_slots, word_size), jnp.float32),
        slots,
        zeros((num_slots, num_slots), jnp.float32),
        slots,
        slots,
        zeros((num_reads, num_slots), jnp.float32),
    )


def interface_size(word_size: int, num_reads: int) -> int:
    """Numbers in the interface vector: W R + 3 W + 5 R + 3.

    Args:
        word_size: W.
        num_reads: R.

    Returns:
        Their number.

    Example:
        >>> interface_size(2, 1)
        16
    """
    return word_size * num_reads + 3 * word_size + 5 * num_reads + 3


def interface(vector: Array, word_size: int, num_reads: int) -> Interface:
    r"""An interface vector cut and squashed into its parts ("Interface parameters").

    .. math::

        \beta = 1 + \log(1 + e^{\hat\beta}), \qquad e, f, g^a, g^w = \sigma(\cdot), \qquad
        \pi = \operatorname{softmax}(\hat\pi)

    Args:
        vector: f32[W R + 3 W + 5 R + 3].
        word_size: W.
        num_reads: R.

    Returns:
        The parts.

    Example:
        >>> said = interface(jnp.zeros(16), word_size=2, num_reads=1)
        >>> float(said.write_gate), [round(float(p), 3) for p in said.read_modes[0]]
        (0.5, [0.333, 0.333, 0.333])
    """
    shapes = ((num_reads, word_size), (num_reads,), (word_size,), (), (word_size,), (word_size,))
    shapes = (*shapes, (num_reads,), (), (), (num_reads, 3))
    parts, start = [], 0
    for shape in shapes:
        size = 1
        for n in shape:
            size *= n
        parts.append(vector[start : start + size].reshape(shape))
        start += size
    said = Interface(*parts)
    sigmoid = jax.nn.sigmoid
    return said._replace(
        read_strengths=1 + jax.nn.softplus(said.read_strengths),
        write_strength=1 + jax.nn.softplus(said.write_strength),
        erase=sigmoid(said.erase),
        free_gates=sigmoid(said.free_gates),
        allocation_gate=sigmoid(said.allocation_gate),
        write_gate=sigmoid(said.write_gate),
        read_modes=jax.nn.softmax(said.read_modes),
    )


def content_weighting(slots: Array, key: Array, strength: Array) -> Array:
    r"""Content-based addressing: how well each slot agrees with a key.

    .. math::

        C(M, k, \beta)_i = \frac{e^{\beta D(k, M_i)}}{\sum_j e^{\beta D(k, M_j)}}, \qquad
        D(u, v) = \frac{u^\top v}{|u|\, |v|}

    Args:
        slots: M, f32[N, W].
        key: k, f32[W].
        strength: beta, f32[].

    Returns:
        f32[N], of sum 1.

    Example:
        >>> weights = content_weighting(jnp.eye(2), jnp.array([1.0, 0.0]), jnp.float32(10))
        >>> bool(weights[0] > 0.999)
        True
    """
    norms = jnp.sqrt(jnp.sum(jnp.square(slots), -1) + EPSILON)
    cosines = slots @ key / (norms * jnp.sqrt(jnp.sum(jnp.square(key)) + EPSILON))
    return jax.nn.softmax(strength * cosines)


def allocation_weighting(usage: Array) -> Array:
    r"""Dynamic memory allocation: the least used slot comes first, as far as it is free.

    .. math::

        a[\phi_j] = (1 - u[\phi_j]) \prod_{i=1}^{j-1} u[\phi_i], \qquad
        \phi \text{ the slots in ascending order of usage}

    Args:
        usage: u, f32[N], in [0, 1].

    Returns:
        f32[N], of sum at most 1.

    Example:
        >>> [round(float(a), 2) for a in allocation_weighting(jnp.array([0.5, 0.2, 1.0]))]
        [0.1, 0.8, 0.0]
    """
    used = EPSILON + (1 - EPSILON) * usage
    order = jnp.arange(usage.size)
    # Slots that are used alike come in the order of their numbers.
    ties = (usage[None] == usage[:, None]) & (order[None] < order[:, None])
    before = (usage[None] < usage[:, None]) | ties
    return (1 - used) * jnp.exp(before.astype(usage.dtype) @ jnp.log(used))


def next_usage(memory: Memory, free_gates: Array) -> Array:
    r"""What is in use: what was, and what was written to, less what read heads let go of.

    .. math::

        \psi_t = \prod_{i=1}^R (1 - f_t^i\, w_{t-1}^{r,i}), \qquad
        u_t = (u_{t-1} + w_{t-1}^w - u_{t-1} \circ w_{t-1}^w) \circ \psi_t

    Args:
        memory: before the step.
        free_gates: f, f32[R].

    Returns:
        u_t, f32[N].

    Example:
        >>> memory = empty_memory(2, 1, 1)._replace(write_weights=jnp.array([1.0, 0.0]))
        >>> next_usage(memory, jnp.zeros(1)).tolist()
        [1.0, 0.0]
    """
    retention = jnp.prod(1 - free_gates[:, None] * memory.read_weights, axis=0)
    written = memory.write_weights
    return (memory.usage + written - memory.usage * written) * retention


def next_links(links: Array, precedence: Array, write_weights: Array) -> Array:
    r"""Temporal link matrix: which slot was written after which.

    .. math::

        L_t[i, j] = (1 - w_t^w[i] - w_t^w[j])\, L_{t-1}[i, j] + w_t^w[i]\, p_{t-1}[j], \qquad L_t[i, i] = 0

    Args:
        links: L_{t-1}, f32[N, N].
        precedence: p_{t-1}, f32[N].
        write_weights: w_t^w, f32[N].

    Returns:
        L_t, f32[N, N], of rows and columns of sum at most 1.

    Example:
        >>> first, second = jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])
        >>> next_links(jnp.zeros((2, 2)), precedence=first, write_weights=second).tolist()
        [[0.0, 0.0], [1.0, 0.0]]
    """
    written = write_weights[:, None]
    links = (1 - written - written.T) * links + written * precedence[None]
    return links * (1 - jnp.eye(write_weights.size, dtype=links.dtype))


def access(memory: Memory, said: Interface) -> tuple[Array, Memory]:
    r"""One step of a memory: free, allocate, write, link and read.

    .. math::

        w_t^w &= g^w \bigl[g^a a_t + (1 - g^a)\, C(M_{t-1}, k^w, \beta^w)\bigr], \qquad
        M_t = M_{t-1} \circ (1 - w_t^w e^\top) + w_t^w v^\top \\
        p_t &= \bigl(1 - \textstyle\sum_i w_t^w[i]\bigr) p_{t-1} + w_t^w \\
        w_t^{r} &= \pi_1 L_t^\top w_{t-1}^{r} + \pi_2\, C(M_t, k^r, \beta^r) + \pi_3 L_t w_{t-1}^{r}, \qquad
        r_t = M_t^\top w_t^r

    Vmap it over a batch.

    Args:
        memory: before the step.
        said: what the controller says.

    Returns:
        What each head reads, f32[R, W], and the memory after the step.

    Example:
        >>> memory = empty_memory(3, 2, 1)
        >>> reads, memory = access(memory, interface(jnp.zeros(16), word_size=2, num_reads=1))
        >>> reads.shape, round(float(memory.write_weights.sum()), 3)
        ((1, 2), 0.5)

    Reference:
        Graves et al. 2016, Methods: "Memory addressing", "Dynamic memory allocation", "Writing", "Temporal
        memory linkage", "Read weighting".
    """
    usage = next_usage(memory, said.free_gates)
    by_content = content_weighting(memory.slots, said.write_key, said.write_strength)
    allocated = said.allocation_gate * allocation_weighting(usage)
    written = said.write_gate * (allocated + (1 - said.allocation_gate) * by_content)
    slots = memory.slots * (1 - jnp.outer(written, said.erase)) + jnp.outer(written, said.write)

    links = next_links(memory.links, memory.precedence, written)
    precedence = (1 - jnp.sum(written)) * memory.precedence + written

    backward, forward = memory.read_weights @ links, memory.read_weights @ links.T
    found = jax.vmap(content_weighting, (None, 0, 0))(slots, said.read_keys, said.read_strengths)
    read = jnp.einsum("mrn,rm->rn", jnp.stack([backward, found, forward]), said.read_modes)
    return read @ slots, Memory(slots, usage, links, precedence, written, read)
