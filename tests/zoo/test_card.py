"""Cards say which field is wrong, and read well."""

import dataclasses
import json

import pytest

from learned_opt import optimizers, tasks, zoo
from learned_opt.zoo import Card

SETTINGS = {
    "estimator": {"name": "tbptt", "horizon": 1000, "weights": [1.0] * 1000},
    "seed": 3,
    "learning_rate": 1e-3,
}
CONFIG = {
    "kind": "optimizer",
    "model": optimizers.registry.to_json(optimizers.lstm().config),
    "task": tasks.registry.to_json(tasks.quadratic().config),
    "validation_task": None,
    "settings": SETTINGS,
}
FIELDS = json.loads(
    json.dumps(
        {
            "name": "lstm-test",
            "summary": "Minimises " + "very " * 30 + "small quadratics.",
            "config": CONFIG,
            "start": None,
            "command": "learned-opt train quadratic --seed 3",
            "commit": "0123456789abcdef0123456789abcdef01234567",
            "compute": "1 CPU core, 12 minutes",
            "versions": {"jax": "0.10.2", "optax": "0.2.8"},
            "size": "10 to 1e4 parameters",
            "results": [
                {"what": "loss at step 100", "ours": 0.0123456, "adam": 0.5},
                {"what": "loss at step 1000", "ours": 1e-9, "sgd": "diverged"},
            ],
            "known_failures": ["Stalls after 5000 steps.", "Diverges on " + "very " * 30 + "deep nets."],
        }
    )
)


def test_json_round_trip():
    card = Card.from_json(FIELDS)
    assert card.to_json() == FIELDS
    assert Card.from_json(json.loads(json.dumps(card.to_json()))) == card
    assert (card.seed, card.horizon, card.config.model.hidden_sizes) == (3, 1000, (20, 20))
    with pytest.raises(dataclasses.FrozenInstanceError):
        card.name = "another"


def test_a_function_learners_card_has_no_horizon():
    card = zoo.available("function learner")["boolean-16"]
    with pytest.raises(AttributeError, match="boolean-16 is a function learner, which has no horizon"):
        _ = card.horizon


@pytest.mark.parametrize("name", FIELDS)
def test_missing_field_is_named(name):
    data = {k: v for k, v in FIELDS.items() if k != name}
    with pytest.raises(ValueError, match=rf"card '.*' does not fit: {name}"):
        Card.from_json(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sumary": "short"}, "unknown field of card 'lstm-test' 'sumary'; did you mean 'summary'"),
        ({"size": 3}, r"size=3"),
        ({"config": CONFIG | {"kind": "optimiser"}}, "unknown kind 'optimiser'; did you mean 'optimizer'"),
        ({"config": CONFIG | {"task": {"name": "quadratik"}}}, "unknown task 'quadratik'"),
        ({"results": [1]}, r"results\.0"),
        ({"versions": {"jax": 1}}, r"versions\.jax"),
        ({"known_failures": "none"}, "known_failures"),
    ],
)
def test_wrong_field_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        Card.from_json(FIELDS | change)


def test_card_that_does_not_fit_is_not_written():
    with pytest.raises(ValueError, match="size=3"):
        dataclasses.replace(Card.from_json(FIELDS), size=3).to_json()
    with pytest.raises(ValueError, match="a card is a dictionary of its fields"):
        Card.from_json([FIELDS])


def test_rendered_card_reads_well():
    text = str(Card.from_json(FIELDS))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "lstm-test"
    assert any(line.startswith("optimizer        lstm(hidden_sizes=(20, 20), ") for line in lines)
    assert "estimator        tbptt(horizon=1000, weights=[1.0] * 1000)" in lines
    assert "settings         seed=3, learning_rate=0.001" in lines
    assert "tried on         10 to 1e4 parameters" in lines
    assert "command          learned-opt train quadratic --seed 3" in lines
    first = lines.index("  loss at step 100")
    assert lines[first + 1] == "    ours 0.01235, adam 0.5"
    assert lines[first + 2 : first + 4] == ["  loss at step 1000", "    ours 1e-09, sgd diverged"]
    assert "  - Stalls after 5000 steps." in lines


def test_results_and_mixtures_are_told_briefly():
    numbers = {"ours": 0.1, "standard_error": 0.0123, "best_baseline": "adam", "baseline": 0.2, "diverged": 0}
    row = {"what": "step 100", **numbers, "problems": 8, "command": "learned-opt evaluate lstm-test"}
    text = str(dataclasses.replace(Card.from_json(FIELDS), results=[row]))
    lines = [
        "  step 100 (8 problems)",
        "    ours 0.1 ± 0.012, adam 0.2",
        "    learned-opt evaluate lstm-test",
    ]
    assert "\n".join(lines) in text
    three = tasks.mixture((tasks.quadratic(dim=2), tasks.quadratic(dim=3), tasks.rosenbrock()))
    config = tasks.registry.to_json(three.config)
    text = str(Card.from_json(FIELDS | {"config": CONFIG | {"task": config}}))
    text = " ".join(text.split())
    assert "), the same with dim=3, rosenbrock(" in text


def test_card_without_results():
    bare = dataclasses.replace(Card.from_json(FIELDS), results=[], known_failures=[])
    assert "results" not in str(bare)
    assert bare.to_json()["results"] == []
