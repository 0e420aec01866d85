"""The README's figures are those on the shipped cards."""

from benchmarks import readme
from benchmarks.claims import SHEETS
from learned_opt import zoo


def test_the_table_is_the_cards():
    text = readme.README.read_text()
    assert readme.with_tables(text) == text, "run: python -m benchmarks.readme"


def test_every_claim_was_measured():
    for name, card in zoo.available().items():
        assert [row["what"] for row in card.results] == [claim.what for claim in SHEETS[name].claims]
        assert card.known_failures == list(SHEETS[name].known_failures)
