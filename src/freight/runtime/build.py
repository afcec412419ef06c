"""The wiring of a server: from its parts to the objects that serve requests on one event loop."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from freight.config.load import ResolvedSettings
from freight.config.settings import Settings
from freight.fileserver import AnswerPolicy, FileServer
from freight.flow.counters import Counters
from freight.flow.gate import Gate
from freight.flow.limits import QueueLimits, TransferLimits
from freight.flow.transfers import Transfers
from freight.http.client_address import Networks
from freight.http.cors import CorsPolicy
from freight.http.target import encode
from freight.memory.budget import Budget
from freight.memory.process_growth import Growth
from freight.model import Identity, Level
from freight.names import from_system, shown
from freight.observe.log import AnyLog
from freight.observe.process import ProcessMemory
from freight.protocols import Clock, LogNotice, Responder
from freight.runtime.announcement import URLS_SHOWN, Announcement, Place, url_below, urls
from freight.runtime.clock import SystemClock
from freight.runtime.file_system_watch import FileSystemWatch
from freight.runtime.listeners import ListeningSockets
from freight.runtime.snapshots import SnapshotCollector
from freight.runtime.standard_streams import print_lines
from freight.runtime.terminal import Terminal
from freight.server.context import ServerContext, summarize, summarize_in_full
from freight.server.listener import Listener
from freight.server.redirect import RedirectResponder
from freight.sources.disk_pool import DiskPool
from freight.sources.listing import ListingLimits
from freight.sources.local import LocalSource
from freight.sources.lookup import SourceOptions
from freight.wire.http1.parser import Limits

if TYPE_CHECKING:
    from freight.access.guard import Guard
    from freight.precompressed import Precompressed
    from freight.runtime.worker_role import WorkerRole
    from freight.server.request_ids import RequestIds
    from freight.server.tls.sockets import TlsLayer
    from freight.sources.served import ServedSource

MakeGrowth = Callable[[DiskPool, Budget], Growth]
"""A function that makes what measures the growth of the process."""


@dataclass(frozen=True, slots=True)
class ServerParts:
    """What a server is made from, in one process or several.

    ``reread`` resolves the settings again, from where they came; it raises ConfigurationError when they are invalid.
    ``predecessor`` is the stream to the process that hands over to this one, if any. ``fingerprint`` is that of a
    certificate made for this server, or "". ``guard`` checks requests; None: everything is public. ``admin_token`` is
    the secret of the admin listener's clients, if any.
    """

    settings: Settings
    reread: Callable[[], ResolvedSettings]
    source: ServedSource
    trusted: Networks
    sockets: ListeningSockets
    predecessor: socket.socket | None
    pool: DiskPool
    tls: TlsLayer | None
    fingerprint: str
    terminal: Terminal
    guard: Guard | None = None
    admin_token: bytes | None = None

    def identity(self, workers: int) -> Identity:
        """Return which server this is. Call it in the process that receives the operator's signals."""
        prefix, scheme = encode(self.settings.prefix, True), self._scheme
        addresses = [url_below(url, prefix) for each in self.sockets.files for url in urls(each, scheme)][:URLS_SHOWN]
        return Identity(os.getpid(), _served_paths(self.settings), tuple(addresses), workers)

    @property
    def _scheme(self) -> str:
        return "http" if self.tls is None else "https"

    def announce(self, budget: Budget, log_notice: LogNotice, workers: int = 1) -> None:
        """Print the start lines. Log a warning if that fails."""
        start = Announcement(
            served=_places(self.settings),
            sockets=self.sockets,
            scheme=self._scheme,
            fingerprint=self.fingerprint,
            memory_bytes=budget.memory_bytes,
            slots=budget.division.slots,
            workers=workers,
            root=encode(self.settings.prefix, True),
        )
        if why := print_lines(start.lines()):
            log_notice(Level.WARNING, f"the start lines could not be printed on standard output ({why}); still serving")


@dataclass(frozen=True, slots=True)
class ServerCore:
    """The objects that serve requests on one event loop."""

    loop: asyncio.AbstractEventLoop
    clock: Clock
    counters: Counters
    budget: Budget
    transfers: Transfers
    files: FileServer
    gate: Gate
    growth: Growth
    file_systems: FileSystemWatch
    listener: Listener
    redirect: Listener | None

    def start(self) -> None:
        """Accept connections from now on."""
        self.listener.start()
        if self.redirect is not None:
            self.redirect.start()

    def set_limits(self, settings: Settings) -> None:
        """Replace the limits by those of ``settings``, for queued requests and running transfers too; and the rules."""
        self.files.policy = replace(self.files.policy, rules=settings.rules)
        self.gate.limits = _queue_limits(settings)
        self.transfers.pool.timeout_seconds = settings.disk_timeout_seconds
        self.transfers.set_limits(_transfer_limits(settings))
        self.gate.admit_waiting()

    def expire(self) -> None:
        """Close the connections that have been idle for too long."""
        self.listener.expire()
        if self.redirect is not None:
            self.redirect.expire()


def build(
    parts: ServerParts, budget: Budget, log: AnyLog, worker: WorkerRole | None, make_growth: MakeGrowth
) -> ServerCore:
    """Return the objects of one server, on the running event loop. They accept nothing yet."""
    loop, clock, settings = asyncio.get_running_loop(), SystemClock(), parts.settings
    counters, limits = Counters(), _transfer_limits(settings)
    parts.pool.timeout_seconds = settings.disk_timeout_seconds
    parts.pool.start(*parts.source.homes)
    parts.source.start(log.notice)
    rates = None if worker is None else worker.rates(limits)
    transfers = Transfers(loop, parts.pool, budget, counters, limits, rates)
    make_gate = Gate if worker is None else worker.gate
    gate = make_gate(loop, budget, transfers.poller, counters, _queue_limits(settings))
    growth = make_growth(parts.pool, budget)
    policy = AnswerPolicy(CorsPolicy(frozenset(settings.cors_origin)), settings.rules, parts.guard)
    files = FileServer(parts.source, gate, transfers, clock, policy, _precompressed(parts))
    context = ServerContext(
        loop=loop,
        responder=_responder(files, settings.prefix),
        transfers=transfers,
        budget=budget,
        clock=clock,
        limits=Limits(),
        record=log.record,
        proxy_protocol=settings.proxy_protocol,
        trusted=parts.trusted,
        exclude_growth=growth.exclude,
        tls=parts.tls,
        summarize=summarize_in_full if log.has_details else summarize,
        request_ids=_request_ids(settings),
    )
    listener = Listener(context, parts.sockets.files, log.warn, gate.admit_waiting, gate.set_accept_blocked)
    redirect = _redirect_listener(parts.sockets, context, log, gate)
    file_systems = FileSystemWatch(parts.pool, parts.source, log.notice)
    return ServerCore(loop, clock, counters, budget, transfers, files, gate, growth, file_systems, listener, redirect)


def _redirect_listener(sockets: ListeningSockets, context: ServerContext, log: AnyLog, gate: Gate) -> Listener | None:
    """Return what redirects plain HTTP to HTTPS, if that is configured. The same budget pays for its connections."""
    if not sockets.redirect:
        return None
    responder = RedirectResponder(context.transfers.send, sockets.port)
    own = replace(context, responder=responder, tls=None)
    return Listener(own, sockets.redirect, log.warn, gate.admit_waiting, _ignore)


def _request_ids(settings: Settings) -> RequestIds | None:
    """Return what chooses the ids of requests, if they have ids. Import it only then."""
    if not settings.request_id:
        return None
    from freight.server.request_ids import RequestIds

    return RequestIds()


def _precompressed(parts: ServerParts) -> Precompressed | None:
    """Return what selects compressed forms of files, if they are served. Import it only then."""
    if not parts.settings.precompressed:
        return None
    from freight.precompressed import Precompressed

    return Precompressed(parts.source)


def _responder(files: FileServer, prefix: tuple[str, ...]) -> Responder:
    """Return what answers requests for ``files`` below a prefix."""
    if not prefix:
        return files
    from freight.http.prefix import Prefix
    from freight.prefixed import Prefixed

    return Prefixed(files, Prefix(prefix))


def snapshot_collector(
    core: ServerCore, identity: Identity, log: AnyLog, is_draining: Callable[[], bool]
) -> SnapshotCollector:
    """Return what takes snapshots of this server. Call it before the first client connects, for the baseline."""
    memory = ProcessMemory(core.clock)
    before = memory.private_bytes()
    return SnapshotCollector(
        loop=core.loop,
        budget=core.budget,
        gate=core.gate,
        transfers=core.transfers,
        counters=core.counters,
        listener=core.listener,
        identity=identity,
        process_bytes=memory.private_bytes,
        baseline_bytes=lambda: before + core.growth.excluded_bytes,
        started_at=core.clock.now(),
        draining=is_draining,
        log_lost=lambda: log.lost_total,
        file_systems=core.file_systems,
    )


def _queue_limits(settings: Settings) -> QueueLimits:
    return QueueLimits(settings.queue_size, settings.queue_timeout_seconds, settings.max_per_client)


def _transfer_limits(settings: Settings) -> TransferLimits:
    return TransferLimits(
        idle_seconds=settings.idle_timeout_seconds,
        pause_seconds=settings.pause_timeout_seconds,
        keep_alive_seconds=settings.keep_alive_timeout_seconds,
        min_rate=settings.min_rate_bytes_per_second or 0,
        rate=settings.rate_limit_bytes_per_second,
        client_rate=settings.client_rate_limit_bytes_per_second,
    )


def source_options(settings: Settings) -> SourceOptions:
    """Return what of the path is served, and how."""
    return SourceOptions(
        follow_symlinks=settings.follow_symlinks,
        allow_links_to=settings.allow_links_to,
        show_hidden=settings.show_hidden,
        chunked=settings.chunked,
        precompressed=settings.precompressed,
    )


def open_source(settings: Settings, pool: DiskPool, limits: ListingLimits | None = None) -> ServedSource:
    """Return what serves the path and the mounts. Raise ConfigurationError if one of them cannot be served."""
    options = source_options(settings)
    if settings.path is not None and not settings.mount:
        return LocalSource(settings.path, pool, options, limits)
    from freight.sources.mounted import MountedSource

    return MountedSource(settings.path, settings.mount, pool, options, limits)


def _places(settings: Settings) -> tuple[Place, ...]:
    """Return each path that is served, and its URL path."""
    prefix = settings.prefix
    places = [] if settings.path is None else [Place(settings.path, encode(prefix, True))]
    places += (Place(each.path, encode(prefix + each.point, each.path.is_dir())) for each in settings.mount)
    return tuple(places)


def _served_paths(settings: Settings) -> str:
    """Return the absolute paths that are served, as text."""
    paths = [] if settings.path is None else [os.path.abspath(settings.path)]
    paths += [f"{mount.shown_point}={os.path.abspath(mount.path)}" for mount in settings.mount]
    return ", ".join(shown(from_system(path)) for path in paths)


def tune_gc() -> None:
    """Exempt what exists now from garbage collection, and collect less often: requests make no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _ignore(short: bool) -> None:
    """The redirect listener evicts no queued requests."""
