import dataclasses

import pytest

from learned_opt.core import validated


def test_all_wrong_fields_are_named_at_once():
    @dataclasses.dataclass
    class Point:
        x: int
        y: tuple[float, float] = (0.0, 0.0)

    with pytest.raises(ValueError, match=r"point does not fit: x='a'.*; y\.1='b'"):
        validated(Point, {"x": "a", "y": (1.0, "b")}, "point")
    assert validated(Point, {"x": 1, "y": [1, 2]}, "point") == Point(1, (1.0, 2.0))
