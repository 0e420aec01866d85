"""The mesh axis that problems are split over, and what puts them there."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, PartitionSpec

T = TypeVar("T")

Combine = Literal["gather", "sum"] | None

PROBLEM_AXIS = "problems"


@contextlib.contextmanager
def without_mesh() -> Iterator[None]:
    """Outside the mesh that a user has set, whose axes are not those that problems are split over."""
    if jax.sharding.get_abstract_mesh().empty:
        yield
    else:
        with jax.set_mesh(Mesh(np.empty((), dtype=object), ())):
            yield


def off_explicit_mesh(tree: T) -> T:
    """A tree of arrays, keys apart; those on a mesh of explicit axes, which no other takes, leave it."""

    def moved(leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array) or not leaf.is_fully_addressable:
            return leaf
        explicit = AxisType.Explicit in jax.typeof(leaf).sharding.mesh.axis_types
        return jnp.asarray(np.asarray(leaf)) if explicit else leaf

    return jax.tree.map(moved, tree)


def split_by_problem(tree: T) -> T:
    """Arrays with a leading axis of problems, split over the devices of the mesh in force, if there is one.

    A hint to the compiler that changes no value: without it, what is drawn anew inside a jitted call would be
    made on every device for all problems.
    """
    if PROBLEM_AXIS not in jax.sharding.get_abstract_mesh().axis_names:
        return tree
    return jax.lax.with_sharding_constraint(tree, PartitionSpec(PROBLEM_AXIS))


def on_every_device(function: Callable[..., T], *arguments: Any) -> T:
    """Applies a function, without randomness of its own, on every device to the whole of its arguments.

    For what is cheaper to compute everywhere than to exchange, such as random numbers.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.shape.get(PROBLEM_AXIS, 1) == 1 or PROBLEM_AXIS in mesh.manual_axes:
        return function(*arguments)
    whole = PartitionSpec()
    return jax.shard_map(function, in_specs=whole, out_specs=whole, check_vma=False)(*arguments)


def each_its_share(function: Callable[..., Any], problems: Any, *rest: Any, combine: Combine = None) -> Any:
    """`function(problems, *rest)`, each device on its own share of the problems.

    For functions that treat problems in turn, such as `jax.lax.map`, which the compiler would not split by
    itself. All devices take all problems where their number does not divide them, or no mesh is in force.
    Problems are arrays `[num_problems, ...]`; all devices need the rest whole. Results keep the axis of
    problems, on each device its share (`combine=None`) or everywhere (`"gather"`), or are added up (`"sum"`).
    """
    mesh = jax.sharding.get_abstract_mesh()
    devices = mesh.shape.get(PROBLEM_AXIS, 1)
    # On explicit axes, which are never ours, each array's type says where it lies.
    if devices == 1 or PROBLEM_AXIS in mesh.explicit_axes or jax.tree.leaves(problems)[0].shape[0] % devices:
        return function(problems, *rest)

    def share(problems: Any, *rest: Any) -> Any:
        results = function(problems, *rest)
        if combine == "sum":
            return jax.lax.psum(results, PROBLEM_AXIS)
        return jax.lax.all_gather(results, PROBLEM_AXIS, tiled=True) if combine == "gather" else results

    split, whole = PartitionSpec(PROBLEM_AXIS), PartitionSpec()
    specs = (split, *[whole] * len(rest))
    # Unchecked: that some carry of a rule's loop starts as a constant is no error.
    return jax.shard_map(share, in_specs=specs, out_specs=whole if combine else split, check_vma=False)(
        problems, *rest
    )
