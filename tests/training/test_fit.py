"""Training on batches from the disk: left-out samples, and runs that are stopped and go on."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from learned_opt import datasets, runs, training
from learned_opt.tasks import Answers, StreamedTask
from learned_opt.training.fit import held_out_metrics

pytest.importorskip("grain")


@dataclasses.dataclass
class Points:
    """Numbers with noise from the pipeline's generator; those in `broken` cannot be read."""

    broken: tuple[int, ...] = ()
    remedy: str = "mend the points"

    def __len__(self):
        return 10

    def sample(self, index, rng):
        if index in self.broken:
            raise datasets.UnreadableError(f"point {index}: it is broken")
        noise = 0.0 if rng is None else rng.normal()
        return {"x": np.float32(index + noise), "type": np.int32(index % 2)}


def _answers(params, state, batch, is_training):
    loss = (params["a"] - batch["x"]) ** 2
    return Answers(loss, loss < 4), state + float(is_training)


TASK = StreamedTask(lambda key, batch: ({"a": jnp.zeros(())}, jnp.zeros(())), _answers, ("even", "odd"))
SETTINGS = training.FitSettings(num_steps=6, batch_size=4, period=2)
TX = optax.adam(0.1)


class Killed(Exception):
    pass


def test_a_run_that_is_stopped_goes_on_to_the_same_bits(tmp_path: Path):
    whole = training.fit(TASK, Points(), TX, SETTINGS)

    def kill(step, figures):
        if step == 3:
            raise Killed

    directory = runs.RunDirectory.create(tmp_path / "run", {})
    with pytest.raises(Killed):
        training.fit(TASK, Points(), TX, SETTINGS, directory=directory, on_step=kill)
    resumed = training.fit(TASK, Points(), TX, SETTINGS, directory=directory)
    assert [row["step"] for row in resumed.rows] == [2, 4, 6]
    jax.tree.map(np.testing.assert_array_equal, whole.state, resumed.state)
    for expected, row in zip(whole.rows, resumed.rows, strict=True):
        assert expected["loss"] == row["loss"]


def test_what_cannot_be_read_is_counted_and_not_learned_from():
    settings = dataclasses.replace(SETTINGS, max_skipped=0.2, num_steps=5, period=5)
    fitted = training.fit(TASK, Points(broken=(9,)), optax.sgd(0.0), settings)
    assert fitted.state.skipped == fitted.rows[-1]["skipped"] == 2  # in 20 samples of 10
    # With params at zero the loss is the mean square of what was read: the blank sample would lower it.
    with datasets.batches(Points(broken=(9,)), batch_size=4, seed=0) as found:
        read = [batch["x"][batch["valid"]] for batch, _ in zip(found, range(5), strict=False)]
    assert fitted.rows[-1]["loss"] == pytest.approx(np.mean([np.mean(x**2) for x in read]), rel=1e-5)


def test_too_much_that_cannot_be_read_stops_the_run():
    settings = dataclasses.replace(SETTINGS, max_skipped=0.01, num_steps=100)
    with pytest.raises(datasets.UnreadableError, match=r"mend the points.*\n  point 3: it is broken"):
        training.fit(TASK, Points(broken=(3, 5)), TX, settings)


def test_each_kind_of_samples_has_its_accuracy_and_padding_none():
    state = training.FitState(0, {"a": jnp.asarray(8.0)}, jnp.zeros(()), (), 0)
    row = held_out_metrics(TASK, state, Points(), SETTINGS)
    assert row["test_accuracy"] == pytest.approx(0.3)  # 7, 8 and 9
    assert row["test_accuracy_even"] == pytest.approx(0.2)
    assert row["test_accuracy_odd"] == pytest.approx(0.4)
    assert row["test_skipped"] == 0
    assert row["test_loss"] == pytest.approx(np.mean((8 - np.arange(10)) ** 2))
