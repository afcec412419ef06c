"""What the tests of the promise share: a site whose every byte proves itself, places, crowds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import cages
import netns
from cages import Cage
from crowds import Crowd
from freight.sample import write_sample
from netns import HERE, Network, Place
from serving import Served

GIANT_BYTES = 64 * 1024 * 1024
SMALL_BYTES = 10 * 1024


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory to serve, with ``giant.csv`` and ``small.csv``: samples, in which no two lines are alike."""
    root = tmp_path_factory.mktemp("site")
    write_sample(root / "giant.csv", GIANT_BYTES)
    write_sample(root / "small.csv", SMALL_BYTES)
    return root


@pytest.fixture(params=["loopback", pytest.param("veth", marks=pytest.mark.needs("ip"))])
def network(request: pytest.FixtureRequest) -> Iterator[Network]:
    """Where server and clients are; over veth(4) their packets are as large as Ethernet's."""
    if request.param == "loopback":
        yield Network()
        return
    try:
        with netns.veth() as made:
            yield made
    except netns.Unmade as error:
        pytest.skip(f"network namespaces cannot be made: {error}")


@pytest.fixture
def cage() -> Iterator[Cage]:
    """A control group of 64 MiB."""
    try:
        with cages.cage(64 << 20) as made:
            yield made
    except cages.Unmade as error:
        pytest.skip(str(error))


@pytest.fixture
def gather(site: Path) -> Iterator[Callable[..., Crowd]]:
    """Starts a process of clients of a server; it ends with the test."""
    with ExitStack() as stack:

        def start(server: Served, place: Place = HERE, root: Path = site) -> Crowd:
            return stack.enter_context(Crowd(place, server.host, server.port, root))

        yield start
