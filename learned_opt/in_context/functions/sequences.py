"""Meta-training a function learner: sequences of examples from a family, and what it is to say of them."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from learned_opt.core.kinds import Kind, Trainable, register_kind
from learned_opt.core.remembered import remembered
from learned_opt.core.types import Array, Estimator, Key, Theta
from learned_opt.in_context.functions import families, learners
from learned_opt.in_context.functions.bayes import row_of
from learned_opt.in_context.functions.evaluation import CHUNK
from learned_opt.in_context.functions.families import Examples, Family, bayes_outputs, examples
from learned_opt.in_context.functions.learners import FunctionLearner
from learned_opt.meta.settings import Settings
from learned_opt.training.estimators.loss_gradient import Loss, loss_gradient
from learned_opt.training.estimators.settings import check_positive, registry

EPOCH = 100  # sequences
NOISE_STREAM = 0x401


@registry.add
@dataclasses.dataclass(frozen=True, kw_only=True)
class Sequences:
    """The exact gradient of the mean squared error on fresh sequences.

    Attributes:
        length: examples of each function.
        validation_length: the same in validation; as in training by default. Short sequences show the
            beginning of a function, which is what is hard, more often; what they teach holds on longer ones.
        num_functions: functions in a sequence, one after another without reset.
        random_changes: whether another function begins at random times in training, as many in a sequence and
            of that mean length. Where all are of one length, a learner can count and know when.
        num_validation_functions: functions in a sequence in validation, all of one length.
        batch_size: sequences in a step; an epoch is 100 sequences.
        target: what a learner is trained to say: the function's value, `"predict"`; or `"recall"`, for binary
            families, the last answer that it was shown for the pair, whichever function that was of, and
            1/2 before any. With several functions in a sequence, answers of two of them are then to be held
            side by side, and ruling functions out gains nothing. Or `"bayes"`, what the Bayes-optimal
            predictor says, which is distillation: the same optimum, and gradients without the noise of
            what cannot be known. Of several functions it is told where one begins; who is not does best to
            say what it is expected to say.
        noise: standard deviation of the Gaussian noise on all that a learner sees in training. What it is to
            say, validation and evaluation have none.
        num_validation_sequences: fresh sequences that theta is selected on.
    """

    name = "sequences"

    length: int = 64
    validation_length: int | None = None
    num_functions: int = 1
    random_changes: bool = False
    num_validation_functions: int = 1
    batch_size: int = 25
    target: Literal["predict", "recall", "bayes"] = "predict"
    noise: float = 0.0
    num_validation_sequences: int = 500

    def __post_init__(self):
        check_positive(
            self,
            "length",
            "num_functions",
            "num_validation_functions",
            "batch_size",
            "num_validation_sequences",
        )
        if self.validation_length is not None:
            check_positive(self, "validation_length")
        if not self.noise >= 0:
            raise ValueError(f"noise={self.noise!r}: it must not be negative")

    @property
    def examples_in_validation(self) -> int:
        """Examples of each function in validation."""
        return self.length if self.validation_length is None else self.validation_length

    @property
    def epochs_per_step(self) -> float:
        """Epochs, of 100 sequences of one function each, that a meta-step takes of every start."""
        return self.batch_size * self.num_functions / EPOCH


def trainable(
    learner: FunctionLearner, family: Family, validation_family: Family, settings: Settings, mesh: Any
) -> Trainable:
    """What the trainer sees of a function learner; its sequences are on one device, whatever the mesh.

    A validation reports the mean squared error and, of binary families, the accuracy.
    """
    sequences: Sequences = settings.estimator
    key = settings.validation_key()
    figures = _figures(learner, validation_family, sequences)

    def validate(theta: Theta) -> dict[str, float]:
        return {name: float(figure) for name, figure in figures(theta, key).items()}

    return Trainable(learner.init, _estimator(learner, family, sequences), validate)


@remembered
def _estimator(learner: FunctionLearner, family: Family, sequences: Sequences) -> Estimator:
    return loss_gradient(sequence_loss(learner, family, sequences))


@remembered
def _figures(
    learner: FunctionLearner, family: Family, sequences: Sequences
) -> Callable[[Theta, Key], dict[str, Array]]:
    """A validation, jitted."""

    @jax.jit
    def figures(theta: Theta, key: Key) -> dict[str, Array]:
        def errors(key: Key) -> Array:
            drawn = examples(
                family, key, sequences.examples_in_validation, sequences.num_validation_functions
            )
            return learner.predict(theta, drawn.inputs) - drawn.targets

        keys = jax.random.split(key, sequences.num_validation_sequences)
        found = jax.lax.map(errors, keys, batch_size=CHUNK)
        figures = {"loss": jnp.square(found).mean()}
        return figures | ({"accuracy": (jnp.abs(found) < 0.5).mean()} if family.binary else {})

    return figures


KIND = register_kind(
    Kind(
        name="function learner",
        plural="function learners",
        model=FunctionLearner,
        models=learners.registry,
        tasks=families.registry,
        estimators=("sequences",),
        trainable=trainable,
    )
)


def sequence_loss(learner: FunctionLearner, family: Family, sequences: Sequences) -> Loss:
    """The meta-loss of a step: the mean squared error on fresh sequences.

    Args:
        learner: the network.
        family: that its functions are drawn from; its tables may be traced.
        sequences: how they are made, and what the learner is to say.

    Returns:
        `loss(theta, key) -> f32[]`.

    Raises:
        ValueError: if a learner is to recall answers of a family that is not binary.

    Example:
        >>> learner = learners.gru(num_units=2)
        >>> loss = jax.jit(sequence_loss(learner, families.boolean(), Sequences(length=4)))
        >>> bool(0 < loss(learner.init(jax.random.key(0)), jax.random.key(1)) < 1)
        True
    """
    if sequences.target == "recall" and not family.binary:
        raise ValueError("target='recall' is for binary families; others never see an input twice")
    length, num_functions = sequences.length, sequences.num_functions

    def draw(key: Key) -> tuple[Examples, Array]:
        """Examples, and what is to be said of them."""
        if sequences.random_changes:
            drawn, told = with_random_changes(family, key, length, num_functions)
        else:
            drawn, told = examples(family, key, length, num_functions), None
        if sequences.target == "predict":
            return drawn, drawn.targets
        if sequences.target == "recall":
            return drawn, last_shown(drawn)
        return drawn, bayes_outputs(family, drawn, num_functions) if told is None else told

    def squared(theta: Theta, key: Key) -> Array:
        drawn, targets = draw(key)
        inputs = drawn.inputs
        if sequences.noise:
            noise_key = jax.random.fold_in(key, NOISE_STREAM)
            inputs = inputs + sequences.noise * jax.random.normal(noise_key, inputs.shape)
        return jnp.square(learner.predict(theta, inputs) - targets)

    def loss(theta: Theta, key: Key) -> Array:
        keys = jax.random.split(key, sequences.batch_size)
        return jax.vmap(squared, (None, 0))(theta, keys).mean()

    return loss


def with_random_changes(family: Family, key: Key, length: int, num_functions: int) -> tuple[Examples, Array]:
    """Functions one after another that change at random times, and what one says of them that is told when.

    Args:
        family: of the functions.
        key: for everything drawn.
        length: examples of a function, on average.
        num_functions: in sequence; one may be of no length.

    Returns:
        `num_functions * length` examples, and the Bayes-optimal predictions f32[T].
    """
    total = num_functions * length
    draw_key, change_key = jax.random.split(key)
    drawn = jax.vmap(lambda key: examples(family, key, total))(jax.random.split(draw_key, num_functions))
    told = jax.vmap(lambda one: bayes_outputs(family, one))(drawn)
    changes = jnp.sort(jax.random.randint(change_key, (num_functions - 1,), 1, total))
    time = jnp.arange(total)
    which = jnp.searchsorted(changes, time, side="right")
    since = time - jnp.concatenate([jnp.zeros(1, changes.dtype), changes])[which]
    x, y = drawn.inputs[which, since, :2], drawn.targets[which, since]
    previous = jnp.concatenate([jnp.zeros(1, jnp.float32), y[:-1]])
    return Examples(jnp.concatenate([x, previous[:, None]], axis=1), y), told[which, since]


def last_shown(drawn: Examples) -> Array:
    """The answer f32[T] that was last shown for each pair of bits, and 1/2 where none was."""

    def step(shown: Array, example: tuple[Array, Array]) -> tuple[Array, Array]:
        row, target = example
        return shown.at[row].set(target), shown[row]

    return jax.lax.scan(step, jnp.full(4, 0.5, jnp.float32), (row_of(drawn.inputs), drawn.targets))[1]
