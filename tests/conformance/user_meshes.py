"""Training and measuring inside `jax.set_mesh` with a mesh of the user's own.

Run in a process of its own with two devices; prints a line a mesh and call.
"""

import tempfile
import traceback

import jax
import numpy as np
import optax

from learned_opt import meta, optimizers, tasks, training

SETTINGS = {
    "horizon": 4,
    "truncation": 2,
    "num_problems": 4,
    "num_validation_problems": 4,
    "num_meta_steps": 2,
    "validate_every": 1,
    "quiet": True,
}
LOPT = optimizers.hyperparameters("adam", {"learning_rate": 0.02})


def losses() -> dict[str, np.ndarray]:
    """What every call gives; the digits are put where arrays are put by default."""
    digits = tasks.classification("digits", hidden_sizes=(3,), batch_size=4)
    directory = f"{tempfile.mkdtemp()}/run"
    return {
        "meta_train": meta.meta_train(LOPT, digits, **SETTINGS).theta,
        "meta_train to a directory": meta.meta_train(
            LOPT, tasks.quadratic(dim=2), directory=directory, **SETTINGS
        ).theta,
        "resume": meta.resume(directory, quiet=True).theta,
        "several starts": meta.meta_train(LOPT, digits, num_starts=2, **SETTINGS).theta,
        "evaluate": training.evaluate(optax.adam(0.1), digits, num_steps=2, num_problems=2),
        "tune": training.tune(optax.adam, digits, num_steps=2, num_problems=2).losses,
    }


def main() -> None:
    expected = losses()
    for axis in ("x", "problems"):
        with jax.set_mesh(jax.make_mesh((2,), (axis,))):
            for (name, value), right in zip(losses().items(), expected.values(), strict=True):
                same = all(
                    np.allclose(a, b, rtol=1e-4, atol=1e-5)
                    for a, b in zip(jax.tree.leaves(value), jax.tree.leaves(right), strict=True)
                )
                print(f"{axis}, {name}: {'ok' if same else value}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except Exception:
        traceback.print_exc()
