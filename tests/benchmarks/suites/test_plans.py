"""What every suite plans."""

import json
from pathlib import Path

import pytest

from benchmarks.comparison.aggregates import PART
from benchmarks.harness import discovery, results
from benchmarks.harness.suite import Request


@pytest.mark.parametrize("size", ["quick", "default", "full"])
@pytest.mark.parametrize("name", discovery.names())
def test_every_suite_plans_distinct_cells(name: str, size: str, tmp_path: Path):
    jobs = discovery.find(name).plan(Request(size))
    paths = [results.path_of(tmp_path, job.key) for job in jobs]
    assert len(set(paths)) == len(paths) > 0
    json.dumps(results.plain([dict(job.settings) for job in jobs]), allow_nan=False)
    swept = {job.key for job in jobs if job.key.part == "sweep"}
    for job in jobs:
        assert job.key.suite == name
        if job.settings.get("kind") == "swept" and job.key.part == PART:
            assert job.key._replace(seed=None, part="sweep") in swept
