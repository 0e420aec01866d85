"""Releasing: a card is made of a run, of the claims, and of what was measured, whatever was trained."""

import dataclasses
import json
import shutil

import pytest

from benchmarks.release import release
from benchmarks.release.claims import CLAIMS
from learned_opt import in_context, runs, zoo


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Whatever is shipped in directories of its own, that may be written to."""
    for kind in ("OPTIMIZER", "LEARNER", "MEMORY"):
        found = getattr(release, kind)
        copy = shutil.copytree(found.directory, tmp_path / kind)
        monkeypatch.setattr(release, kind, dataclasses.replace(found, directory=copy))


@pytest.mark.parametrize("name", CLAIMS)
def test_the_words_of_the_claims_are_those_of_the_shipped_card(name: str, shipped):
    path = release.kind_of(name).directory / f"{name}.json"
    before = path.read_text()
    release.release(name, words_only=True)
    assert path.read_text() == before


def test_everything_shipped_has_claims():
    shipped = {
        path.stem
        for d in (zoo.WEIGHTS, in_context.WEIGHTS, in_context.MEMORY_WEIGHTS)
        for path in d.glob("*.safetensors")
    }
    assert shipped == set(CLAIMS)


def test_a_run_of_a_function_learner_becomes_a_card(shipped, tmp_path, monkeypatch):
    recipe = in_context.learner_recipe("boolean-14")
    run = tmp_path / "run"
    settings = dataclasses.asdict(recipe.settings) | {
        "num_steps": 2,
        "warmup_steps": 1,
        "num_starts": 1,
        "num_validation_sequences": 4,
        "batch_size": 2,
    }
    trained = in_context.train_learner(
        recipe.learner.make(), recipe.family.make(), directory=run, quiet=True, **settings
    )
    monkeypatch.setattr(release, "NUM_SEQUENCES", 20)
    monkeypatch.setitem(release.CLAIMS, "boolean-14", dataclasses.replace(CLAIMS["boolean-14"], lengths=(8,)))
    card = release.release("boolean-14", str(run))
    directory = release.kind_of("boolean-14").directory
    written = in_context.LearnerCard.from_json(json.loads((directory / "boolean-14.json").read_text()))
    assert written.settings["num_steps"] == 2
    assert [row["what"] for row in card["results"]] == [
        "training, 8 examples of a function",
        "held out, 8 examples of a function",
    ]
    assert written.results == card["results"]
    theta, _ = runs.load_weights(directory / "boolean-14.safetensors")
    assert theta.keys() == trained.theta.keys()


def test_minutes_of_a_run_that_was_resumed():
    rows = [{"seconds": s} for s in (30.0, 90.0, 20.0, 60.0)]
    assert release.minutes(rows) == "2 minutes"  # 90 and 60 seconds
    assert release.minutes([{"seconds": 5.0}]) == "1 minutes"
    assert release.minutes([{}]) == "time not recorded"
