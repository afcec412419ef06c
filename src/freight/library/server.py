"""``freight.Server`` and ``freight.serve``: a server in an application, on its event loop or in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Self, Unpack

from freight.config.settings import Settings
from freight.errors import ConfigurationError
from freight.library.log import LogLine, log_for, notify
from freight.library.options import Options, Path, resolve_options
from freight.library.routes import Route, split
from freight.memory.process_growth import UncountedGrowth
from freight.model import Identity, Level
from freight.observe.status import status_mapping
from freight.runtime.build import open_source
from freight.runtime.open_parts import open_parts
from freight.runtime.running_server import RunningServer
from freight.runtime.snapshots import SnapshotCollector
from freight.runtime.terminal import Terminal
from freight.sources.disk_pool import DiskPool
from freight.sources.listing import ListingLimits
from freight.sources.served import ServedSource
from freight.threads import start_daemon

_STATUS_SECONDS = 10.0  # for a loop that is busy


class _Serving:
    """A server that accepts connections, and what can be asked about it."""

    def __init__(self, running: RunningServer) -> None:
        self.running = running
        self.loop = running.core.loop
        self.identity: Identity = running.parts.identity(1)
        self.port = running.parts.sockets.port
        self.collector: SnapshotCollector = running.collector(self.identity)


class Server:
    """A server of files in this process, on an event loop or in a thread.

    - ``path``: the file or directory to serve; None with ``mount`` or ``routes``, or if ``config`` names it.
    - ``routes``: what is served by URL path, in place of ``path`` and ``mount``:
      ``{"/": Directory("data"), "/export.csv": Stream(export)}``.
    - ``log``: a function that gets each line of the log, such as ``print`` or ``logging.getLogger("files").info``.
      It is called in a thread of its own. Without it nothing is logged.
    - ``config``: a file of settings, which may have rules by path. The keyword arguments come before it.
    - ``settings``: the settings of ``freight serve``, with underscores in their names. A value is a text as on the
      command line, or a Python value: ``memory="20MB"`` is ``memory=20_000_000``, ``queue_timeout="1m"`` is
      ``queue_timeout=60``; a list is a list, and ``mount`` and ``header`` may be mappings. Environment variables are
      not read. ``admin`` is off by default.

    Making it checks the settings and opens nothing. Raise :class:`ConfigurationError` if they are not valid.

    On the running event loop::

        async with freight.Server("data", port=0) as server:
            print(server.url)

    In a thread, for notebooks, tests and programs without a loop::

        with freight.Server("data", port=0).start() as server:
            print(server.url)

    A server runs once. It handles no signals, starts no process, and leaves the garbage collector, the limits of the
    process and the standard streams alone. Several servers in one process share nothing. The memory of a server bounds
    what its clients cost; how much the process grows otherwise is the application's.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        routes: Mapping[str, Route] | None = None,
        log: LogLine | None = None,
        config: Path | None = None,
        **settings: Unpack[Options],
    ) -> None:
        self._routes = None if routes is None else split(routes)
        self._resolve = partial(resolve_options, path, config, settings, self._routes)
        self._resolved = self._resolve()
        self._log_line = log
        self._serving: _Serving | None = None
        self._begun = False
        self._thread: Any = None
        self._task: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None

    def __repr__(self) -> str:
        state = self._serving.identity.urls[0] if self._serving is not None else "not started"
        return f"<freight.Server {state}>"

    @property
    def settings(self) -> Settings:
        """The settings, read and checked."""
        return self._resolved.settings

    @property
    def url(self) -> str:
        """The address of everything that is served, with a slash at its end: ``http://127.0.0.1:8080/``."""
        return self._started.identity.urls[0]

    @property
    def urls(self) -> tuple[str, ...]:
        """All addresses, the most useful first. That of a Unix socket is ``unix:PATH``."""
        return self._started.identity.urls

    @property
    def port(self) -> int:
        """The TCP port, which the system has chosen if the setting is 0."""
        return self._started.port

    def status(self) -> dict[str, Any]:
        """Return what the server does at this moment: what ``/status`` of the admin listener says.

        It may be called in any thread, while the server runs. Raise RuntimeError if it does not run.
        """
        serving = self._started
        with suppress(RuntimeError):
            if asyncio.get_running_loop() is serving.loop:
                return status_mapping(serving.collector.snapshot_now())
        found: Future[dict[str, Any]] = Future()

        def look() -> None:
            found.set_result(status_mapping(serving.collector.snapshot_now()))

        try:
            serving.loop.call_soon_threadsafe(look)
            return found.result(_STATUS_SECONDS)
        except (RuntimeError, TimeoutError):
            raise RuntimeError("the server does not run") from None

    def start(self) -> Self:
        """Start to serve in a thread, and return when connections are accepted. End it with :meth:`stop`, or ``with``.

        Raise :class:`ConfigurationError` if the path cannot be served or the port is in use.
        """
        self._begin()
        started: Future[None] = Future()
        self._thread = start_daemon(partial(self._run, started), "freight")
        started.result()
        return self

    def stop(self) -> None:
        """Stop a server that :meth:`start` has started: let downloads finish within ``shutdown_timeout``.

        A second call does nothing.
        """
        if self._thread is None:
            if self._task is not None:
                raise RuntimeError("the server runs on an event loop; await aclose()")
            return
        if self._serving is not None:
            with suppress(RuntimeError):  # its loop is closed: the server has stopped
                self._serving.loop.call_soon_threadsafe(self._serving.running.request_stop)
        self._thread.join()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    async def aclose(self) -> None:
        """Stop a server that ``async with`` has started: let downloads finish within ``shutdown_timeout``.

        A second call does nothing. If the waiting task is cancelled, the downloads are aborted.
        """
        if self._task is None or self._serving is None:
            return
        self._serving.running.request_stop()
        try:
            await asyncio.shield(self._task)
        except asyncio.CancelledError:
            self._serving.running.abort()
            await asyncio.wait([self._task])
            raise

    def __enter__(self) -> Self:
        return self if self._thread is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        self._begin()
        loop = asyncio.get_running_loop()
        started: asyncio.Future[None] = loop.create_future()
        self._task = loop.create_task(self._serve(lambda: started.set_result(None)), name="freight")
        try:
            await asyncio.wait([self._task, started], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._task.cancel()
            raise
        if not started.done():
            await self._task
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def _started(self) -> _Serving:
        if self._serving is None:
            raise RuntimeError("the server has not been started")
        return self._serving

    def _begin(self) -> None:
        if self._begun:
            raise RuntimeError("a server is started once; make another one")
        self._begun = True

    def _run(self, started: Future[None]) -> None:
        """Serve in this thread, on a loop of its own."""
        try:
            asyncio.run(self._serve(lambda: started.set_result(None)))
        except BaseException as error:
            if started.done():
                self._failure = error
            else:
                started.set_exception(error)

    def _open_source(self, settings: Settings, pool: DiskPool, limits: ListingLimits) -> ServedSource:
        if self._routes is None or not self._routes.code:
            return open_source(settings, pool, limits)
        from freight.library.routed_source import RoutedSource

        return RoutedSource(self._routes.code, settings, pool, limits)

    async def _end_streams(self, source: ServedSource) -> None:
        """Give the application's code time to end."""
        if self._routes is not None and self._routes.code:
            from freight.library.routed_source import RoutedSource

            assert isinstance(source, RoutedSource)
            await source.end_streams()

    async def _serve(self, started: Callable[[], None]) -> None:
        """Serve until a stop is requested, then drain. If the task is cancelled, abort."""
        settings, log_line = self._resolved.settings, self._log_line
        log_notice = partial(notify, log_line, settings)
        try:
            with open_parts(settings, self._resolve, log_notice, Terminal(None), open_served=self._open_source) as (
                parts,
                budget,
            ):
                log = log_for(log_line, settings, budget)
                try:
                    running = RunningServer(parts, budget, log, None, UncountedGrowth)
                    self._serving = _Serving(running)
                    running.start()
                    running.open_agent()
                    if parts.sockets.admin is not None:
                        running.open_admin(self._serving.collector, lambda: False)
                    log.notice(Level.INFO, f"serving {self._serving.identity.path} at {self.url}")
                    started()
                    try:
                        await _until_stopped(running)
                    finally:
                        await self._end_streams(parts.source)
                finally:
                    log.close()
        except ConfigurationError as error:
            raise ConfigurationError(self._resolved.explain(error)) from error


async def _until_stopped(running: RunningServer) -> None:
    """Wait for the stop, and finish what runs."""
    try:
        await running.wait_for_stop()
        await _drain(running)
    except asyncio.CancelledError:
        running.abort()
        await _drain(running)
        raise
    finally:
        running.end_sweeps()
        running.close()


async def _drain(running: RunningServer) -> None:
    """Finish what runs. If this is cancelled, abort it first."""
    draining = asyncio.ensure_future(running.drain(handed_over=False))
    try:
        await asyncio.shield(draining)
    except asyncio.CancelledError:
        running.abort()
        await draining
        raise


def serve(
    path: Path | None = None,
    *,
    routes: Mapping[str, Route] | None = None,
    log: LogLine | None = None,
    config: Path | None = None,
    **settings: Unpack[Options],
) -> None:
    """Serve until Ctrl-C, and return when running downloads have finished. A second Ctrl-C aborts them.

    The arguments are those of :class:`Server`, and so are the errors::

        freight.serve("data", port=8000, memory="64MiB", log=print)
    """
    server = Server(path, routes=routes, log=log, config=config, **settings)

    async def run() -> None:
        async with server:
            await asyncio.get_running_loop().create_future()

    with suppress(KeyboardInterrupt):
        asyncio.run(run())
