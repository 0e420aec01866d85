"""The figures in the README and in the documentation are those on the shipped cards and of the suites."""

import pytest

from benchmarks.release import readme
from benchmarks.release.claims import CLAIMS
from learned_opt import zoo


@pytest.mark.parametrize("page", readme.PAGES, ids=lambda page: page.name)
def test_the_tables_are_what_was_measured(page):
    assert readme.with_tables(page) == page.read_text(), "run: python -m benchmarks.release.readme"


@pytest.mark.parametrize("picture", readme.PICTURES, ids=lambda picture: picture.name)
def test_the_pictures_are_what_was_measured(picture):
    pytest.importorskip("matplotlib")
    assert picture.read_text() == readme.PICTURES[picture](), "run: python -m benchmarks.release.readme"


def test_every_claim_was_measured():
    for name, card in zoo.available().items():
        assert [row["what"] for row in card.results] == [claim.what for claim in CLAIMS[name].measured]
        assert card.known_failures == list(CLAIMS[name].known_failures)
