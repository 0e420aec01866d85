"""A user's inputs in units of their own deviations, whatever the units that they are given in."""

from typing import Any

import numpy as np

FARTHEST = 1e18  # deviations: the square is still a number of float32


def numbers(values: Any, name: str) -> np.ndarray:
    """An array of finite real numbers or NaN: integers as they are, all else as f64; ValueError naming it."""
    try:
        if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
            raise ValueError("some are masked; leave those samples out")
        array = np.asarray(values)
        if array.dtype.kind == "c":
            raise ValueError("they are complex; give real and imaginary parts as inputs of their own")
        with np.errstate(over="ignore"):  # what is infinite then is named later, with its place
            return array if array.dtype.kind in "iu" else array.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} are not numbers in rows of the same length ({error})") from error


def standardized(inputs: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both tables f64[n, d], each column scaled to mean 0 and deviation 1 over the inputs.

    No unit is too large or too small, and no offset: before anything is squared a column is scaled by a power
    of 2, which is exact, and shifted by its first value, which is exact for values near to it.

    Raises:
        ValueError: naming the value that is missing or infinite, the column that is constant, or the query
            that is too far from the inputs.

    Example:
        >>> x, q = standardized(np.array([[1e308], [-1e308]]), np.array([[0.0]]))
        >>> x.tolist(), q.tolist()
        ([[1.0], [-1.0]], [[0.0]])
    """
    for name, table in (("inputs", inputs), ("queries", queries)):
        if not np.isfinite(table).all():
            row, column = np.argwhere(~np.isfinite(table))[0]
            raise ValueError(
                f"{name}[{row}, {column}] is {table[row, column]}: values must not be missing or infinite; "
                "fill them in or leave the sample out"
            )
    constant = np.flatnonzero((inputs == inputs[:1]).all(axis=0))
    if constant.size:
        column = int(constant[0])
        raise ValueError(
            f"inputs[:, {column}] is {inputs[0, column]} in every sample, so it tells nothing; leave that "
            "column out, of the queries too"
        )
    origin, exponents = inputs[:1], np.frexp(np.abs(inputs.astype(np.float64)).max(axis=0))[1]
    x, q = (_from(origin, table, exponents) for table in (inputs, queries))
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    with np.errstate(over="ignore"):
        x, q = (x - mean) / deviation, (q - mean) / deviation
    far = np.argwhere(~(np.abs(q) < FARTHEST))
    if far.size:
        row, column = far[0]
        raise ValueError(
            f"queries[{row}, {column}] is {queries[row, column]}, more than {FARTHEST:.0e} deviations from "
            "the samples: are both in the same unit?"
        )
    return x, q


def _from(origin: np.ndarray, table: np.ndarray, exponents: np.ndarray) -> np.ndarray:
    """`(table - origin) / 2**exponents`, f64, in an order that neither overflows nor, of integers, rounds."""
    with np.errstate(over="ignore"):
        if table.dtype.kind in "iu" and origin.dtype.kind in "iu":
            return np.ldexp((table.astype(object) - origin.astype(object)).astype(np.float64), -exponents)
        scaled = (np.ldexp(values.astype(np.float64), -exponents) for values in (table, origin))
        return np.subtract(*scaled)
