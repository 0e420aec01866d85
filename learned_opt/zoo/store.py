"""One store: meta-parameters of every kind, from a shipped name, a run's directory or a file."""

import functools
from pathlib import Path
from typing import Any, NamedTuple

import jax

from learned_opt import runs
from learned_opt.core.errors import unknown_name
from learned_opt.core.kinds import KINDS, kind_named
from learned_opt.core.paths import quoted, user_path
from learned_opt.core.trees import check_same_structure
from learned_opt.core.types import LearnedOptimizer, Theta
from learned_opt.runs.directory import CONFIG
from learned_opt.zoo.config import Config, config_of

WEIGHTS = Path(__file__).parent / "weights"


class Stored(NamedTuple):
    """What `load` returns.

    Attributes:
        kind: a name in `core.kinds.KINDS`: `"optimizer"`, `"function learner"` or `"weight memory"`.
        config: the model, what it was trained on, and how.
        theta: its meta-parameters, as numpy arrays.
    """

    kind: str
    config: Config
    theta: Theta

    @property
    def model(self) -> Any:
        """The model, made from its configuration."""
        return self.config.model.make()

    @property
    def lopt(self) -> LearnedOptimizer:
        """The learned optimizer; `TypeError` if the model is none."""
        if self.kind != "optimizer":
            raise TypeError(f"this is a {self.kind} and no learned optimizer; `model` gives it")
        return self.model


def save(
    path: str | Path,
    model: Any,
    theta: Theta,
    *,
    task: Any = None,
    validation_task: Any = None,
    settings: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Writes meta-parameters and the configuration of their model to one safetensors file.

    Args:
        path: ends in `.safetensors`.
        model: a learned optimizer, function learner or weight memory; one made by name, so that `load` can
            make it again.
        theta: its meta-parameters.
        task: what it was trained on, to be known with it.
        validation_task: what theta was selected on, where that is something else.
        settings: of the training, as JSON, such as `{"horizon": 100}`, the step that `learned-opt evaluate`
            then compares at.
        overwrite: whether an existing file may be replaced.

    Raises:
        ValueError: if the model was made from something without a name, or theta is not its own.
        FileExistsError: if the file exists and `overwrite` is not set.

    Example:
        >>> import tempfile
        >>> from learned_opt import optimizers
        >>> lopt = optimizers.lstm(hidden_sizes=(4,))
        >>> path = tempfile.mkdtemp() + "/mine.safetensors"
        >>> save(path, lopt, lopt.init(jax.random.key(0)))
        >>> load(path).config.model.hidden_sizes
        (4,)
    """
    kind, config = config_of(model, task, validation_task, settings)
    if config.model is None:
        raise ValueError(
            f"this {kind.name} was made from something without a name, so a file could not say how to make "
            "it again; give hyperparameters() the factory's name, or register your own factory"
        )
    check_theta(model, theta)
    runs.save_weights(path, theta, config.to_json(), overwrite=overwrite)


def load(source: str | Path, kind: str | None = None) -> Stored:
    """Reads meta-parameters; every byte is checked.

    Args:
        source: the name of a shipped weight, the directory of a finished run, or a `.safetensors` file.
        kind: what it has to be; anything by default.

    Returns:
        The kind, the configuration and theta: `load(...).lopt.build(theta)` is the optax transformation.

    Raises:
        FileNotFoundError: if there is no such file, or the run is not finished.
        RunError: if the directory holds no run.
        WeightsError: if the file is truncated, damaged, or not one of ours.
        ValueError: if nothing of that name is shipped (with the nearest match), or it is of another kind.

    Example:
        >>> stored = load("lstm-quadratic")
        >>> stored.kind, stored.config.task.dim
        ('optimizer', 10)
        >>> tx = stored.lopt.build(stored.theta)
    """
    path = user_path(source)
    if path.is_dir():
        stored = _read(_finished(path))
    elif path.suffix == ".safetensors":
        of_a_run = path.name == runs.RunDirectory(path.parent, {}).theta_path.name
        unfinished = of_a_run and not path.exists() and (path.parent / CONFIG).exists()
        stored = _read(_finished(path.parent) if unfinished else path)
    elif len(path.parts) > 1:
        raise FileNotFoundError(f"{source}: there is no such run or file; check the path")
    else:
        stored = shipped(str(source), kind)
    if kind is not None and stored.kind != kind:
        raise ValueError(f"{source} is of another kind: {stored.kind}, where {kind} is asked for")
    return stored


@functools.lru_cache
def shipped(name: str, kind: str | None = None) -> Stored:
    """A shipped weight.

    Args:
        name: of the weight.
        kind: which of the names an error is to list; all by default.

    Returns:
        What is stored under the name.

    Raises:
        ValueError: if nothing of that name is shipped, with the nearest match.

    Example:
        >>> shipped("boolean-16").kind
        'function learner'
    """
    paths = {path.stem: path for path in weight_files()}
    if name not in paths:
        known = {path.stem for path in weight_files(kind)}
        raise unknown_name(f"shipped {kind or 'weight'}", name, known)
    return _read(paths[name])


def weight_files(kind: str | None = None) -> list[Path]:
    """The shipped weight files, by name.

    Args:
        kind: of those that are wanted; all by default.

    Returns:
        Their paths.

    Example:
        >>> [path.stem for path in weight_files("weight memory")]
        ['weight-memory']
    """
    kinds = KINDS if kind is None else (kind,)
    paths = (path for kind in kinds for path in folder(kind).glob("*.safetensors"))
    return sorted(paths, key=lambda path: path.stem)


def folder(kind: str) -> Path:
    """Where the weights and cards of a kind are shipped.

    Args:
        kind: a name in `core.kinds.KINDS`.

    Returns:
        The directory.

    Raises:
        ValueError: if there is no such kind, with the nearest match.

    Example:
        >>> folder("weight memory").name
        'weight_memories'
    """
    return WEIGHTS / kind_named(kind).plural.replace(" ", "_")


def check_theta(model: Any, theta: Theta) -> None:
    """`ValueError` naming the leaf of theta that does not fit a model of any kind."""
    expected = jax.eval_shape(model.init, jax.random.key(0))
    name = model.config.name if model.config else "the model"
    check_same_structure(theta, expected, "theta", f"{name}'s theta")


def _finished(directory: Path) -> Path:
    path = runs.RunDirectory.open(directory).theta_path
    if not path.exists():
        raise FileNotFoundError(
            f"{directory} is not finished; go on with: learned-opt resume {quoted(directory)}"
        )
    return path


def _read(path: Path) -> Stored:
    theta, metadata = runs.load_weights(path)
    try:
        config = Config.from_json(metadata)
    except ValueError as error:
        raise runs.WeightsError(f"{path}: {error}") from error
    stored = Stored(config.kind, config, theta)
    check_theta(stored.model, theta)
    return stored
