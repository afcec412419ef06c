"""Fixtures for several workers: a file, and downloads of it that stall."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from freight.tools.sample import write_sample
from support.servers import Client, ServerProcess
from support.worker_snapshots import FILE_BYTES


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that is larger than what the kernel buffers, with no two equal lines."""
    made = tmp_path / "huge.csv"
    write_sample(made, FILE_BYTES)
    return made


@pytest.fixture
def start_stalled(clients: ExitStack) -> Callable[[ServerProcess], Client]:
    """Starts a download that stalls after the head."""
    return lambda server: clients.enter_context(server.start_download())
