import pytest

from learned_opt.core.errors import check_above_zero, check_at_least, unknown_name


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("lsmt", ["dnc", "lstm"], "unknown optimizer 'lsmt'; did you mean 'lstm'? Known: dnc, lstm"),
        ("zzz", ["lstm", "dnc"], "unknown optimizer 'zzz'. Known: dnc, lstm"),
        ("lstm", [], "unknown optimizer 'lstm'. Known: none"),
        ("zzz", ["lstm", "dnc", "lstm"], "unknown optimizer 'zzz'. Known: dnc, lstm"),  # each once
        (None, ["lstm"], "unknown optimizer None. Known: lstm"),
        (["lstm"], iter(["lstm"]), "unknown optimizer ['lstm']; did you mean 'lstm'? Known: lstm"),
    ],
)
def test_message_has_the_name_the_nearest_and_all(name, known, expected):
    error = unknown_name("optimizer", name, known)
    assert isinstance(error, ValueError)
    assert str(error) == expected


@pytest.mark.parametrize("value", [0.5, float("nan")])
def test_arguments_out_of_range_are_quoted(value: float):
    check_at_least(1, first=1, second=2)
    check_above_zero(first=0.1)
    with pytest.raises(ValueError, match=rf"^second={value}: it must be at least 1$"):
        check_at_least(1, first=1, second=value)
    with pytest.raises(ValueError, match=rf"^second={-value}: it must be positive$"):
        check_above_zero(first=1, second=-value)
