"""The suite of default optimizers: its tasks, what is read off curves, the report, and a quick run."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from benchmarks.harness import discovery, report, results, runner
from benchmarks.harness.results import Cell
from benchmarks.harness.suite import Key, Request
from benchmarks.suites.generalization import clock, curves, measures, rules, suite
from benchmarks.suites.generalization.results import (
    outcomes,
    published_rows,
    summary_rows,
    task_rows,
    win_rows,
)
from benchmarks.suites.generalization.tasks import stress, velodrome
from benchmarks.suites.generalization.tasks.trial import Trial
from learned_opt import optimizers, zoo

ALL = [*suite.TRIALS, *stress.TRIALS]
ONE_A_KIND = {trial.kind: trial for trial in reversed(ALL) if not trial.missing}


@pytest.fixture(autouse=True)
def broadcasting():
    """The tasks are written with numpy's rules."""
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A learned rule in a file."""
    lopt = optimizers.tensor_controller(orthogonal=False)
    theta = jax.tree.map(lambda leaf: leaf + 0.01, lopt.init(jax.random.key(0)))
    path = tmp_path_factory.mktemp("rule") / "mine.safetensors"
    zoo.save(path, lopt, theta)
    return str(path)


def test_there_are_enough_tasks_of_enough_kinds():
    natures = [trial.nature for trial in suite.TRIALS]
    assert len({trial.name for trial in ALL}) == len(ALL)
    assert len(suite.TRIALS) >= 24
    assert len({trial.kind for trial in suite.TRIALS}) >= 8
    for nature in ("solvable", "noisy"):
        assert natures.count(nature) >= len(natures) / 3


@pytest.mark.parametrize("trial", ALL, ids=lambda trial: trial.name)
def test_losses_are_finite_and_problems_differ_by_seed(trial: Trial):
    if trial.missing:
        pytest.skip(f"{trial.missing[0]} is not prepared")
    task = trial.make()

    @jax.jit
    @jax.vmap
    def first_loss(key):
        keys = jax.random.split(key, 3)
        problem = task.sample(keys[0])
        batch = task.batch(keys[2], problem, task.data)
        # Away from a start at zero, where all problems may look the same.
        start = task.init(keys[1], problem)
        away = optax.tree.random_like(jax.random.key(1), start)
        return task.loss(jax.tree.map(lambda x, a: x + 0.1 * a, start, away), problem, batch)

    with jax.numpy_dtype_promotion("standard"):
        one, other = first_loss(jax.random.split(jax.random.key(0)))
    assert np.isfinite([one, other]).all()
    assert one != other


@pytest.mark.parametrize("kind", ONE_A_KIND)
def test_adam_trains(kind: str):
    found = curves.measure(rules.ADAM_ALONE, ONE_A_KIND[kind].make(), np.array([0, 1, 30], np.int32), 2)
    assert found.train.shape == (1, 2, 3)
    assert np.isfinite(found.train).all()
    assert found.test is None or np.isfinite(found.test).all()
    first, last = found.train[0, :, 0], found.train[0, :, -1]
    assert (last < first).all()
    assert len(set(last)) == 2


def test_stress_is_what_its_name_says():
    key = jax.random.key(0)
    frozen, moving, bfloat16 = stress.frozen(), stress.moving(), stress.half_precision()
    problem = frozen.sample(key)
    params = frozen.init(key, problem)
    grads = jax.grad(frozen.loss)(params, problem, frozen.batch(key, problem, frozen.data))
    still = {name for name, leaf in grads.items() if not jnp.any(leaf != 0)}
    assert still == {"w0", "b0", "unused"}
    drawn = moving.sample(key)
    labels = [
        moving.batch(key, drawn._replace(step=jnp.int32(step)), moving.data)[1] for step in (0, 99, 100)
    ]
    assert bool((labels[0] == labels[1]).all())
    assert bool(((labels[0] + 3) % 10 == labels[2]).all())
    assert {leaf.dtype.name for leaf in jax.tree.leaves(bfloat16.init(key, ()))} == {"bfloat16"}
    tuned = stress.fine_tuning()
    problem = tuned.sample(key)
    weights = tuned.init(key, problem)
    before = tuned.loss(weights, (problem[1], problem[0]), ())
    assert float(before) < 0.1 * float(jnp.mean(jnp.square(problem[0])))


def test_speed_ups_by_hand():
    steps = np.array([0, 1, 10, 100])
    control = np.array([[4.0, 3.0, 2.0, 1.0]])
    assert measures.speed_ups(steps, control, control) == pytest.approx([1.0])
    # Half of the way from 2 at step 10 to 0 at step 100 is 1.
    assert measures.speed_ups(steps, control, np.array([[4.0, 3.0, 2.0, 0.0]])) == pytest.approx([100 / 55])
    assert measures.speed_ups(steps, control, np.array([[4.0, 0.5, 2.0, 2.0]])) == pytest.approx([100.0])
    assert measures.speed_ups(steps, control, np.array([[4.0, 3.0, 2.0, 1.5]])).tolist() == [0.0]
    assert measures.speed_ups(steps, control, np.array([[4.0, np.nan, np.nan, np.nan]])).tolist() == [0.0]


def test_a_control_that_has_solved_its_problem_is_done_when_it_has():
    steps = np.array([0, 10, 20, 40])
    solved = np.array([[1.0, 0.5, 0.0, 0.0]])
    assert measures.speed_ups(steps, solved, solved) == pytest.approx([1.0])
    sooner = np.array([[1.0, 0.0, 0.0, 0.0]])
    assert measures.speed_ups(steps, solved, sooner) == pytest.approx([2.0], rel=1e-3)


def test_ratios_and_divergence_by_hand():
    last, first = np.array([1.0, np.nan, 0.0]), np.ones(3)
    ratios = measures.log_ratios(np.array([2.0, 1.0, 0.0]), last, first)
    assert ratios[0] == pytest.approx(-np.log(2), abs=1e-6)
    assert ratios[1] == np.inf
    assert ratios[2] == 0
    train = np.array([[1.0, 0.5], [1.0, 1.5], [1.0, np.inf], [1.0, np.nan], [1.0, 1.0]])
    assert measures.diverged(train).tolist() == [False, True, True, True, False]
    scores = measures.score(np.array([[[1.0, 0.5], [1.0, 0.5]], [[1.0, 0.1], [1.0, np.nan]]]))
    assert int(np.argmin(scores)) == 0


def cell(
    task: str, rule: str, last: float, kind: str = "untuned", nature: str = "noisy", steps: int = 100
) -> Cell:
    train = [[1.0, (1 + last) / 2, last], [1.0, (1 + last) / 2, last * 1.1]]
    result = {
        "steps": [0, steps // 2, steps],
        "train": train,
        "test": train,
        "final": [last, last * 1.1],
        "rate": 0.01,
        "on_edge": False,
        "by_rate": None,
    }
    settings = {"kind": kind, "nature": nature}
    return Cell(Key("generalization", task, rule, steps, None, suite.PART), settings, result, {}, 1.0)


@pytest.fixture
def made() -> list[Cell]:
    found = []
    for task, nature, ours in (
        ("dense-a", "noisy", 0.2),
        ("conv-b", "solvable", 0.8),
        ("stress-c", "between", 0.1),
    ):
        found.append(cell(task, "adam", 0.4, "swept", nature))
        found.append(cell(task, "adamw-cosine", 0.3, "swept", nature))
        found.append(cell(task, "mine", ours, "learned", nature))
        found.append(cell(task, "mine:zero", 0.5, "learned", nature))
        found.append(cell(task, "prodigy", 2.0, nature=nature))
    name = f"{velodrome.PREFIX}ImageMLP_Mnist_128x128x128_Relu"
    return [*found, cell(name, "mine", 0.060684, "learned", "between", 1000)]


def test_rows_by_hand(made: list[Cell]):
    found = {task: group for task, group in outcomes(made).items() if task[0] in ("dense-a", "conv-b")}
    rows = {row["rule"]: row for row in summary_rows(found)}
    assert list(rows) == ["mine", "mine:zero", "adam", "adamw-cosine", "prodigy"]
    assert rows["mine"]["adam_won"] == rows["mine"]["cosine_won"] == rows["mine"]["test_won"] == 0.5
    assert rows["mine"]["adam_ratio"] == pytest.approx(1.0, abs=1e-6)  # the middle of 1/2 and 2
    assert rows["adam"]["adam_speed"] == 1.0
    assert rows["prodigy"]["diverged"] == 4
    (first, second) = win_rows(found)
    assert (first["rule"], first["prodigy"], first[":zero"]) == ("mine", 1.0, 0.5)
    assert second["prodigy"] == 1.0
    dense, conv = task_rows(found, ["mine"])
    assert (dense["mine ratio"], conv["mine speed"]) == (pytest.approx(0.5, abs=1e-6), 0.0)
    # 0.6 at step 50 and 0.2 at step 100: at 0.4 in the middle.
    assert dense["mine speed_low"] == pytest.approx(100 / 75)


def test_published_speed_is_the_step_of_the_envelope_over_ours(made: list[Cell]):
    (row,) = published_rows({t: g for t, g in outcomes(made).items() if t[0].startswith(velodrome.PREFIX)})
    assert row["speed_high"] == pytest.approx(1.566, abs=1e-3)  # the envelope has 0.060684 at step 1,566
    assert velodrome.steps_of_baselines("ImageMLP_Mnist_128x128x128_Relu", 0.0) == 100_000


def test_losses_are_averaged_as_the_published_ones():
    np.testing.assert_allclose(velodrome.averaged(np.array([1.0, 0.0, 1.0])), [1.0, 0.95, 0.95**2 + 0.05])


def test_an_epoch_has_every_row_once():
    rows = velodrome.shuffled(jnp.arange(1000), jax.random.key(0), 1000)
    others = velodrome.shuffled(jnp.arange(1000), jax.random.key(1), 1000)
    assert sorted(rows.tolist()) == sorted(others.tolist()) == list(range(1000))
    assert abs(np.corrcoef(np.asarray(rows), np.arange(1000))[0, 1]) < 0.1
    assert abs(np.corrcoef(np.asarray(rows), np.asarray(others))[0, 1]) < 0.1


def test_against_the_clock_a_slower_step_makes_up_for_a_speed_up(made: list[Cell]):
    key = Key("generalization", "dense-a", clock.RULES, 100, None, clock.PART)
    seconds = {"mine": 4e-3, "adam": 2e-3}
    found = suite.SUITE.sections([*made, Cell(key, {}, {"seconds": seconds}, {}, 1.0)])  # type: ignore[misc]
    (section,) = (one for one in found if one.heading == "Against the clock")
    ours, adam = section.rows
    assert (ours["rule"], ours["step"], ours["ratio"]) == ("mine", 4.0, 2.0)
    assert ours["time_speed"] == pytest.approx(ours["speed"] / 2)
    assert ours["speed"] > 1
    assert "speed" not in adam
    assert len(section.figures) == 1


def test_the_seconds_of_a_step_are_those_of_every_rule():
    trial = next(trial for trial in suite.TRIALS if trial.name == "recurrent-characters")
    assert trial.name in clock.TIMED
    (job,) = clock.jobs("generalization", trial, [rules.ADAM_ALONE])
    assert job.timed
    assert job.run(None)["seconds"]["adam-1e-3"] > 0
    assert clock.jobs("generalization", suite.TRIALS[-1], [rules.ADAM_ALONE]) == []


def test_the_report_has_every_part(made: list[Cell]):
    assert suite.SUITE.sections is not None
    sections = {section.heading: section for section in suite.SUITE.sections(made)}
    assert list(sections) == [
        "Overview", "Solvable and noisy tasks", "Wins", "Tasks", "Stress", "Published baselines",
    ]  # fmt: skip
    assert len(sections["Overview"].figures) == 2
    assert "are not in these results" in sections["Overview"].prose
    (row,) = sections["Stress"].rows
    assert row["diverged"] == "prodigy (2 of 2)"


def test_learned_rules_take_the_place_of_ours_and_controls_that_of_controls(ours: str):
    def named(*names: str) -> list[str]:
        return [rule for family in rules.chosen(names) for rule in family.numbers]

    assert named(ours)[-4:] == ["mine", "mine:zero", "mine:decay", "mine:zero:decay"]
    assert set(named(ours)) > {"adam", "adamw-cosine", "muon", "prodigy", "dowg", "schedule-free", "nadamw"}
    assert named("prodigy") == ["adam", "adamw-cosine", "prodigy"]
    with pytest.raises(ValueError, match="prodigi"):
        rules.chosen(["prodigi"])


def test_an_infinite_number_of_steps_is_none(ours: str):
    stored, params = zoo.load(ours), {"w": jnp.ones((3, 2))}
    updates = []
    for num_steps in (None, jnp.inf):
        tx = stored.lopt.build(stored.theta, num_steps=num_steps)
        updates.append(tx.update({"w": jnp.eye(3, 2)}, tx.init(params), params)[0]["w"])
    np.testing.assert_array_equal(*updates)


def test_a_quick_run_of_two_tasks(ours: str, tmp_path):
    request = Request("quick", ("prodigy", ours), tasks=("convex-hinge", "functions-absol*"))
    chosen = [dataclasses.replace(discovery.find("generalization"), independent=False)]
    assert runner.run(chosen, request, tmp_path, command="c", quiet=True) == 2 * 8
    assert runner.run(chosen, request, tmp_path, command="c", quiet=True) == 0
    _, cells, _ = results.load(tmp_path)
    by_rule = {(c.key.task, c.key.optimizer): c.result for c in cells}
    adam, fixed = by_rule["convex-hinge", "adam"], by_rule["convex-hinge", "adam-1e-3"]
    assert len(adam["by_rate"]) == len(rules.RATES)
    assert fixed["final"] == adam["by_rate"][3]
    assert adam["steps"][-1] == 200
    for result in by_rule.values():
        assert np.isfinite(result["train"]).all()
    assert report.write(tmp_path, tmp_path / "r.html", tmp_path / "r.md", lambda *_: ()) == []
    assert "| mine:zero:decay |" in (tmp_path / "r.md").read_text()


def test_tasks_without_their_data_are_left_out_and_asked_for_by_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("learned_opt.datasets.is_prepared", lambda name, *_: name == "digits")
    names = {job.key.task for job in suite.plan(Request())}
    assert "dense-mnist" not in names
    assert "dense-autoencoder" in names
    with pytest.raises(ValueError, match="dense-mnist needs mnist"):
        suite.plan(Request(tasks=("dense-mnist",)))
