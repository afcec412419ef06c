"""Fixtures for tests with real programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import Site, lay_out
from programs import kill_started

from support.servers import ServerProcess


@pytest.fixture(autouse=True)
def _started_programs() -> Iterator[None]:
    """Kill the programs that a test has started and that still run."""
    yield
    kill_started()


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """An empty directory for a client to write into."""
    path = tmp_path / "here"
    path.mkdir()
    return path


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """An empty directory to serve."""
    path = tmp_path / "there"
    path.mkdir()
    return path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server shared by the read-only tests of a module."""
    served = ServerProcess((str(lay_out(tmp_path_factory.mktemp("above"))),))
    yield Site(served, served.get("/file.bin").fields["etag"])
    served.close()
