"""What is shipped computes what it did when it was shipped: one small computation for each weight.

The numbers lie in golden.json. For a new weight, or one that was replaced on purpose, write them with

    python -m tests.zoo.test_golden NAME
"""

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import learned_opt
from learned_opt import in_context, zoo

GOLDEN = Path(__file__).with_name("golden.json")
NUM_UPDATES = 20
# Of the largest number in an array. Compilers of float32 add and fuse in other orders: with and without XLA's
# optimizations and its two code generators, the arrays differ by up to 8e-6 (lstm-quadratic), most by 1e-6.
TOLERANCE = 1e-4


def optimizer(name: str) -> optax.GradientTransformation:
    return learned_opt.pretrained(name)


def function_learner(name: str) -> Callable[[jax.Array], jax.Array]:
    stored = zoo.load(name)
    return functools.partial(stored.model.predict, stored.theta)


def weight_memory(name: str) -> Callable[..., np.ndarray]:
    return functools.partial(in_context.predict, weights=name, num_orders=4)


def shipped() -> dict[str, Callable[[str], dict[str, Any]]]:
    """The computation of every shipped weight, by name."""
    computations = {
        "optimizer": changes_of_params,
        "function learner": predictions_in_a_sequence,
        "weight memory": predictions_after_training_samples,
    }
    return {name: computations[card.config.kind] for name, card in zoo.available(None).items()}


def changes_of_params(name: str) -> dict[str, Any]:
    """How far the parameters are from their start after 20 updates."""
    tx = optimizer(name)
    params, stream = parameters_and_stream()

    @jax.jit
    def last_params(params, stream):
        def body(carry, inputs):
            (params, state), (shift, curvature) = carry, inputs
            gradient = jax.tree.map(lambda a, h, x: a + h * x, shift, curvature, params)
            updates, state = tx.update(gradient, state, params, prox=soft_threshold)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(body, (params, tx.init(params)), stream)[0][0]

    return jax.tree.map(lambda last, first: last - first, last_params(params, stream), params)


def parameters_and_stream() -> tuple[Any, tuple[Any, Any]]:
    """Parameters x, and a stream of a and h that give the gradients a + h x.

    The curvatures h are what some rules measure. The shifts a keep every rule from converging, where its
    weights would no longer matter. In the second half some gradients are exactly zero.
    """
    rng = np.random.default_rng(0)
    shapes = {"scalar": (), "vector": (5,), "matrix": (4, 3), "conv_kernel": (3, 3, 2, 3)}
    params, shifts, curvatures = {}, {}, {}
    for leaf, shape in shapes.items():
        update = np.arange(NUM_UPDATES).reshape(-1, *(1 for _ in shape))
        shift, curvature = rng.normal(size=(NUM_UPDATES, *shape)), rng.uniform(0.5, 2, shape)
        present = (update < NUM_UPDATES // 2) | (rng.random(shift.shape) < 0.7)
        params[leaf] = rng.normal(size=shape).astype(np.float32)
        shifts[leaf] = (present * shift).astype(np.float32)
        curvatures[leaf] = (present * curvature).astype(np.float32)
    return params, (shifts, curvatures)


def soft_threshold(params: Any, step_size: Any) -> Any:
    """The proximal operator of |x|_1 / 100, for the rules that ask for one."""
    return jax.tree.map(
        lambda x, eta: jnp.sign(x) * jnp.maximum(jnp.abs(x) - 0.01 * eta, 0), params, step_size
    )


def predictions_in_a_sequence(name: str) -> dict[str, Any]:
    """For bits and their XOR, then for numbers in [-1, 1] and half of their mean above one half."""
    rng = np.random.default_rng(0)
    bits, numbers = rng.integers(0, 2, (20, 2)), rng.uniform(-1, 1, (20, 2))
    targets = np.concatenate([bits[:, 0] != bits[:, 1], 0.5 + numbers.mean(1) / 2])
    previous = np.concatenate([[0], targets[:-1]])
    inputs = np.concatenate([np.concatenate([bits, numbers]), previous[:, None]], axis=1)
    return {"predictions": jax.jit(function_learner(name))(jnp.asarray(inputs, jnp.float32))}


def predictions_after_training_samples(name: str) -> dict[str, Any]:
    """Of an XOR of two half-spaces, from 60 samples, for 20 others."""
    inputs = np.random.default_rng(0).normal(size=(80, 4))
    targets = (inputs[:, 0] > 0) != (inputs[:, 1] > inputs[:, 2])
    return {"probabilities": weight_memory(name)(inputs[:60], targets[:60], inputs[60:])}


def golden() -> dict[str, dict[str, Any]]:
    return json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}


def write(names: list[str]) -> None:
    """Adds to the file, or replaces there, what the named weights compute now."""
    known = golden()
    for name in names:
        known[name] = {key: digits(np.asarray(array)) for key, array in shipped()[name](name).items()}
    GOLDEN.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")


def digits(array: np.ndarray) -> Any:
    """The numbers in lists, with the nine digits that tell float32 numbers apart."""
    return [digits(part) for part in array] if array.ndim else float(f"{array:.9g}")


@pytest.mark.parametrize("name", shipped())
def test_what_is_shipped_computes_what_it_did(name: str):
    expected = golden().get(name)
    assert expected, f"{name} has no golden numbers; write them with `python -m tests.zoo.test_golden {name}`"
    actual = shipped()[name](name)
    assert sorted(actual) == sorted(expected)
    for key, array in actual.items():
        wanted = np.asarray(expected[key])
        np.testing.assert_allclose(
            np.asarray(array), wanted, rtol=0, atol=TOLERANCE * np.abs(wanted).max(), err_msg=key
        )


def test_golden_numbers_are_of_what_is_shipped():
    assert sorted(golden()) == sorted(shipped())


if __name__ == "__main__":
    write(sys.argv[1:])
