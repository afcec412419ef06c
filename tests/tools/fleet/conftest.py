"""What the tests of a fleet share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from fleet_nodes import NODES, Fleet

from support.servers import Serve


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What all nodes serve."""
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def make_fleet(tmp_path: Path, serve: Serve) -> Iterator[Callable[[Sequence[Path]], Fleet]]:
    """Makes a fleet of nodes that serve these directories; all is ended with the test."""
    made: list[Fleet] = []

    def make(roots: Sequence[Path]) -> Fleet:
        made.append(Fleet(serve, tmp_path, roots))
        return made[-1]

    yield make
    for fleet in made:
        fleet.close()


@pytest.fixture
def fleet(make_fleet: Callable[[Sequence[Path]], Fleet], root: Path) -> Fleet:
    """A fleet whose nodes serve the same directory."""
    return make_fleet([root] * NODES)
