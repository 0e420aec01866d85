"""The mesh axis that problems are split over, and what puts them there."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax.sharding import PartitionSpec

T = TypeVar("T")

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


def sum_over_problems(function: Callable[..., Any], common: Any, *problems: Any) -> Any:
    """A function's sum over problems, to which each device adds its own problems' part.

    For functions that go through problems in turn, which the compiler would not split by itself.

    Args:
        function: `function(common, *problems) -> sums`, a tree of arrays.
        common: arrays that all devices have whole.
        *problems: trees of arrays `[num_problems, ...]`.

    Returns:
        The sums. Where no mesh with an axis "problems" is set, or it does not divide the problems, all is
        done on every device.

    Example:
        >>> import jax.numpy as jnp
        >>> sum_over_problems(lambda a, x: a * jnp.sum(x), jnp.float32(2), jnp.ones(3)).item()
        6.0
    """
    devices = jax.sharding.get_abstract_mesh().shape.get(PROBLEM_AXIS, 1)
    if devices == 1 or jax.tree.leaves(problems)[0].shape[0] % devices:
        return function(common, *problems)

    def share(common: Any, *problems: Any) -> Any:
        return jax.lax.psum(function(common, *problems), PROBLEM_AXIS)

    whole, split = PartitionSpec(), PartitionSpec(PROBLEM_AXIS)
    specs = (whole, *[split] * len(problems))
    # Unchecked: that the carry of a loop starts as a constant is no error.
    return jax.shard_map(share, in_specs=specs, out_specs=whole, check_vma=False)(common, *problems)
