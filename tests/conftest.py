"""Options, hooks and fixtures of all tests."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import importlib.util
import inspect
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import pytest_timeout
from hypothesis import settings

from freight.tools.loadgen.network import HERE, Place
from support import real_clients, tiers
from support.certificates import KeyPair, make_key_pair
from support.generations import Generations
from support.processes import adopt_orphans, end_orphans
from support.servers import Serve, ServerProcess, find_program
from support.service_manager import ServiceManager

TESTS = Path(__file__).parent
ALARM_AGAIN_SECONDS = 30.0
ASYNC_SECONDS = 20.0
"""Time limit of an async test."""

CLEAN_UP_SECONDS = 60.0
"""Time limit of a test's teardown, with that of its module and of the session."""


EXIT_SECONDS = 60.0
"""Time limit of the exit of pytest, which waits for all threads that are not daemons."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that scripts/test uses."""
    group = parser.getgroup("freight")
    group.addoption("--tier", choices=tiers.TIERS, help="only the tests of this tier: see tests/support/tiers.py")
    group.addoption("--alone", choices=["yes", "no"], help="only the tests that need the machine alone, or only others")


def pytest_configure() -> None:
    """Set the signal handlers, adopt orphans, and give Hypothesis no deadline, because the machine is shared.

    A shell's background jobs ignore SIGINT, and their children would too. Adopted orphans can be killed at the end.
    """
    adopt_orphans()
    for number in (signal.SIGINT, signal.SIGTERM):  # both end the tests with their teardown
        signal.signal(number, signal.default_int_handler)
    settings.register_profile("freight", deadline=None)
    settings.load_profile("freight")


@pytest.hookimpl(tryfirst=True)  # others raise what the tests have left to be raised
def pytest_unconfigure() -> None:
    """Kill all processes that the tests have left, and exit even if a thread never ends."""
    end_orphans()
    faulthandler.dump_traceback_later(EXIT_SECONDS, exit=True, file=sys.__stderr__)


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer(settings: pytest_timeout.Settings) -> Generator[None, object, object]:
    """Repeat the alarm: its exception is lost if it is raised in a callback whose exceptions are ignored."""
    is_set = yield
    if settings.method == "signal":
        signal.setitimer(signal.ITIMER_REAL, settings.timeout, ALARM_AGAIN_SECONDS)
    return is_set


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Cancel the alarm of a failed test, so that it does not interrupt the report."""
    if call.excinfo is not None:
        item.config.hook.pytest_timeout_cancel_timer(item=item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Set a time limit for the teardown: after a failure pytest-timeout has none."""
    limit = pytest_timeout.Settings(CLEAN_UP_SECONDS, "signal", func_only=False, disable_debugger_detection=False)
    item.config.hook.pytest_timeout_cancel_timer(item=item)
    item.config.hook.pytest_timeout_set_timer(item=item, settings=limit)
    return (yield)


def _wanted(config: pytest.Config) -> dict[str, bool]:
    """Return the marks that a test must have (True) or must not have (False), as the options ask."""
    tier, alone = config.getoption("tier"), config.getoption("alone")
    marks = {name: tier == name for name in ("slow", "nightly")} if tier else {}
    return marks | ({"alone": alone == "yes"} if alone else {})


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignore files without a wanted test, because their imports need not be installed."""
    if TESTS not in collection_path.parents:
        return None
    name = collection_path.relative_to(TESTS).as_posix() + "/" * collection_path.is_dir()
    wanted = _wanted(config)
    if config.getoption("tier") == "fast" and not tiers.may_have(tiers.SLOW, name, False):
        return True
    if wanted.get("nightly") is False and not tiers.may_have(tiers.NIGHTLY, name, False):
        return True
    if "alone" in wanted and not tiers.may_have(tiers.ALONE, name, wanted["alone"]):
        return True
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests as the tables say, and deselect those that are not wanted."""
    names = [item.nodeid.removeprefix("tests/") for item in items]
    for item, name in zip(items, names, strict=True):
        needed = {program for mark in item.iter_markers("needs") for program in mark.args}
        tier = tiers.tier_of(name, needed)
        if tier != "fast":
            item.add_marker(tier)
        if tier == "nightly":
            item.add_marker(pytest.mark.timeout(300))
        if tiers.decide(tiers.ALONE, name):
            item.add_marker(pytest.mark.alone)
            item.add_marker(pytest.mark.timeout(300))
    wanted = _wanted(config)
    kept = [item for item in items if all((mark in item.keywords) is is_wanted for mark, is_wanted in wanted.items())]
    if len(kept) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
        items[:] = kept


def pytest_collection_finish() -> None:
    """Leave what is loaded by now out of later collections of garbage: hundreds of tests collect before they begin."""
    gc.collect()
    gc.freeze()


def _is_installed(name: str) -> bool:
    """Return whether there is such a program, such a package here or in .venv-clients, or such a browser library."""
    if name in tiers.SLOW_PACKAGES | tiers.NIGHTLY_PACKAGES:
        return importlib.util.find_spec(name) is not None
    if name in real_clients.BROWSER_LIBRARIES:
        return real_clients.library_version(real_clients.BROWSER_LIBRARIES[name]) is not None
    if name in real_clients.PYTHON_PACKAGES:
        return real_clients.package_version(name) is not None
    return find_program(name) is not None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test with ``@pytest.mark.needs("wget")`` if the program is missing; with CI=true, fail it."""
    for mark in item.iter_markers("needs"):
        for program in mark.args:
            if _is_installed(program):
                continue
            if os.environ.get("CI") == "true":
                pytest.fail(f"{program} is not installed", pytrace=False)
            pytest.skip(f"{program} is not installed")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test on an event loop of its own, for at most ASYNC_SECONDS."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None

    async def bounded() -> None:
        async with asyncio.timeout(ASYNC_SECONDS):
            await pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames})

    asyncio.run(bounded())
    return True


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    """Return a certificate for localhost and its key."""
    return make_key_pair(tmp_path_factory.mktemp("pair"), "localhost")


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that runs ``freight serve PATH ...`` on a free port until the end of the test."""
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
    ) -> ServerProcess:
        everything = (os.fspath(path), *arguments)
        server = ServerProcess(everything, host or place.host, nofile, log_fd, admin, place, within, pass_fds)
        servers.callback(server.close)
        return server

    with servers:
        yield start


@pytest.fixture
def follow() -> Iterator[Callable[[ServerProcess], Generations]]:
    """Return a function that follows a server's hand-overs, and kills all its successors at the end of the test."""
    with ExitStack() as stack:
        yield lambda server: stack.enter_context(closing(Generations(server)))


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    """Return a stack that closes clients at the end of the test."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceManager]:
    """Return a service manager that receives the notifications of servers."""
    address = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with closing(ServiceManager(address)) as manager:
        yield manager
