"""Networks that learn algorithms, a Differentiable Neural Computer and a Neural Programmer, and how well."""

import functools

import optax

from benchmarks.comparison.baselines import Optimizer, untuned
from benchmarks.comparison.suite import Budget, Case, comparison
from learned_opt import tasks
from learned_opt.reports import Column

# For the quick size: seconds of training.
SMALL = {"num_bits": 2, "hidden_size": 16, "num_slots": 4, "word_size": 4}
# Shares of the steps, and the weight of the programs' entropy in them: learn, look for more, learn, decide.
STAGES = ((0.2, 0.0), (0.2, 3.0), (0.3, 0.0), (0.3, -0.3))
HELD = 0.5  # share of the steps before the learning rate decays


def clipped_adam() -> optax.GradientTransformation:
    """Chosen on `copy` by hand; the gradients of a memory that is not used yet have spikes."""
    return optax.chain(optax.clip_by_global_norm(10.0), optax.adam(3e-3))


def decayed_rmsprop(num_steps: int) -> optax.GradientTransformation:
    """As Graves et al. (2016) train, with a decay; chosen on recall by hand."""
    rate = optax.cosine_decay_schedule(1e-2, max(num_steps, 1))
    return optax.chain(optax.clip_by_global_norm(10.0), optax.rmsprop(rate))


def late_decayed_adam(num_steps: int) -> optax.GradientTransformation:
    """Chosen on `neural_programmer` by hand."""
    held = round(HELD * num_steps)
    decay = optax.cosine_decay_schedule(3e-3, max(num_steps - held, 1))
    rate = optax.join_schedules([optax.constant_schedule(3e-3), decay], [held])
    return optax.chain(optax.clip_by_global_norm(10.0), optax.adam(rate))


CLIPPED = untuned("adam-3e-3-clipped", clipped_adam)
RMSPROP = Optimizer("rmsprop-1e-2-clipped-decayed", "untuned", decayed_rmsprop)
LATE = Optimizer("adam-3e-3-clipped-late-decayed", "untuned", late_decayed_adam)


def cases(size: str) -> list[Case]:
    if size == "quick":
        make = functools.partial(tasks.copy, max_length=2, **SMALL)
        return [
            Case("copy-2", make, (500,), summary="Up to 2 symbols of 2 bits, copied.", only=(CLIPPED.name,))
        ]
    steps = {"default": 10_000, "full": 50_000}[size]
    return [
        Case(
            "copy",
            tasks.copy,
            (steps,),
            summary="1 to 6 symbols of 4 bits, copied.",
            only=(CLIPPED.name, RMSPROP.name),
        ),
        Case(
            "repeat-copy",
            functools.partial(tasks.repeat_copy, max_length=6),
            (steps,),
            summary="1 to 6 symbols, copied 1 to 3 times.",
            only=(RMSPROP.name,),
        ),
        Case(
            "associative-recall",
            functools.partial(tasks.associative_recall, max_items=8, num_slots=40),
            (2 * steps,),
            summary="The one of 2 to 8 items of 6 bits that came after a given one.",
            only=(RMSPROP.name,),
        ),
        _questions("questions", 1, 2 * steps, "On tables with one column."),
        _questions("questions-3", 3, 2 * steps, "On tables with three columns."),
    ]


def _questions(name: str, num_columns: int, num_steps: int, summary: str) -> Case:
    make = functools.partial(tasks.neural_programmer, num_columns, width=64)
    stages = tuple((share, functools.partial(make, exploration=weight)) for share, weight in STAGES)
    return Case(name, make, (num_steps,), summary=summary, only=(LATE.name,), stages=stages)


def optimizers(size: str) -> tuple[Optimizer, ...]:
    del size
    return CLIPPED, RMSPROP, LATE


SUITE = comparison(
    "algorithms",
    cases,
    version=2,
    summary="A Differentiable Neural Computer that learns to copy, to copy several times and to recall what "
    "came after an item; wrong bits at the greatest length of training, at twice that length, and there in "
    "twice the slots. A Neural Programmer that learns to answer questions on tables; the share of exact "
    "answers.",
    budgets={
        "quick": Budget(seeds=1, problems=2),
        "default": Budget(seeds=5, problems=1),
        "full": Budget(seeds=5, problems=1),
    },
    optimizers=optimizers,
    independent=True,
    metrics={
        "bit_errors": Column("wrong bits", best="low", digits=3),
        "exact_answers": Column("exact answers", best="high", digits=3),
        "bit_errors_at_twice": Column("wrong bits at twice the length", best="low", digits=3),
        "bit_errors_at_twice_with_room": Column("the same with twice the slots", best="low", digits=3),
    },
)
