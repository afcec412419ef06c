"""What the tests of several workers share: a file, and downloads of it that stand still."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from crew_looks import FILE_BYTES
from freight.sample import write_sample
from serving import Client, Served


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that is more than the kernel takes by itself, and of which every line is another."""
    made = tmp_path / "huge.csv"
    write_sample(made, FILE_BYTES)
    return made


@pytest.fixture
def begun(clients: ExitStack) -> Callable[[Served], Client]:
    """Begins a download that stands still behind its head."""
    return lambda server: clients.enter_context(server.begin())
