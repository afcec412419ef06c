"""Fixtures of the load tests: a site whose bytes can be verified, networks, control groups and load generators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from freight.tools.loadgen.network import HERE, Network, Place, Unsupported, veth
from freight.tools.sample import write_sample
from support import cgroups
from support.cgroups import Cgroup
from support.load_generator import CheckedLoad
from support.servers import ServerProcess

GIANT_BYTES = 64 * 1024 * 1024
SMALL_BYTES = 10 * 1024


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with ``giant.csv`` and ``small.csv``: samples in which no two lines are equal."""
    root = tmp_path_factory.mktemp("site")
    write_sample(root / "giant.csv", GIANT_BYTES)
    write_sample(root / "small.csv", SMALL_BYTES)
    return root


@pytest.fixture(params=["loopback", pytest.param("veth", marks=pytest.mark.needs("ip"))])
def network(request: pytest.FixtureRequest) -> Iterator[Network]:
    """Return where server and clients run. Over veth(4) their packets are as large as Ethernet's."""
    if request.param == "loopback":
        yield Network()
        return
    try:
        with veth() as made:
            yield made
    except Unsupported as error:
        pytest.skip(f"network namespaces cannot be made: {error}")


@pytest.fixture
def cgroup() -> Iterator[Cgroup]:
    """Return a control group of 64 MiB."""
    try:
        with cgroups.memory_cgroup(64 << 20) as made:
            yield made
    except cgroups.CgroupUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def start_load(site: Path) -> Iterator[Callable[..., CheckedLoad]]:
    """Return a function that starts a process of clients. It ends with the test."""
    with ExitStack() as stack:

        def start(server: ServerProcess, place: Place = HERE, root: Path = site) -> CheckedLoad:
            return stack.enter_context(CheckedLoad(place, server.host, server.port, root))

        yield start
