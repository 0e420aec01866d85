"""Releasing: a card is made of a run, of the claims, and of what was measured, whatever was trained."""

import dataclasses
import json
import shutil
from pathlib import Path

import chex
import pytest

from benchmarks.release import release
from benchmarks.release.claims import CLAIMS
from learned_opt import meta, meta_train, zoo
from learned_opt.meta.settings import settings_of

# A few meta-steps of a recipe, by kind what its estimator takes besides.
TINY = {"num_meta_steps": 2, "warmup_steps": 1, "validate_every": 2, "steps_per_call": 2, "num_starts": 1}
TINY_ESTIMATOR = {
    "lstm-quadratic": {"horizon": 4, "truncation": 4, "num_problems": 2, "num_validation_problems": 2},
    "boolean-14": {"num_validation_sequences": 4, "batch_size": 2},
    "weight-memory": {"num_validation_datasets": 2, "batch_size": 2},
}


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A copy of what is shipped, that may be written to."""
    monkeypatch.setattr(zoo.store, "WEIGHTS", Path(shutil.copytree(zoo.store.WEIGHTS, tmp_path / "weights")))
    zoo.shipped.cache_clear()
    yield
    zoo.shipped.cache_clear()


@pytest.mark.parametrize("name", CLAIMS)
def test_the_words_of_the_claims_are_those_of_the_shipped_card(name: str, weights):
    path = zoo.folder(meta.recipe(name).kind.name) / f"{name}.json"
    before = path.read_text()
    release.release(name, words_only=True)
    assert path.read_text() == before


def test_everything_shipped_has_claims():
    assert {path.stem for path in zoo.weight_files()} == set(zoo.available(None)) == set(CLAIMS)


def trained(config: zoo.Config, **options) -> meta.Run:
    """A run of what a configuration says, with some other options."""
    validation_task = config.validation_task and config.validation_task.make()
    settings = settings_of(config).flat() | options
    model, task = config.model.make(), config.task.make()
    return meta_train(model, task, validation_task=validation_task, quiet=True, **settings)


@pytest.mark.parametrize("name", TINY_ESTIMATOR)
def test_a_released_run_is_read_back_and_made_again_from_its_card(name: str, weights, tmp_path, monkeypatch):
    kind, rows = meta.recipe(name).kind.name, [{"what": "nothing", "loss": 1.0}]
    monkeypatch.setitem(release.MEASURED, kind, lambda name, source, claims: rows)
    run = trained(zoo.load(name).config, directory=tmp_path / "run", **TINY, **TINY_ESTIMATOR[name])
    card = release.release(name, str(run.directory))
    assert card == zoo.available(kind)[name]
    assert card.config == zoo.load(name).config
    assert card.results == rows
    assert card.summary == CLAIMS[name].summary
    assert card.settings["num_meta_steps"] == 2
    assert card.settings["estimator"] | TINY_ESTIMATOR[name] == card.settings["estimator"]
    chex.assert_trees_all_equal(zoo.load(name).theta, run.theta)
    again = trained(zoo.Config.from_json(json.loads(json.dumps(card.to_json()))["config"]))
    chex.assert_trees_all_equal(again.theta, run.theta)


def test_a_function_learner_is_measured_on_each_part_and_length(monkeypatch):
    monkeypatch.setattr(release, "NUM_SEQUENCES", 20)
    claims = dataclasses.replace(CLAIMS["boolean-14"], lengths=(16,))
    rows = release.learner_rows("boolean-14", "boolean-14", claims)
    assert [row["what"] for row in rows] == [
        "training, 16 examples of a function",
        "held out, 16 examples of a function",
    ]
    assert rows[0].keys() == zoo.available("function learner")["boolean-14"].results[0].keys()


def test_what_cannot_be_released_is_said(weights, tmp_path):
    with pytest.raises(ValueError, match="did you mean 'boolean-14'"):
        release.release("bolean-14")
    with pytest.raises(ValueError, match="a run has none"):
        release.release("boolean-14", str(tmp_path), words_only=True)
    run = trained(zoo.load("boolean-14").config, directory=tmp_path / "run", **TINY)
    with pytest.raises(ValueError, match="function learner, where weight memory is asked for"):
        release.release("weight-memory", str(run.directory))


def test_minutes_of_a_run_that_was_resumed():
    rows = [{"seconds": s} for s in (30.0, 90.0, 20.0, 60.0)]
    assert release.minutes(rows) == "2 minutes"  # 90 and 60 seconds
    assert release.minutes([{"seconds": 5.0}]) == "1 minutes"
    assert release.minutes([{}]) == "time not recorded"
