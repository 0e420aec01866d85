import pytest

from learned_opt.core import unknown_name


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("lsmt", ["dnc", "lstm"], "unknown optimizer 'lsmt'; did you mean 'lstm'? Known: dnc, lstm"),
        ("zzz", ["lstm", "dnc"], "unknown optimizer 'zzz'. Known: dnc, lstm"),
        ("lstm", [], "unknown optimizer 'lstm'. Known: none"),
        (None, ["lstm"], "unknown optimizer None. Known: lstm"),
        (["lstm"], iter(["lstm"]), "unknown optimizer ['lstm']; did you mean 'lstm'? Known: lstm"),
    ],
)
def test_message_has_the_name_the_nearest_and_all(name, known, expected):
    error = unknown_name("optimizer", name, known)
    assert isinstance(error, ValueError)
    assert str(error) == expected
