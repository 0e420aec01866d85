"""What is measured of each shipped optimizer, and what its card says beside the figures."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Claim:
    """One measurement: the words of a `learned-opt evaluate` command after the optimizer's name.

    Attributes:
        what: the measurement in words.
        words: the options.
    """

    what: str
    words: str = ""


@dataclasses.dataclass(frozen=True)
class Sheet:
    """The hand-written part of a card.

    Attributes:
        summary: one sentence on what the optimizer is.
        num_coordinates: the sizes that it was tried on.
        claims: what is measured.
        known_failures: one sentence each, read off the measurements.
    """

    summary: str
    num_coordinates: str
    claims: tuple[Claim, ...]
    known_failures: tuple[str, ...]


SHEETS: dict[str, Sheet] = {
    "lstm-quadratic": Sheet(
        summary="Coordinatewise LSTM for Gaussian quadratics in about ten dimensions.",
        num_coordinates="10 to 20",
        claims=(
            Claim("10-d quadratics, step 100 (the horizon it was trained for)"),
            Claim("10-d quadratics, step 200", "--num-steps 200"),
            Claim("10-d quadratics, step 1,000", "--num-steps 1000 --num-problems 256"),
            Claim("20-d quadratics, step 100", "--task.dim 20"),
            Claim("10-d quadratics of condition number 100, step 100", "--task.condition-number 100"),
        ),
        known_failures=(
            "On well-conditioned problems swept baselines end lower: at condition number 100 NAG's loss is "
            "6.9 times smaller at step 100.",
            "The advantage shrinks away from 10 dimensions and from 100 steps: 0.49x the best baseline in 20 "
            "dimensions, 0.59x at 1,000 steps.",
            "Its third input is the size of the gradients: those of another scale than these quadratics' are "
            "outside what it was trained on.",
            "The mean loss is carried by the few worst-conditioned problems; the standard error is large.",
        ),
    ),
    "lstm-mnist": Sheet(
        summary="Coordinatewise LSTM on normalised gradients for small MLPs on MNIST.",
        num_coordinates="15,910 to 31,810",
        claims=(
            Claim("MNIST, 20 sigmoid units, step 100", "--extra-steps 100"),
            Claim("MNIST, 20 sigmoid units, step 200", "--num-steps 200"),
            Claim("MNIST, 40 sigmoid units, step 100", "--task.hidden-sizes 40"),
            Claim("MNIST, 20 ReLU units, step 100", "--task.activation relu"),
        ),
        known_failures=(
            "On ReLU units, which it was not trained on, it ends 1.09 times above the best swept baseline at "
            "step 100 and never reaches swept Adam's loss.",
            "Its third input is the size of the gradients: networks whose gradients are scaled otherwise are "
            "another problem to it. lstm-general sees no scale.",
            "Nothing beyond 200 steps was measured. On Rosenbrock's function it diverges at learning_rate=1.",
        ),
    ),
    "lstm-general": Sheet(
        summary="Coordinatewise LSTM on normalised gradients, trained under random scaling: the default.",
        num_coordinates="1,510 to 15,910",
        claims=(
            Claim("digits, 20 sigmoid units, step 100"),
            Claim("digits, 20 sigmoid units, step 1,000", "--num-steps 1000"),
            Claim("digits, 20 ReLU units, step 100", "--task.activation relu"),
            Claim("MNIST, 20 sigmoid units, step 100", "--task.dataset mnist"),
        ),
        known_failures=(
            "On MNIST it ends 1.01 times above the best swept baseline (NAG) at step 100; its advantage "
            "there is a fast start, and lstm-mnist is better.",
            "It takes steps of at most 0.1 a coordinate, sized for params of order one; set learning_rate "
            "for others.",
            "Only classifiers of up to 15,910 params with one hidden layer were measured, to 1,000 steps on "
            "digits and to 100 on MNIST.",
        ),
    ),
}
