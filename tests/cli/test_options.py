"""Options from dataclasses, and the words before them."""

import dataclasses

import pytest

from learned_opt.cli.options import chosen, listing, parse, target, with_configs


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a command."""

    seed: int = 0


def test_the_target_is_split_off():
    assert target(["lstm-mnist", "--seed", "3"], "usage") == ("lstm-mnist", ["--seed", "3"])


@pytest.mark.parametrize(("words", "status"), [([], 2), (["--help"], 0), (["--seed", "3"], 2)])
def test_the_usage_stands_in_for_a_missing_target(words, status, capsys):
    with pytest.raises(SystemExit) as exit_:
        target(words, "usage: ...")
    assert exit_.value.code == status
    assert capsys.readouterr().out == "usage: ...\n"


def test_a_listing_has_two_columns():
    assert listing({"list": "names", "train": "one"}) == "  list   names\n  train  one"


def test_the_last_choice_counts():
    assert chosen(["--seed", "3", "--estimator", "es", "--estimator=pes"], "--estimator") == "pes"
    assert chosen(["--seed", "3"], "--estimator") is None


def test_configurations_are_options_with_a_prefix():
    joined = with_configs(Options, inner=Options(seed=1))
    options = parse(joined, ["--inner.seed", "3"], "learned-opt demo", "")
    assert options == joined(seed=0, inner=Options(seed=3))
    assert parse(joined, [], "learned-opt demo", "").inner == Options(seed=1)
