"""A run's events for TensorBoard."""

import struct
from typing import NamedTuple

import pytest

from learned_opt import runs


def test_events_for_tensorboard(tmp_path):
    directory = runs.RunDirectory.create(tmp_path / "run", {})
    for first in (1, 3):  # the second time as a resumed run
        with runs.history(directory, State(0)) as h:
            for step in (first, first + 1):
                h.add(State(step), {"loss": 1.0 / step, "nothing": None})
    assert scalars(directory.tensorboard_path) == [
        (step, "loss", pytest.approx(1 / step)) for step in (1, 2, 3, 4)
    ]


class State(NamedTuple):
    step: int


def scalars(directory):
    """All scalars in the event files of a directory, the oldest file first."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(directory.iterdir()):
        data, offset = path.read_bytes(), 0
        while offset < len(data):  # length, checksum, event, checksum
            (length,) = struct.unpack_from("<Q", data, offset)
            event = Event.FromString(data[offset + 12 : offset + 12 + length])
            found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
            offset += length + 16
    return found
