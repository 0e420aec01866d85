"""Networks that learn algorithms, a Differentiable Neural Computer and a Neural Programmer, and how well."""

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


def clipped_rmsprop() -> optax.GradientTransformation:
    """As Graves et al. (2016) train; on `copy` it generalises further than Adam."""
    return optax.chain(optax.clip_by_global_norm(10.0), optax.rmsprop(1e-2))


def decayed_adam(num_steps: int) -> optax.GradientTransformation:
    """Chosen on `neural_programmer` by hand."""
    rate = optax.cosine_decay_schedule(1e-2, max(num_steps, 1))
    return optax.chain(optax.clip_by_global_norm(10.0), optax.adam(rate))


CLIPPED = untuned("adam-3e-3-clipped", clipped_adam)
RMSPROP = untuned("rmsprop-1e-2-clipped", clipped_rmsprop)
DECAYED = Optimizer("adam-1e-2-clipped-decayed", "untuned", decayed_adam)


def cases(size: str) -> list[Case]:
    if size == "quick":
        make = functools.partial(tasks.copy, max_length=2, **SMALL)
        return [
            Case("copy-2", make, (500,), summary="Up to 2 symbols of 2 bits, copied.", only=(CLIPPED.name,))
        ]
    horizon = {"default": 10_000, "full": 50_000}[size]
    memory = functools.partial(Case, horizons=(horizon,), only=(CLIPPED.name,))
    programs = functools.partial(Case, horizons=(horizon,), only=(DECAYED.name,))
    return [
        memory(
            "copy",
            tasks.copy,
            summary="1 to 6 symbols of 4 bits, copied.",
            only=(CLIPPED.name, RMSPROP.name),
        ),
        memory("repeat-copy", tasks.repeat_copy, summary="1 to 3 symbols, copied 1 to 3 times."),
        memory(
            "associative-recall",
            tasks.associative_recall,
            summary="The one of 2 to 4 items of 6 bits that came after a given one.",
        ),
        programs("questions", tasks.neural_programmer, summary="On tables with one column."),
        programs(
            "questions-3",
            functools.partial(tasks.neural_programmer, num_columns=3),
            summary="On tables with three columns.",
        ),
    ]


def optimizers(size: str) -> tuple[Optimizer, ...]:
    del size
    return CLIPPED, RMSPROP, DECAYED


SUITE = comparison(
    "algorithms",
    cases,
    version=1,
    summary="A Differentiable Neural Computer that learns to copy, to copy several times and to recall what "
    "came after an item; wrong bits at the greatest length of training, and at twice that length. A Neural "
    "Programmer that learns to answer questions on tables; the share of exact answers.",
    budgets={
        "quick": Budget(seeds=1, problems=2),
        "default": Budget(seeds=5, problems=1),
        "full": Budget(seeds=5, problems=1),
    },
    optimizers=optimizers,
    metrics={
        "bit_errors": Column("wrong bits", best="low", digits=3),
        "exact_answers": Column("exact answers", best="high", digits=3),
        "bit_errors_at_twice": Column("wrong bits at twice the length", best="low", digits=3),
        "bit_errors_at_twice_with_room": Column("the same with twice the slots", best="low", digits=3),
    },
)
