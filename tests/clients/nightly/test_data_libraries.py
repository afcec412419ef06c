"""Libraries that read parts of data files over HTTP: what they read is what was written.

A program of ``jobs/data_*`` writes files into the served directory, reads them over HTTP, and compares all values.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.processes import run
from support.real_clients import PYTHON
from support.servers import Serve

JOBS = sorted((Path(__file__).parent / "jobs").glob("data_*.py"))


def package(job: Path) -> str:
    """Return the package that a program tests."""
    return job.stem.removeprefix("data_")


@pytest.mark.parametrize(
    "job", [pytest.param(job, id=package(job), marks=pytest.mark.needs(package(job))) for job in JOBS]
)
def test_a_library_reads_what_was_written(serve: Serve, there: Path, here: Path, job: Path) -> None:
    server = serve(there, "--show-hidden")
    env = os.environ | {"HOME": str(here), "TMPDIR": str(here)}
    done = run(PYTHON, job, f"http://127.0.0.1:{server.port}/", there, env=env, cwd=here, seconds=200)
    assert done.returncode == 0, done.stderr
    assert any('" 20' in line for line in server.log)
