"""What a claim is."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Claim:
    """One measurement of an optimizer, in words, and its options of `learned-opt evaluate`."""

    what: str
    words: str = ""


@dataclasses.dataclass(frozen=True)
class Claims:
    """The hand-written part of a card."""

    summary: str
    size: str  # what it was tried on
    known_failures: tuple[str, ...]  # one sentence each, read off the measurements
    measured: tuple[Claim, ...] = ()
    research: bool = False  # whether code outside the package has made it, and no recipe's run is shipped yet
    lengths: tuple[int, ...] = ()  # examples of a function that a learner is measured on
    in_a_row: tuple[int, ...] = (1,)  # and functions of a sequence, one after another without reset
