"""What all tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings

from certificates import Pair, make_pair
from lineages import Lineage
from managing import Manager
from netns import HERE, Place
from serving import Served, find_program


def pytest_configure() -> None:
    """What a shell starts in the background ignores SIGINT, and so would all that is started here.

    An example may take as long as it likes: the machine is shared, and time is for benchmarks.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    settings.register_profile("freight", deadline=None)
    settings.load_profile("freight")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What measures has the machine for itself."""
    for item in items:
        if {"load", "lab"} & set(item.path.relative_to(item.config.rootpath).parts):
            item.add_marker(pytest.mark.alone)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Hold ``@pytest.mark.needs("wget")`` to its word: skip by name where it is missing, fail where CI=true."""
    for mark in item.iter_markers("needs"):
        for program in mark.args:
            if find_program(program) is not None:
                continue
            if os.environ.get("CI") == "true":
                pytest.fail(f"{program} is not installed", pytrace=False)
            pytest.skip(f"{program} is not installed")


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A key pair for who serves by HTTPS."""
    return make_pair(tmp_path_factory.mktemp("pair"), "localhost")


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Starts ``freight serve PATH ...`` on a free port; what was started is ended with the test."""
    servers: list[Served] = []

    def start(
        path: str | os.PathLike[str],
        *arguments: str,
        host: str | None = None,
        nofile: int | None = None,
        log_fd: int | None = None,
        admin: bool = False,
        place: Place = HERE,
        within: tuple[str, ...] = (),
        pass_fds: tuple[int, ...] = (),
    ) -> Served:
        everything = (os.fspath(path), *arguments)
        servers.append(Served(everything, host or place.host, nofile, log_fd, admin, place, within, pass_fds))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def found() -> Iterator[Callable[[Served], Lineage]]:
    """Whoever comes after a server ends with the test."""
    lineages: list[Lineage] = []

    def make(server: Served) -> Lineage:
        lineages.append(Lineage(server))
        return lineages[-1]

    yield make
    for lineage in lineages:
        lineage.close()


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    """Closes the clients that enter it."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    address = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    made = Manager(address)
    yield made
    made.close()
