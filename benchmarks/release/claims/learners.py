"""The same of function learners and of weight memories."""

from benchmarks.release.claims.claim import Claims
from learned_opt import meta


def _learner(
    name: str, lengths: tuple[int, ...], *known_failures: str, in_a_row: tuple[int, ...] = (1,)
) -> Claims:
    summary = meta.recipe(name).summary
    join = " to " if len(lengths) > 2 else " and "
    span = join.join(f"{length:,}" for length in sorted({min(lengths), max(lengths)}))
    return Claims(
        summary=summary[0].upper() + summary[1:],
        size=f"{span} examples of a function",
        known_failures=known_failures,
        lengths=lengths,
        in_a_row=in_a_row,
    )


LEARNERS = {
    "boolean-16": _learner(
        "boolean-16",
        (256, 64, 1000),
        "Six cells learn it from about a third of all starts; its recipe keeps the best of eight. With two "
        "other seeds the recipe ends at mean squared errors of 0.00415 and 0.00399.",
        "Inputs and targets are 0 or 1; it was never shown noise.",
    ),
    "boolean-14": _learner(
        "boolean-14",
        (64, 256),
        "It says 1/2 for a pair until it is shown the answer. On 64 examples its mean squared error is at "
        "least 0.0156, above the Bayes-optimal predictor's, which rules functions out.",
        "Its figures on held-out functions are those of one split of the functions, split 0; the suite "
        "held_out has others.",
    ),
    "boolean-16-held-out": _learner(
        "boolean-16-held-out",
        (256, 64),
        "It says 1/2 for a pair until it is shown the answer, and does not rule functions out: on 256 "
        "examples its mean squared error is at least 0.0039, above the Bayes-optimal predictor's on those of "
        "training.",
        "Its figures on held-out functions are those of one split of the functions, split 0; the suite "
        "held_out has others.",
        "Where the function changes without reset its error is 0.0078 on 256 examples: it says what it was "
        "last shown until it is shown otherwise.",
    ),
    "boolean-16-switching": _learner(
        "boolean-16-switching",
        (256, 64),
        "On five functions of 256 examples in a row its mean squared error is 0.0060, where 0.0056 is the "
        "least of one that is not told when a function begins; on five of 64 examples 0.0251, where that is "
        "0.0224.",
        "It was meta-trained once, with one seed, on from the weights of boolean-16-held-out.",
        "Inputs and targets are 0 or 1; it was never shown noise.",
        in_a_row=(5, 1),
    ),
    "semilinear": _learner(
        "semilinear",
        (64, 1000),
        "By distillation: it was not trained on the functions' values, but on what the Bayes-optimal "
        "predictor says of 24 examples of each function.",
        "What it loses to the Bayes-optimal predictor it loses mostly in the first ten examples.",
    ),
    "quadratic": _learner(
        "quadratic",
        (100, 1000),
        "Its targets lie in [0.2, 0.8] and mostly within 0.05 of 1/2; it is no learner of other functions.",
    ),
    "semilinear-switching": _learner(
        "semilinear-switching",
        (64, 1000),
        "Its error on five functions in a row is 1.4 times the least of one that is not told when a function "
        "begins, on 64 examples, and 2.8 times on 1,000.",
        "What it gains where functions change it loses where they do not: 0.0027 on 64 examples of one "
        "function, where semilinear has 0.0024.",
        "By distillation, and with one seed, on from the weights of semilinear.",
        in_a_row=(5, 1),
    ),
    "quadratic-switching": _learner(
        "quadratic-switching",
        (100, 1000),
        "Its error on five functions in a row is twice the least of one that is not told when a function "
        "begins, on 100 examples, and 2.8 times on 1,000.",
        "Where training changed functions after 100 examples always, it counted and let go at the 100th; "
        "this one saw changes at random times.",
        "By distillation, and with one seed, on from the weights of quadratic.",
        "Its targets lie in [0.2, 0.8] and mostly within 0.05 of 1/2; it is no learner of other functions.",
        in_a_row=(5, 1),
    ),
    "quadratic-each-scaled": _learner(
        "quadratic-each-scaled",
        (100, 1000),
        "Its error is 2.1 times that of the best predictor that is linear in the targets, on 100 examples, "
        "and 4.8 times on 1,000; a better one than that is not known here.",
        "By distillation from that predictor, with one seed.",
        "It is for quadratics that are each scaled by their own range; quadratic is for the others.",
    ),
}

MEMORIES = {
    "weight-memory": Claims(
        summary="LSTM whose 193 cells are the weights of a perceptron; learns noisy binary problems of 4 "
        "inputs in one pass.",
        size="193 cells, up to 180 training samples",
        known_failures=(
            "It expects two half-spaces combined by XOR, seen through noise: without any noise, or with "
            "noise that comes before the partition, an RBF support vector machine and a logistic regression "
            "of degree 2 are better.",
            "Of a problem of more than 4 inputs it sees four principal components only.",
            "The loss rises slightly while it goes on without targets, because it goes on changing the "
            "weights; predict uses those that it has when the targets end.",
            "More than 180 samples do not help one order: each shows 180 of them.",
        ),
    ),
}
