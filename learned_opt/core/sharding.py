"""The mesh axis that problems are split over, and what puts them there."""

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import jax
from jax.sharding import PartitionSpec

T = TypeVar("T")

Combine = Literal["gather", "sum"] | None

PROBLEM_AXIS = "problems"


def split_by_problem(tree: T) -> T:
    """Arrays with a leading axis of problems, split over the devices of the mesh in force, if there is one.

    A hint to the compiler that changes no value: without it, what is drawn anew inside a jitted call would be
    made on every device for all problems.

    Args:
        tree: of arrays `[num_problems, ...]`.

    Returns:
        The same values. Where no mesh with an axis "problems" is set (`jax.set_mesh`), the tree itself.

    Example:
        >>> import jax.numpy as jnp
        >>> split_by_problem({"step": jnp.arange(2)})["step"].tolist()
        [0, 1]
    """
    if PROBLEM_AXIS not in jax.sharding.get_abstract_mesh().axis_names:
        return tree
    return jax.lax.with_sharding_constraint(tree, PartitionSpec(PROBLEM_AXIS))


def on_every_device(function: Callable[..., T], *arguments: Any) -> T:
    """Applies a function on every device by itself, to the whole of its arguments.

    For what is cheaper to compute everywhere than to exchange, such as random numbers.

    Args:
        function: of arrays, without randomness of its own.
        *arguments: arrays that all devices need whole; what is split is gathered.

    Returns:
        The results, whole on every device of the mesh in force, if there is one.

    Example:
        >>> import jax.numpy as jnp
        >>> on_every_device(jnp.add, jnp.int32(1), jnp.int32(2)).item()
        3
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.shape.get(PROBLEM_AXIS, 1) == 1 or PROBLEM_AXIS in mesh.manual_axes:
        return function(*arguments)
    whole = PartitionSpec()
    return jax.shard_map(function, in_specs=whole, out_specs=whole, check_vma=False)(*arguments)


def each_its_share(function: Callable[..., Any], problems: Any, *rest: Any, combine: Combine = None) -> Any:
    """Applies a function to problems, each device to its own share of them.

    For functions that treat problems in turn, such as `jax.lax.map`, which the compiler would not split by
    itself. All devices take all problems where their number does not divide them, or no mesh is in force.

    Args:
        function: `function(problems, *rest) -> results`, whose arrays have a leading axis of problems too, or
            are sums over them.
        problems: arrays `[num_problems, ...]`.
        *rest: arrays that all devices need whole.
        combine: `None` where each device keeps the results of its share; `"gather"` where all get those of
            all problems; `"sum"` where they are sums, which are added.

    Returns:
        The results, arrays `[num_problems, ...]` or sums.

    Example:
        >>> import jax.numpy as jnp
        >>> each_its_share(lambda x, y: x + y, jnp.arange(3), jnp.int32(1)).tolist()
        [1, 2, 3]
    """
    devices = jax.sharding.get_abstract_mesh().shape.get(PROBLEM_AXIS, 1)
    if devices == 1 or jax.tree.leaves(problems)[0].shape[0] % devices:
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
