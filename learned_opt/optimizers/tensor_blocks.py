"""Tensors that are computed with as one array, so that a program does not grow with their number."""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np

from learned_opt.core.types import Array

SMALL = 2**14  # entries of a tensor that it costs less to copy than to have kernels of its own


class Blocks(NamedTuple):
    """How the leaves of a tree are divided into arrays with one row for each tensor.

    Small tensors that are about of one size are rows of one array, filled up with zeros. A large one is the
    only row of an array of its own, which keeps its shape and its sharding.

    Attributes:
        shapes: of the leaves.
        groups: the leaves of each block by their numbers.
        always: bool[], true, which a compiler must not know; see `stored`.
    """

    shapes: tuple[tuple[int, ...], ...]
    groups: tuple[tuple[int, ...], ...]
    always: Array

    @classmethod
    def of(cls, leaves: Sequence[Array], always: Array) -> Self:
        """Small leaves whose sizes round up to one power of four share a block.

        Where there are several devices, any leaf may be sharded, and each then is a block of its own.
        """
        groups: dict[Any, list[int]] = {}
        for i, x in enumerate(leaves):
            small = 0 < x.size <= SMALL and jax.device_count() == 1
            groups.setdefault(_magnitude(x.size) if small else (i,), []).append(i)
        return cls(tuple(x.shape for x in leaves), tuple(map(tuple, groups.values())), always)

    @property
    def order(self) -> tuple[int, ...]:
        """The leaves' numbers in the order of the blocks' rows."""
        return tuple(i for group in self.groups for i in group)

    def ordered(self, values: Sequence[Any]) -> list[Any]:
        """One value for each leaf, in the order of the blocks' rows."""
        return [values[i] for i in self.order]

    def restored(self, values: Sequence[Any]) -> list[Any]:
        """One value for each row, in the order of the leaves."""
        found: list[Any] = [None] * len(self.order)
        for i, value in zip(self.order, values, strict=True):
            found[i] = value
        return found

    @property
    def sizes(self) -> np.ndarray:
        """Entries of the rows' tensors, at least 1, f32[num_tensors]."""
        return np.array([max(math.prod(self.shapes[i]), 1) for i in self.order], np.float32)

    def pack(self, leaves: Sequence[Array]) -> list[Array]:
        """The leaves in float32 as blocks, f32[num_rows, ...]."""
        return self._stored(
            [
                _packed([leaves[i].astype(jnp.float32) for i in group], self._entry_shape(group))
                for group in self.groups
            ]
        )

    def padded(self, arrays: Sequence[Array]) -> list[Array]:
        """An array for each leaf as rows of blocks, [num_rows, ...], with zeros where shapes differ."""
        return [
            _packed([arrays[i] for i in group], _room({arrays[i].shape for i in group}))
            for group in self.groups
        ]

    def unpack(self, blocks: Sequence[Array]) -> list[Array]:
        """The leaves of blocks, in the shapes that they had."""
        rows = []
        for group, block in zip(self.groups, self._stored(blocks), strict=True):
            for row, i in zip(block, group, strict=True):
                shape = self.shapes[i]
                rows.append(row if row.shape == shape else row[: math.prod(shape)].reshape(shape))
        return self.restored(rows)

    def join(self, values: Iterable[Array]) -> Array:
        """Numbers of each block's rows as numbers of all, f32[..., num_tensors]."""
        return jnp.concatenate(list(values), axis=-1)

    def split(self, values: Array) -> list[Array]:
        """Numbers of the rows, f32[num_tensors], as factors of the blocks."""
        ends = itertools.accumulate((len(group) for group in self.groups), initial=0)
        return [
            values[start:end].reshape((end - start,) + (1,) * len(self._entry_shape(group)))
            for group, (start, end) in zip(self.groups, itertools.pairwise(ends), strict=True)
        ]

    def _stored(self, blocks: Sequence[Array]) -> list[Array]:
        """The same blocks; of those of several tensors each is made once."""
        shared = [len(group) > 1 for group in self.groups]
        made = iter(stored([x for x, yes in zip(blocks, shared, strict=True) if yes], self.always))
        return [next(made) if yes else x for x, yes in zip(blocks, shared, strict=True)]

    def _entry_shape(self, group: Sequence[int]) -> tuple[int, ...]:
        return _room({self.shapes[i] for i in group})


def _magnitude(size: int) -> int:
    """The exponent of the power of four that it rounds up to."""
    return ((size - 1).bit_length() + 1) // 2


def _room(shapes: set[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape of a row: that of all its tensors, or a vector with room for the largest."""
    return next(iter(shapes)) if len(shapes) == 1 else (max(map(math.prod, shapes)),)


def _packed(leaves: Sequence[Array], shape: tuple[int, ...]) -> Array:
    if len(leaves) == 1:
        return leaves[0][None]
    width = math.prod(shape)
    if all(x.shape == shape for x in leaves):
        return jnp.stack(leaves)
    parts = [part for x in leaves for part in (x.reshape(-1), jnp.zeros(width - x.size, x.dtype))]
    return jnp.concatenate(parts).reshape(len(leaves), width)


def stored(arrays: list[Array], always: Array) -> list[Array]:
    """The same arrays, made once and not again in each loop that reads them.

    XLA on a CPU makes arrays of many parts again wherever they are read, or the whole of a block for each
    part that is read of it: its programs grow with the square of the number of parts. It does not do so
    through a conditional. Both branches have something to do, or it would become a select.
    """
    return jax.lax.cond(always, list, _negated, arrays) if arrays else arrays


def _negated(arrays: list[Array]) -> list[Array]:
    return [-x for x in arrays]


def total(x: Array) -> Array:
    """The sum over each row's entries, f32[num_rows]."""
    return jnp.sum(x, axis=range(1, x.ndim))


@jax.custom_jvp
def settled(numbers: Array) -> Array:
    """The same numbers, f32[k, num_tensors], made once and not again for each coordinate that needs them.

    XLA fuses how a number is made into the loops over coordinates, through its own barriers too, but not
    through a product of matrices.
    """
    same = jnp.eye(len(numbers), dtype=numbers.dtype)
    return jnp.matmul(same, numbers, precision="highest")


@settled.defjvp
def _settled_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    # A zero of the identity times a derivative that overflows would not be zero.
    return settled(*primals), tangents[0]
