"""What all tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import pytest_timeout
from hypothesis import settings

import tiers
from certificates import Pair, make_pair
from lineages import Lineage
from managing import Manager
from netns import HERE, Place
from processes import adopt_orphans, end_orphans
from serving import Served, find_program

TESTS = Path(__file__).parent
ALARM_AGAIN_SECONDS = 30.0
CLEAN_UP_SECONDS = 60.0  # for all that ends with a test, the fixtures of its module and of the session included


def pytest_addoption(parser: pytest.Parser) -> None:
    """What scripts/test asks for."""
    group = parser.getgroup("freight")
    group.addoption("--tier", choices=["fast", "slow"], help="only the tests of this tier: see tests/tiers.py")
    group.addoption("--alone", choices=["yes", "no"], help="only the tests that need the machine alone, or only others")


def pytest_configure() -> None:
    """What a shell starts in the background ignores SIGINT, and so would all that is started here.

    An example may take as long as it likes: the machine is shared, and time is for benchmarks. Whatever outlives the
    one that has started it, such as a test's process that had to be ended, becomes a child of this one.
    """
    adopt_orphans()
    for number in (signal.SIGINT, signal.SIGTERM):  # either ends the tests in good order, so that nothing is left
        signal.signal(number, signal.default_int_handler)
    settings.register_profile("freight", deadline=None)
    settings.load_profile("freight")


def pytest_unconfigure() -> None:
    """Nothing that was started here outlives the tests."""
    end_orphans()


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer(settings: pytest_timeout.Settings) -> Generator[None, object, object]:
    """Have the alarm ring again: it is lost where it comes in a callback whose exceptions are passed over."""
    is_set = yield
    if settings.method == "signal":
        signal.setitimer(signal.ITIMER_REAL, settings.timeout, ALARM_AGAIN_SECONDS)
    return is_set


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """What has failed is over: no alarm may ring while it is told of."""
    if call.excinfo is not None:
        item.config.hook.pytest_timeout_cancel_timer(item=item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """To clean up has a time limit of its own: pytest-timeout has none any more once a test has failed."""
    limit = pytest_timeout.Settings(CLEAN_UP_SECONDS, "signal", func_only=False, disable_debugger_detection=False)
    item.config.hook.pytest_timeout_cancel_timer(item=item)
    item.config.hook.pytest_timeout_set_timer(item=item, settings=limit)
    return (yield)


def _wanted(config: pytest.Config) -> dict[str, bool]:
    """Whether tests are to be slow, and alone, where that is asked for."""
    tier, alone = config.getoption("tier"), config.getoption("alone")
    return ({"slow": tier == "slow"} if tier else {}) | ({"alone": alone == "yes"} if alone else {})


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Pass over files that have no test of those that are wanted: what they import need not be installed."""
    if TESTS not in collection_path.parents:
        return None
    name = collection_path.relative_to(TESTS).as_posix() + "/" * collection_path.is_dir()
    wanted = _wanted(config)
    if wanted.get("slow") is False and not tiers.may_have(tiers.SLOW, name, False):
        return True
    if "alone" in wanted and not tiers.may_have(tiers.ALONE, name, wanted["alone"]):
        return True
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests by their tables, and leave out those that are not wanted."""
    names = [item.nodeid.removeprefix("tests/") for item in items]
    for item, name in zip(items, names, strict=True):
        needed = {program for mark in item.iter_markers("needs") for program in mark.args}
        if needed & tiers.LATER or tiers.decide(tiers.SLOW, name):
            item.add_marker(pytest.mark.slow)
        if tiers.decide(tiers.ALONE, name):
            item.add_marker(pytest.mark.alone)
            item.add_marker(pytest.mark.timeout(300))
    wanted = _wanted(config)
    kept = [item for item in items if all((mark in item.keywords) is is_wanted for mark, is_wanted in wanted.items())]
    if len(kept) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
        items[:] = kept


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
    servers = ExitStack()

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
        server = Served(everything, host or place.host, nofile, log_fd, admin, place, within, pass_fds)
        servers.callback(server.close)
        return server

    with servers:
        yield start


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
