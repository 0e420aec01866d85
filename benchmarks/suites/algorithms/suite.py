"""A Differentiable Neural Computer on algorithmic tasks: what share of bits is wrong when it is trained."""

import functools

import optax

from benchmarks.comparison.baselines import Optimizer, untuned
from benchmarks.comparison.suite import Budget, Case, comparison
from learned_opt import tasks
from learned_opt.reports import Column

# For the quick size: seconds of training.
SMALL = {"num_bits": 2, "hidden_size": 16, "num_slots": 4, "word_size": 4}


def clipped_adam() -> optax.GradientTransformation:
    """Chosen on `copy` by hand; the gradients of a memory that is not used yet have spikes."""
    return optax.chain(optax.clip_by_global_norm(10.0), optax.adam(3e-3))


def cases(size: str) -> list[Case]:
    if size == "quick":
        make = functools.partial(tasks.copy, max_length=2, **SMALL)
        return [Case("copy-2", make, (500,), summary="Up to 2 symbols of 2 bits, copied.")]
    horizon = {"default": 10_000, "full": 50_000}[size]
    return [
        Case("copy", tasks.copy, (horizon,), summary="1 to 6 symbols of 4 bits, copied."),
        Case("repeat-copy", tasks.repeat_copy, (horizon,), summary="1 to 3 symbols, copied 1 to 3 times."),
        Case(
            "associative-recall",
            tasks.associative_recall,
            (horizon,),
            summary="The one of 2 to 4 items of 6 bits that came after a given one.",
        ),
    ]


def optimizers(size: str) -> tuple[Optimizer, ...]:
    del size
    return (untuned("adam-3e-3-clipped", clipped_adam),)


SUITE = comparison(
    "algorithms",
    cases,
    version=1,
    summary="A Differentiable Neural Computer that learns to copy, to copy several times and to recall what "
    "came after an item; wrong bits at the greatest length of training, and at twice that length.",
    budgets={
        "quick": Budget(seeds=1, problems=2),
        "default": Budget(seeds=5, problems=1),
        "full": Budget(seeds=5, problems=1),
    },
    optimizers=optimizers,
    metrics={
        "bit_errors": Column("wrong bits", best="low", digits=3),
        "bit_errors_at_twice": Column("wrong bits at twice the length", best="low", digits=3),
    },
)
