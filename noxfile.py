"""The tests on every Python, with the oldest and the newest jax that pyproject.toml admits.

`pip install nox`, then `nox`, or `nox -s "tests-3.13(jax='oldest')" -- -k quadratic`.
"""

import re

import nox

PROJECT = nox.project.load_toml("pyproject.toml")["project"]
PYTHONS = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["classifiers"]))
(OLDEST,) = (one.removeprefix("jax>=") for one in PROJECT["dependencies"] if one.startswith("jax>="))

nox.options.default_venv_backend = "uv|virtualenv"


@nox.session(python=PYTHONS)
@nox.parametrize("jax", ["oldest", "newest"])
def tests(session: nox.Session, jax: str) -> None:
    """All tests, or those that pytest is told after `--`."""
    pinned = [f"jax=={OLDEST}", f"jaxlib=={OLDEST}"] if jax == "oldest" else []
    session.install("--upgrade", ".[dev]", *pinned)
    session.run("pytest", "--numprocesses=logical", "--dist=worksteal", *session.posargs)
