"""The wheel holds the whole package: code, weights, cards, templates and the typing marker."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_wheel_holds_every_file_of_the_package(tmp_path: Path):
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run([*build, "--directory", tmp_path], cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("learned_opt/")}
    present = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "learned_opt").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert packed == present
    assert "learned_opt/py.typed" in packed
    assert wheel.stat().st_size < 20e6
