"""Meta-training a function learner on a family, and what is stored of it."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from learned_opt import runs
from learned_opt.core.config import validated
from learned_opt.core.errors import unknown_name
from learned_opt.core.trees import check_same_structure
from learned_opt.core.types import Array, Key, Theta
from learned_opt.in_context import families, learners
from learned_opt.in_context.bayes import row_of
from learned_opt.in_context.evaluation import CHUNK
from learned_opt.in_context.families import Examples, Family, bayes_outputs, examples
from learned_opt.in_context.learners import FunctionLearner
from learned_opt.in_context.training import Loss, Trained, TrainingSettings, train

EPOCH = 100  # sequences
AIMS = ("predict", "recall", "bayes")
NOISE_STREAM = 0x401
WEIGHTS = Path(__file__).parent / "weights"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnerSettings(TrainingSettings):
    """The settings of a function learner's meta-training: those of training, and of its sequences.

    Attributes:
        length: examples of each function.
        validation_length: the same in validation, with one function a sequence; as in training by default.
            Short sequences show the beginning of a function, which is what is hard, more often; what they
            teach holds on longer ones.
        num_functions: functions in a sequence, one after another without reset.
        batch_size: sequences in a step; an epoch is 100 sequences.
        aim: what a learner is trained to say: the function's value, `"predict"`; or `"recall"`, for binary
            families, the last answer that it was shown for the pair, whichever function that was of, and
            1/2 before any. With several functions in a sequence, answers of two of them are then to be held
            side by side, and ruling functions out gains nothing. Or `"bayes"`, what the Bayes-optimal
            predictor says, which is distillation: the same optimum, and gradients without the noise of
            what cannot be known.
        noise: standard deviation of the Gaussian noise on all that a learner sees in training. What it is to
            say, validation and evaluation have none.
        num_validation_sequences: fresh sequences that theta is selected on.
        num_steps: updates of theta.
        learning_rate: of Adam, at its peak.
        warmup_steps: steps over which the learning rate rises from 0.
        final_fraction: of the learning rate that a cosine decay ends at.
        clip_norm: global norm that the gradient is clipped to.
        weight_decay: decoupled from the gradient, as in AdamW.
        validate_every: steps between validations; each is followed by a checkpoint.
        steps_per_call: steps in one jitted call.
        num_starts: networks that are trained side by side, each from weights and with data of its own; the
            one with the best validation is kept.
        seed: of everything random.
    """

    length: int = 64
    validation_length: int | None = None
    num_functions: int = 1
    batch_size: int = 25
    aim: Literal["predict", "recall", "bayes"] = "predict"
    noise: float = 0.0
    num_validation_sequences: int = 500

    def __post_init__(self):
        super().__post_init__()
        for name in (
            "length",
            "validation_length",
            "num_functions",
            "batch_size",
            "num_validation_sequences",
        ):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value!r}: it must be at least 1")
        if self.aim not in AIMS:
            raise unknown_name("aim", self.aim, AIMS)
        if not self.noise >= 0:
            raise ValueError(f"noise={self.noise!r}: it must not be negative")

    @property
    def test_length(self) -> int:
        """Examples of each function in validation."""
        return self.length if self.validation_length is None else self.validation_length

    @property
    def num_epochs(self) -> float:
        """Of 100 sequences of one function each; those of one start, if there are several."""
        return self.num_steps * self.batch_size * self.num_functions / EPOCH


def train_learner(
    learner: FunctionLearner,
    family: Family,
    *,
    directory: str | Path | None = None,
    quiet: bool = False,
    **settings: Any,
) -> Trained:
    """Meta-trains a function learner on a family of functions.

    Args:
        learner: the network.
        family: that its functions are drawn from.
        directory: a new directory for the run; nothing is stored without one.
        quiet: whether to show no progress.
        **settings: fields of `LearnerSettings`.

    Returns:
        The theta of the best validation and how it came about.

    Raises:
        ValueError: if a setting is unknown or out of range.
        RunError: if the directory holds something already.

    Example:
        >>> trained = train_learner(
        ...     learners.lstm(num_cells=(2,)),
        ...     families.boolean(),
        ...     length=8,
        ...     batch_size=4,
        ...     num_steps=4,
        ...     warmup_steps=1,
        ...     validate_every=2,
        ...     num_validation_sequences=8,
        ...     quiet=True,
        ... )
        >>> len(trained.metrics)
        2
    """
    checked = validated(LearnerSettings, settings, "settings")
    run_directory = None
    if directory is not None:
        run_directory = runs.RunDirectory.create(
            directory,
            {
                "learner": learner.config and learners.registry.to_json(learner.config),
                "family": family.config and families.registry.to_json(family.config),
                "settings": dataclasses.asdict(checked),
                "provenance": runs.provenance(),
            },
        )
    return _train(learner, family, checked, run_directory, quiet)


def resume_learner(directory: str | Path, *, quiet: bool = False) -> Trained:
    """Continues a function learner's run from its newest checkpoint, identical to the bit.

    Args:
        directory: of the run.
        quiet: whether to show no progress.

    Returns:
        As `train_learner`; a finished run is returned as it is.

    Raises:
        RunError: if the directory holds no run of a function learner.
        CheckpointError: if no checkpoint of the run is whole.

    Example:
        >>> trained = train_learner(
        ...     learners.gru(num_units=2),
        ...     families.boolean(),
        ...     directory="run",
        ...     length=4,
        ...     num_steps=2,
        ...     warmup_steps=0,
        ...     quiet=True,
        ... )
        >>> resume_learner("run", quiet=True).validation_loss == trained.validation_loss
        True
    """
    run_directory = runs.RunDirectory.open(directory)
    learner, family = _described(run_directory.config, directory)
    settings = validated(LearnerSettings, run_directory.config["settings"], "settings")
    return _train(learner, family, settings, run_directory, quiet)


class StoredLearner(NamedTuple):
    """What `load_learner` returns.

    Attributes:
        learner: the network.
        theta: its parameters.
        family: that it was meta-trained on.
        settings: that it was meta-trained with.
    """

    learner: FunctionLearner
    theta: Theta
    family: Family
    settings: LearnerSettings


def load_learner(path: str | Path) -> StoredLearner:
    """Reads a trained function learner; every byte is checked.

    Args:
        path: of a finished run's directory, of a `.safetensors` file, or the name of a shipped learner.

    Returns:
        The learner, its theta, its family and its settings.

    Raises:
        RunError: if the directory holds no run.
        FileNotFoundError: if there is no such file, or the run is not finished.
        ValueError: if no learner of that name is shipped, with the nearest match.
        WeightsError: if the file is damaged, or of something else.

    Example:
        >>> trained = train_learner(
        ...     learners.gru(num_units=2),
        ...     families.boolean(),
        ...     directory="run",
        ...     length=4,
        ...     num_steps=2,
        ...     warmup_steps=0,
        ...     quiet=True,
        ... )
        >>> load_learner("run").learner.config.num_units
        2
    """
    path = Path(path)
    if path.is_dir():
        path = runs.RunDirectory.open(path).theta_path
    elif path.suffix != ".safetensors":
        names = [file.stem for file in WEIGHTS.glob("*.safetensors")]
        if str(path) not in names:
            raise unknown_name("learner", str(path), names)
        path = WEIGHTS / f"{path}.safetensors"
    theta, what = runs.load_weights(path)
    learner, family = _described(what, path)
    check_same_structure(
        theta, jax.eval_shape(learner.init, jax.random.key(0)), "theta", "the learner's theta"
    )
    settings = validated(LearnerSettings, what["settings"], "settings")
    return StoredLearner(learner, theta, family, settings)


def _train(
    learner: FunctionLearner,
    family: Family,
    settings: LearnerSettings,
    directory: runs.RunDirectory | None,
    quiet: bool,
) -> Trained:
    def errors(theta: Theta, key: Key) -> Array:
        drawn = examples(family, key, settings.test_length)
        return learner.predict(theta, drawn.inputs) - drawn.targets

    def validate(theta: Theta, key: Key) -> dict[str, Array]:
        keys = jax.random.split(key, settings.num_validation_sequences)
        found = jax.lax.map(lambda key: errors(theta, key), keys, batch_size=CHUNK)
        figures = {"loss": jnp.square(found).mean()}
        return figures | ({"accuracy": (jnp.abs(found) < 0.5).mean()} if family.binary else {})

    loss = training_loss(learner, family, settings)
    return train(learner.init, loss, validate, settings=settings, directory=directory, quiet=quiet)


def training_loss(learner: FunctionLearner, family: Family, settings: LearnerSettings) -> Loss:
    """The meta-loss of a step: the mean squared error on fresh sequences.

    Args:
        learner: the network.
        family: that its functions are drawn from; its tables may be traced.
        settings: of the sequences, and what the learner is to say.

    Returns:
        `loss(theta, key) -> f32[]`.

    Raises:
        ValueError: if a learner is to recall answers of a family that is not binary.

    Example:
        >>> learner = learners.gru(num_units=2)
        >>> loss = training_loss(learner, families.boolean(), LearnerSettings(length=4))
        >>> bool(0 < loss(learner.init(jax.random.key(0)), jax.random.key(1)) < 1)
        True
    """
    if settings.aim == "recall" and not family.binary:
        raise ValueError("aim='recall' is for binary families; others never see an input twice")
    aims: dict[str, Callable[[Examples], Array]] = {
        "predict": lambda drawn: drawn.targets,
        "recall": last_shown,
        "bayes": lambda drawn: bayes_outputs(family, drawn, settings.num_functions),
    }

    def squared(theta: Theta, key: Key) -> Array:
        drawn = examples(family, key, settings.length, settings.num_functions)
        inputs = drawn.inputs
        if settings.noise:
            noise_key = jax.random.fold_in(key, NOISE_STREAM)
            inputs = inputs + settings.noise * jax.random.normal(noise_key, inputs.shape)
        return jnp.square(learner.predict(theta, inputs) - aims[settings.aim](drawn))

    def loss(theta: Theta, key: Key) -> Array:
        keys = jax.random.split(key, settings.batch_size)
        return jax.vmap(squared, (None, 0))(theta, keys).mean()

    return loss


def last_shown(drawn: Examples) -> Array:
    """The answer that was last shown for each pair of bits, and 1/2 where none was.

    Args:
        drawn: by `examples`, from a binary family.

    Returns:
        f32[T].

    Example:
        >>> inputs = jnp.array([[0.0, 1, 0], [1, 1, 1], [0, 1, 0], [0, 1, 0]])
        >>> last_shown(Examples(inputs, jnp.array([1.0, 0, 0, 1]))).tolist()
        [0.5, 0.5, 1.0, 0.0]
    """

    def step(shown: Array, example: tuple[Array, Array]) -> tuple[Array, Array]:
        row, target = example
        return shown.at[row].set(target), shown[row]

    return jax.lax.scan(step, jnp.full(4, 0.5, jnp.float32), (row_of(drawn.inputs), drawn.targets))[1]


def _described(config: dict[str, Any], where: Any) -> tuple[FunctionLearner, Family]:
    """The learner and the family that a run's or a file's configuration names."""
    if not config.get("learner") or not config.get("family"):
        raise runs.RunError(
            f"{where} holds no function learner that was made by name; train one with "
            "`learned-opt in-context train`"
        )
    learner = learners.registry.from_json(config["learner"]).make()
    return learner, families.registry.from_json(config["family"]).make()
