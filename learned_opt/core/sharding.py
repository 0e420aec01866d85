"""The mesh axis that problems are split over, and the one constraint that puts them there."""

from typing import TypeVar

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
