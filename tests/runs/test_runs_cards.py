"""Cards say which field is wrong, and read well."""

import dataclasses
import json

import pytest

from learned_opt.runs import Card

FIELDS = {
    "name": "lstm-test",
    "summary": "Minimises " + "very " * 30 + "small quadratics.",
    "optimizer": {"name": "lstm", "hidden_sizes": [20, 20]},
    "task": {"name": "quadratic", "dim": 10},
    "objective": "sum of losses",
    "recipe": "quadratic",
    "seed": 0,
    "command": "learned-opt meta-train quadratic --seed 0",
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "compute": "1 CPU core, 12 minutes",
    "versions": {"jax": "0.10.2", "optax": "0.2.8"},
    "horizon": 1000,
    "num_coordinates": "10 to 1e4",
    "results": [
        {"what": "loss at step 100", "ours": 0.0123456, "adam": 0.5},
        {"what": "loss at step 1000", "ours": 1e-9, "sgd": "diverged"},
    ],
    "known_failures": ["Stalls after 5000 steps.", "Diverges on " + "very " * 30 + "deep nets."],
}


def test_json_round_trip():
    card = Card.from_json(FIELDS)
    assert card.to_json() == FIELDS
    assert Card.from_json(json.loads(json.dumps(card.to_json()))) == card
    structured = dataclasses.replace(card, objective={"name": "weighted", "weights": "final"})
    assert Card.from_json(structured.to_json()) == structured
    with pytest.raises(dataclasses.FrozenInstanceError):
        card.seed = 1


@pytest.mark.parametrize("name", FIELDS)
def test_missing_field_is_named(name):
    data = {k: v for k, v in FIELDS.items() if k != name}
    with pytest.raises(ValueError, match=rf"card '.*' does not fit: {name}"):
        Card.from_json(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"horizont": 3}, "unknown field of card 'lstm-test' 'horizont'; did you mean 'horizon'"),
        ({"horizon": "long"}, r"horizon='long'"),
        ({"results": [1]}, r"results\.0"),
        ({"versions": {"jax": 1}}, r"versions\.jax"),
        ({"known_failures": "none"}, "known_failures"),
    ],
)
def test_wrong_field_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        Card.from_json(FIELDS | change)


def test_card_that_does_not_fit_is_not_written():
    with pytest.raises(ValueError, match="seed='one'"):
        dataclasses.replace(Card.from_json(FIELDS), seed="one").to_json()
    with pytest.raises(ValueError, match="a card is a dictionary of its fields"):
        Card.from_json([FIELDS])


def test_rendered_card_reads_well():
    text = str(Card.from_json(FIELDS))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 88
    assert lines[0] == "lstm-test"
    assert "optimizer        lstm(hidden_sizes=[20, 20])" in lines
    assert "horizon          1,000 inner steps" in lines
    assert "command          learned-opt meta-train quadratic --seed 0" in lines
    assert "  what               ours     adam  sgd" in lines
    assert "  loss at step 100   0.01235  0.5" in lines
    assert "  loss at step 1000  1e-09          diverged" in lines
    assert "  - Stalls after 5000 steps." in lines


def test_card_without_results():
    bare = dataclasses.replace(Card.from_json(FIELDS), results=[], known_failures=[])
    assert "results" not in str(bare)
    assert bare.to_json()["results"] == []
