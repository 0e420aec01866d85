"""Each operation of the Neural Programmer against values worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt.networks.neural_programmer import OPERATIONS, Registers, first_registers, run_operations

TABLE = jnp.array([[1.0, -2.0], [3.0, 5.0], [4.0, 0.0]])
GREATER, LESSER = jnp.float32(TABLE > 2), jnp.float32(TABLE < 4)
REGISTERS = Registers(jnp.array([1.0, 0.0, 0.5]), jnp.array([0.0, 0.0, 1.0]), jnp.array([2.0, 3.0, 7.0]))
COLUMN = jnp.array([0.25, 0.75])
KEPT = [1.0, 0.0, 0.5]


def run(operation: str, registers: Registers = REGISTERS, column=COLUMN):
    chosen = jax.nn.one_hot(OPERATIONS.index(operation), len(OPERATIONS))
    return run_operations(registers, TABLE, GREATER, LESSER, chosen, column)


@pytest.mark.parametrize(
    ("operation", "scalar", "rows"),
    [
        ("sum", 0.25 * (1 + 0.5 * 4) + 0.75 * (-2), KEPT),
        ("count", 1.5, KEPT),
        ("difference", 7.0 - 2.0, KEPT),
        ("greater", 0.0, [0.0, 1.0, 0.25]),
        ("lesser", 0.0, [1.0, 0.25, 0.75]),
        ("and", 0.0, [0.0, 0.0, 0.5]),
        ("or", 0.0, [1.0, 0.0, 1.0]),
        ("assign", 0.0, KEPT),
        ("reset", 0.0, [1.0, 1.0, 1.0]),
    ],
)
def test_one_operation(operation: str, scalar: float, rows: list[float]):
    registers, answer = run(operation)
    assert float(answer.scalar) == pytest.approx(scalar)
    np.testing.assert_allclose(registers.rows, rows)
    np.testing.assert_array_equal(registers.rows_before, REGISTERS.rows)
    np.testing.assert_allclose(registers.scalars, [scalar, 2.0, 3.0])
    lookup = np.outer([1.0, 0.0, 0.5], [0.25, 0.75]) if operation == "assign" else np.zeros((3, 2))
    np.testing.assert_allclose(answer.lookup, lookup)


def test_operations_are_weighted():
    half = jnp.zeros(len(OPERATIONS)).at[jnp.array([0, 1])].set(0.5)
    _, answer = run_operations(REGISTERS, TABLE, GREATER, LESSER, half, jnp.array([1.0, 0.0]))
    assert float(answer.scalar) == pytest.approx(0.5 * 3 + 0.5 * 1.5)


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (["sum", "reset", "count", "difference"], (1 + 3 + 4) - 3),
        (["greater", "lesser", "and", "sum"], 3),
        (["greater", "lesser", "or", "count"], 3),
        (["reset", "reset", "lesser", "sum"], 1 + 3),
    ],
)
def test_programs_of_four_steps_answer_the_questions(program: list[str], expected: float):
    registers, answer = first_registers(3), None
    for operation in program:
        registers, answer = run(operation, registers, jnp.array([1.0, 0.0]))
    assert float(answer.scalar) == expected
