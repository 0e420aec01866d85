"""Meta-training on several devices, and in several processes, is meta-training on one.

The number of devices is fixed when jax starts: what needs four goes to a process that has them, and several
processes are started for what needs several.
"""

import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import chex
import jax
import numpy as np
import pytest
from jax.sharding import Mesh

import learned_opt
from learned_opt import optimizers, runs, tasks
from learned_opt.cli import main
from learned_opt.meta import Run, meta_train, resume

ROOT = Path(__file__).parents[2]
XLA_FLAGS = os.environ.get("XLA_FLAGS", "")  # those of all tests
LOPT = optimizers.lstm(hidden_sizes=(4,))
TASK = tasks.quadratic(dim=2)
SETTINGS = {
    "estimator": "pes",
    "horizon": 6,
    "truncation": 3,
    "random_phases": True,
    "num_problems": 8,
    "num_meta_steps": 8,
    "validate_every": 2,
    "num_validation_problems": 4,
    "steps_per_call": 2,
}
PRELUDE = """
import contextlib, io, json, sys, traceback, warnings
import jax, numpy as np
warnings.simplefilter("error")
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
from jax.sharding import Mesh
from learned_opt import optimizers, tasks
from learned_opt.meta import meta_train, resume
lopt, task = optimizers.lstm(hidden_sizes=(4,)), tasks.quadratic(dim=2)
"""
# A request is a program and its arguments; the answer is what it printed, and its error.
SERVE = f"""{PRELUDE}
for request in sys.stdin:
    program, arguments = json.loads(request)
    error = ""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            exec(program, {{"arguments": arguments}})
        except Exception:
            error = traceback.format_exc()
    print(json.dumps([printed.getvalue(), error]), flush=True)
"""
GO_ON = f"""{PRELUDE}
from learned_opt.runs import RunError
directory, settings, index, port = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
jax.distributed.initialize("localhost:" + port, 2, index, shutdown_timeout_seconds=5)
again, occupied = settings.pop("resume"), settings.pop("occupied")
if occupied:
    try:
        sys.exit(f"not refused: {{meta_train(lopt, task, directory=occupied, **settings)}}")
    except RunError as error:
        assert "holds a run already" in str(error)
run = resume(directory) if again else meta_train(lopt, task, directory=directory, **settings)
assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(run.last_theta))
"""


def start(program: str, *arguments: object, devices: int, flags: str = "") -> subprocess.Popen[str]:
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{XLA_FLAGS} --xla_force_host_platform_device_count={devices} {flags}",
    }
    command = [sys.executable, "-c", program, *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def finish(process: subprocess.Popen[str], timeout: float = 300) -> tuple[str, str]:
    try:
        output, errors = process.communicate(timeout=timeout)
    finally:
        process.kill()  # no matter, where it has ended
    assert process.returncode == 0, errors
    return output, errors


class FourDevices:
    """A process with four devices, which runs programs one after another and leaves what it compiles."""

    def __init__(self, dumps: Path):
        self.dumps = dumps
        flags = f"--xla_dump_to={dumps} --xla_dump_hlo_module_re=several_meta_steps|trajectories"
        self.process = start(SERVE, devices=4, flags=flags)

    def run(self, program: str, *arguments: object) -> str:
        """What the program prints; a `RuntimeError` with its traceback if it fails."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([program, arguments]), file=self.process.stdin, flush=True)
        printed, error = json.loads(self.process.stdout.readline() or '[0, "it has ended"]')
        if error:
            raise RuntimeError(error)
        return printed


@pytest.fixture(scope="module")
def four_devices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FourDevices]:
    devices = FourDevices(tmp_path_factory.mktemp("dumps"))
    yield devices
    devices.process.kill()
    devices.process.communicate()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


@pytest.fixture
def pair() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that are gone after the test, whatever became of it."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def start_pair(
    directory: Path, again: bool = False, occupied: Path | None = None, **settings: object
) -> list[subprocess.Popen[str]]:
    """Two processes of two devices each, which make or resume one run, after one that is to be refused."""
    port = free_port()
    refused = None if occupied is None else str(occupied)
    words = json.dumps(SETTINGS | settings | {"resume": again, "occupied": refused})
    return [start(GO_ON, directory, words, index, port, devices=2) for index in (0, 1)]


def assert_close(directory: Path, one: Run, atol: float = 1e-6) -> None:
    """A finished run's theta, metrics and checkpoint are those of a run on one device, to rounding."""
    run = resume(directory, quiet=True)
    chex.assert_trees_all_close(run.last_theta, one.last_theta, atol=atol)
    chex.assert_trees_all_close(run.theta, one.theta, atol=atol)
    assert [row["step"] for row in run.metrics] == [row["step"] for row in one.metrics]
    for ours, theirs in zip(run.metrics, one.metrics, strict=True):
        assert ours["meta_loss"] == pytest.approx(theirs["meta_loss"], rel=1e-4)
        assert ours["validation_loss"] == pytest.approx(theirs["validation_loss"], rel=1e-4)
    chex.assert_trees_all_equal(learned_opt.load(directory / "theta.safetensors").theta, run.theta)


@pytest.fixture(scope="module")
def one() -> Run:
    run = meta_train(LOPT, TASK, mesh=Mesh(jax.devices()[:1], "problems"), quiet=True, **SETTINGS)
    # Theta moves by far more than the tolerance below.
    start = jax.tree.leaves(LOPT.init(jax.random.key(0)))
    assert (
        max(np.abs(a - b).max() for a, b in zip(start, jax.tree.leaves(run.last_theta), strict=True)) > 1e-2
    )
    return run


ON_ONE_AND_ON_FOUR = f"""{PRELUDE}
(settings,) = arguments
one = meta_train(lopt, task, mesh=Mesh(jax.devices()[:1], "problems"), quiet=True, **settings)
four = meta_train(lopt, task, quiet=True, **settings)
distances = jax.tree.map(lambda a, b: np.abs(a - b).max(), four.last_theta, one.last_theta)
distance = max(map(float, jax.tree.leaves(distances)))
print(json.dumps([distance, float(four.validation_loss / one.validation_loss)]))
"""


@pytest.mark.parametrize("estimator", ["tbptt", "full", "es", "nres", "blend"])
def test_four_devices_give_the_theta_of_one(estimator: str, four_devices: FourDevices):
    settings = SETTINGS | {"estimator": estimator, "num_meta_steps": 4}
    if estimator == "full":  # whole trajectories, all from the start
        settings = {k: v for k, v in settings.items() if k not in ("truncation", "random_phases")}
    distance, loss_ratio = json.loads(four_devices.run(ON_ONE_AND_ON_FOUR, settings))
    assert distance < 1e-6
    assert loss_ratio == pytest.approx(1, rel=1e-5)


def test_run_goes_on_with_other_numbers_of_devices(
    tmp_path: Path, one: Run, pair: list, four_devices: FourDevices
):
    """Two processes of two devices each, then four devices of one process, then one device."""
    directory, occupied = tmp_path / "run", tmp_path / "occupied"
    occupied.mkdir()
    (occupied / "config.json").write_text("{}")
    pair += start_pair(directory, occupied=occupied)
    (_, shown), (_, silent) = map(finish, pair)
    assert "meta-training 8/8" in shown
    assert "meta-training" not in silent
    assert_close(directory, one)
    # A directory of another run was refused by both, who would wait for each other else.
    assert [path.name for path in occupied.iterdir()] == ["config.json"]

    drop_checkpoints_after(directory, 6)
    program = f"{PRELUDE}\nprint(len(resume(arguments[0], quiet=True).metrics))"
    assert four_devices.run(program, str(directory)).strip() == "4"
    assert_close(directory, one)
    drop_checkpoints_after(directory, 4)
    assert_close(directory, one)  # which resumes it


def drop_checkpoints_after(directory: Path, step: int) -> None:
    stored = runs.Checkpoints(directory / "checkpoints").steps()
    assert step in stored
    for newer in (s for s in stored if s > step):
        shutil.rmtree(directory / "checkpoints" / f"step_{newer:09d}")


def test_killed_process_and_the_run_goes_on(tmp_path: Path, pair: list):
    """Whichever process is killed, the other ends too, and a pair goes on from the last checkpoint."""
    directory = tmp_path / "run"
    metrics = directory / "metrics.jsonl"
    settings = {"num_meta_steps": 40}
    for victim in (0, 1):
        stored = len(runs.read_metrics(metrics)) if victim else 0
        pair += (running := start_pair(directory, again=victim > 0, **settings))
        deadline = time.monotonic() + 200
        while not (metrics.exists() and metrics.read_bytes().count(b"\n") > stored + 2):
            assert all(process.poll() is None for process in running), [finish(p) for p in running]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        running[victim].send_signal(signal.SIGKILL)
        running[1 - victim].communicate(timeout=120)
        assert running[1 - victim].returncode != 0  # it ended by itself, and not because the run was done
        assert stored < len(runs.read_metrics(metrics)) < 20

    one = meta_train(LOPT, TASK, mesh=Mesh(jax.devices()[:1], "problems"), quiet=True, **SETTINGS | settings)
    assert_close(directory, one, atol=1e-4)


def exchanged(program: Path) -> tuple[set[str], list[tuple[int, ...]]]:
    """What devices exchange in a compiled program: the kinds of operations, and the shapes."""
    result = re.compile(r" = (.*?) (all-\w+|reduce-scatter|collective-\w+|send|recv)(?:-start)?\(")
    found = result.findall(program.read_text())
    shapes = [shape for types, _ in found for shape in re.findall(r"\w+\[([\d,]*)\]", types)]
    return {kind for _, kind in found}, [tuple(map(int, filter(None, s.split(",")))) for s in shapes]


# A program taken from a cache is not dumped.
UNCACHED = f"""{PRELUDE}
from jax.experimental.compilation_cache.compilation_cache import reset_cache
jax.config.update("jax_enable_compilation_cache", False)
jax.clear_caches()
reset_cache()
meta_train(lopt, task, quiet=True, **arguments[0])
jax.config.update("jax_enable_compilation_cache", True)
reset_cache()
"""


def compiled_programs(four_devices: FourDevices, estimator: str) -> dict[str, list[Path]]:
    """The programs of a short run on four devices, by the function that they are made of."""
    ending = "after_optimizations.txt"
    for old in four_devices.dumps.glob(f"*{ending}"):
        old.unlink()
    settings = SETTINGS | {"num_meta_steps": 2, "estimator": estimator}
    four_devices.run(UNCACHED, settings)
    return {
        name: list(four_devices.dumps.glob(f"*{name}*{ending}"))
        for name in ("several_meta_steps", "trajectories")
    }


@pytest.mark.parametrize("estimator", ["es", "pes", "nres"])
def test_evolution_strategies_exchange_a_few_numbers_a_problem(four_devices: FourDevices, estimator: str):
    """Losses and flags, once a meta-step; noise is made from the key on every device."""
    (program,) = compiled_programs(four_devices, estimator)["several_meta_steps"]
    kinds, shapes = exchanged(program)
    assert kinds == {"all-gather", "all-reduce"}
    gathered = {math.prod(shape) for shape in shapes if math.prod(shape) > 1}
    num_problems = SETTINGS["num_problems"]
    assert gathered <= {num_problems, 2 * num_problems}
    assert 2 * num_problems in gathered
    assert sum(map(math.prod, shapes)) <= 3 * num_problems + 8


def test_devices_exchange_a_sum_of_the_size_of_theta_and_the_curves_of_validation(four_devices: FourDevices):
    """Read off the compiled programs, with truncated backpropagation."""
    programs = compiled_programs(four_devices, "tbptt")

    # A gradient and some numbers a meta-step, nothing in the inner loop.
    (program,) = programs["several_meta_steps"]
    kinds, shapes = exchanged(program)
    assert kinds == {"all-reduce"}
    theta = sum(leaf.size for leaf in jax.tree.leaves(LOPT.init(jax.random.key(0))))
    assert theta < sum(map(math.prod, shapes)) <= theta + 8  # beside it losses, counts and flags

    # Each device validates its share of the problems, and all get the curves.
    for program in programs["trajectories"]:
        kinds, (shape,) = exchanged(program)
        assert kinds == {"all-gather"}
        assert sorted(shape)[-2:] in ([4, 7], [7, 41])  # the sweep has an axis of learning rates besides
    assert len(programs["trajectories"]) >= 3  # Adam's sweep, Adam, the learned optimizer


@pytest.mark.parametrize(
    ("num_problems", "axes", "message"),
    [
        (6, ("problems",), r"num_problems=6 does not divide among 4 devices: .*such as 8, or use 3"),
        (1, ("problems",), r"num_problems=1 does not divide among 4 devices: .*such as 4, or use 1"),
        (8, ("data",), r"axes \('data',\): give one with the only axis 'problems'"),
    ],
)
def test_meshes_that_do_not_fit(
    num_problems: int, axes: tuple[str, ...], message: str, four_devices: FourDevices
):
    program = f"""{PRELUDE}
meta_train(lopt, task, mesh=Mesh(jax.devices(), {axes}), num_problems={num_problems})
"""
    with pytest.raises(RuntimeError, match=f"ValueError: .*{message}"):
        four_devices.run(program)


@pytest.mark.parametrize("command", [["meta-train", "lstm-quadratic"], ["resume", "runs/mine"]])
def test_command_joins_the_other_processes_first(command: list[str], monkeypatch, capsys, tmp_path: Path):
    def alone():
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jax.distributed, "initialize", alone)
    with pytest.raises(SystemExit):
        main([*command, "--distributed"])
    assert "--distributed: coordinator_address should be defined. It finds" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_one_process_takes_as_many_devices_as_divide_the_problems(four_devices: FourDevices):
    program = f"""{PRELUDE}
from learned_opt.meta.sharding import problem_mesh
print([mesh and mesh.size for mesh in map(problem_mesh, (6, 8, 1))])
"""
    assert four_devices.run(program).strip() == "[3, 4, None]"
