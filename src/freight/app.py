"""The composition root: settings in, a running server out."""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from freight.config import reload
from freight.core.client import NOBODY, Networks
from freight.errors import Unservable
from freight.fileserver import FileServer
from freight.flow.budget import CONNECTION_COST, LEAST_MEMORY, TLS_COST, WAITING_COST, WINDOW_MIN, Budget
from freight.flow.footprint import Footprint
from freight.flow.gate import Gate, Terms
from freight.flow.limits import default_memory, largest_send_queue
from freight.flow.meter import Meter
from freight.flow.pump import MARK_MIN
from freight.flow.transfer import Transfers
from freight.kinds import Address
from freight.model import Entry
from freight.observe.admin import Admin, listen_admin
from freight.observe.log import Log, json_line, text_line
from freight.observe.outlet import VIEWERS, Outlet
from freight.observe.process import ProcessMemory
from freight.overview import Overview
from freight.server.connection import House
from freight.server.listener import Listener, listen
from freight.server.redirect import Redirect
from freight.settings import Settings
from freight.sources.local import LocalSource
from freight.wire.http1 import Limits

if TYPE_CHECKING:
    from freight.server.tls import Tls

_POOL_THREADS = 4  # enough to keep a disk busy; a thread is made when it is needed first, and costs a stack
_LOOK_THREADS = 2  # looking a path up must not wait behind megabytes
_SWEEP_SECONDS = 1.0
_MEASURES = 4  # looks at the process's memory in that time
_ADMIN_DRAIN_SECONDS = 1.0
_ADMIN_IDLE_SECONDS = 60.0
_ADMIN_MEMORY = LEAST_MEMORY + VIEWERS * (CONNECTION_COST + WAITING_COST + WINDOW_MIN)  # if all of them stand still


class SystemClock:
    """The machine's clock (:class:`freight.ports.Clock`)."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


def run(settings: Settings, reread: Callable[[], Settings]) -> int:
    """Serve until a signal says stop; the exit status. Raises Unservable when it cannot begin.

    ``reread`` gathers the settings anew, from where they came, and raises Unservable when they are not sensible.
    """
    _raise_descriptor_limit()
    tls, fingerprint = _tls(settings)
    budget = Budget(_memory(settings), largest_send_queue(), 0 if tls is None else TLS_COST)
    trusted = Networks.parse(settings.trusted_proxy)
    pool = ThreadPoolExecutor(_POOL_THREADS, thread_name_prefix="disk")
    looks = ThreadPoolExecutor(_LOOK_THREADS, thread_name_prefix="look")
    source = LocalSource(
        settings.path,
        follow_links=settings.follow_links,
        hidden=settings.hidden,
        no_length=settings.no_length,
        pool=looks,
        entries_at_once=budget.listing_entries,
        piece_bytes=budget.piece_bytes,
    )
    listening = listen(settings.host, settings.port, MARK_MIN)
    log = Log(sys.stderr.fileno(), json_line if settings.log_format == "json" else text_line)
    try:
        with asyncio.Runner() as runner:
            port = listening.getsockname()[1]
            watched = listen_admin(settings.admin, port, lambda host, at: listen(host, at, MARK_MIN), log.warn)
            elsewhere = settings.redirect_port
            redirecting = None if elsewhere is None else listen(settings.host, elsewhere, MARK_MIN)
            server = Server(
                settings, reread, source, budget, trusted, listening, redirecting, watched, pool, log, tls, fingerprint
            )
            return runner.run(server.serve())
    finally:
        log.close()
        source.close()
        for threads in (pool, looks):
            threads.shutdown(wait=False, cancel_futures=True)


def _memory(settings: Settings) -> int:
    return default_memory() if settings.memory_bytes is None else settings.memory_bytes


def _tls(settings: Settings) -> tuple[Tls | None, str]:
    """What TLS is spoken with, if any, and the fingerprint of a certificate that was made for it. Loads ssl if so."""
    if settings.tls_self_signed:
        from freight.server.certificate import self_signed
        from freight.server.tls import Tls

        contexts, fingerprint = self_signed(settings.host)
        return Tls(contexts), fingerprint
    if settings.tls_cert is not None and settings.tls_key is not None:
        from freight.server.certificate import from_files
        from freight.server.tls import Tls

        return Tls(from_files(settings.tls_cert, settings.tls_key)), ""
    return None, ""


def _terms(settings: Settings) -> Terms:
    return Terms(
        queue=settings.queue,
        max_wait_seconds=settings.max_wait_seconds,
        per_client=settings.per_client,
        idle_seconds=settings.idle_timeout_seconds,
        least_rate=settings.min_rate_bytes_per_second or 0,
        rate=settings.rate_bytes_per_second,
        client_rate=settings.per_client_rate_bytes_per_second,
    )


def _raise_descriptor_limit() -> None:
    """Take as many descriptors as we may: a download needs one, and the soft limit is often 1024 (getrlimit(2))."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            pass  # an unlimited hard limit may be more than the kernel gives: what we have must do


def _calm_collector() -> None:
    """What is there now stays: it need not be looked through again. Requests make no cycles, so look more rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


class Server:
    """One running server: what :func:`run` has made, put together on the loop, and its signals."""

    def __init__(
        self,
        settings: Settings,
        reread: Callable[[], Settings],
        source: LocalSource,
        budget: Budget,
        trusted: Networks,
        listening: socket.socket,
        redirecting: socket.socket | None,
        watched: socket.socket | None,
        pool: ThreadPoolExecutor,
        log: Log,
        tls: Tls | None,
        fingerprint: str,
    ) -> None:
        self._settings = settings
        self._reread = reread
        self._source = source
        self._budget = budget
        self._trusted = trusted
        self._listening = listening
        self._redirecting = redirecting  # the socket of plain HTTP, beside HTTPS
        self._tls = tls
        self._fingerprint = fingerprint
        self._watched = watched  # the admin listener's socket
        self._pool = pool
        self._log = log
        self._status = 0
        self._redirect: Listener | None = None
        self._admin: Listener | None = None
        self._answers: Admin | None = None
        self._admin_transfers: Transfers | None = None

    async def serve(self) -> int:
        """Serve until a signal says stop; the exit status."""
        loop, clock, terms = asyncio.get_running_loop(), SystemClock(), _terms(self._settings)
        meter = Meter()
        self._transfers = Transfers(loop, self._pool, self._budget, meter, terms)
        self._gate = Gate(loop, self._budget, self._transfers.rounds, meter, terms)
        house = House(
            loop=loop,
            files=FileServer(self._source, self._gate, self._transfers, clock),
            transfers=self._transfers,
            budget=self._budget,
            clock=clock,
            limits=Limits(),
            record=self._log.record,
            proxy_protocol=self._settings.proxy_protocol,
            trusted=self._trusted,
            pardon=self._pardon,
            tls=self._tls,
        )
        self._listener = Listener(house, self._listening, self._log.warn, self._gate.call_next, self._crowd)
        self._stop: asyncio.Future[None] = loop.create_future()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._end, number)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        self._footprint = Footprint(loop, self._pool, self._budget)
        self._listener.start()
        sweeper = loop.create_task(self._sweep())
        _calm_collector()
        scheme = "http" if self._tls is None else "https"
        print(f"freight: serving {self._settings.path} at {_url(self._listening, scheme)}", flush=True)
        if self._watched is not None:
            self._open_admin(self._watched, house, meter)
            print(f"freight: admin at {_url(self._watched)}", flush=True)
        if self._redirecting is not None:
            self._open_redirect(self._redirecting, house)
            print(f"freight: sending on to it from {_url(self._redirecting)}", flush=True)
        if self._fingerprint:
            print(f"freight: certificate of SHA-256 {self._fingerprint}, signed by nobody", flush=True)
        await self._stop
        self._gate.drain()
        if self._redirect is not None:
            await self._redirect.drain(_ADMIN_DRAIN_SECONDS)
        await self._listener.drain(self._settings.drain_seconds)
        sweeper.cancel()
        if self._admin is not None and self._admin_transfers is not None and self._answers is not None:
            self._answers.close()
            await self._admin.drain(_ADMIN_DRAIN_SECONDS)
            self._admin_transfers.close()
        self._transfers.close()
        return self._status

    def _open_redirect(self, redirecting: socket.socket, house: House) -> None:
        """Begin to send plain HTTP on to HTTPS. Its connections are paid for as those are."""
        port: int = self._listening.getsockname()[1]
        files = Redirect(house.transfers.send, port)
        own = replace(house, files=files, tls=None)
        self._redirect = Listener(own, redirecting, self._log.warn, self._gate.call_next, _pass_over)
        self._redirect.start()

    def _open_admin(self, watched: socket.socket, house: House, meter: Meter) -> None:
        """Begin to answer questions about the server, from a budget of their own: ours may be spent."""
        clock = house.clock
        memory = ProcessMemory(clock)
        budget = Budget(_ADMIN_MEMORY, largest_send_queue())
        idle = min(_ADMIN_IDLE_SECONDS, self._settings.idle_timeout_seconds)
        transfers = self._admin_transfers = Transfers(house.loop, self._pool, budget, Meter(), Terms(idle_seconds=idle))
        outlet = Outlet(house.loop, budget, transfers.rounds)
        overview = Overview(
            loop=house.loop,
            budget=self._budget,
            gate=self._gate,
            transfers=self._transfers,
            meter=meter,
            listener=self._listener,
            process_bytes=memory.private_bytes,
            baseline_bytes=memory.private_bytes(),
            started_at=clock.now(),
            draining=self._stop.done,
        )
        host = self._settings.admin.host if isinstance(self._settings.admin, Address) else ""
        admin = self._answers = Admin(
            overview.look,
            lambda: not self._stop.done(),
            transfers.send,
            outlet.write,
            clock,
            host,
            self._footprint.pardon,
        )
        own = replace(
            house, files=admin, transfers=transfers, budget=budget, record=_forget, proxy_protocol=False, tls=None
        )
        self._admin = Listener(replace(own, trusted=NOBODY), watched, self._log.warn, _nothing, _pass_over)
        self._admin.start()

    def _pardon(self, grown_bytes: int) -> None:
        self._footprint.pardon(grown_bytes)

    def _crowd(self, crowded: bool) -> None:
        """More connections stand outside than there is memory for, or no more."""
        self._gate.crowded = crowded
        if crowded:
            self._gate.shorten()
        else:
            self._gate.call_next()

    def _end(self, number: int) -> None:
        if not self._stop.done():
            self._stop.set_result(None)
        else:
            self._status = 128 + number
            self._listener.abort()
            if self._admin is not None:
                self._admin.abort()

    def _reload(self) -> None:
        """SIGHUP: what is live of the settings is taken over, for who runs too; all else is told."""
        if self._tls is not None:
            self._renew(self._tls)
        try:
            settings, waiting = reload(self._settings, self._reread())
            self._budget.resize(_memory(settings))
            self._source.list_by(self._budget.listing_entries, self._budget.piece_bytes)
        except Unservable as error:
            self._log.warn(f"the settings are as they were: {error}")
            return
        self._settings = settings
        terms = self._gate.terms = _terms(settings)
        self._transfers.change(terms)
        self._gate.call_next()
        needs = f"; {', '.join(waiting)} only with a restart" if waiting else ""
        self._log.warn(f"the settings were read again{needs}")

    def _renew(self, tls: Tls) -> None:
        try:
            tls.renew()
        except Unservable as error:
            self._log.warn(f"the certificate is as it was: {error}")
        else:
            self._log.warn("the certificate was read again")

    async def _sweep(self) -> None:
        """One coarse look at everything that waits, instead of a timer for each."""
        while True:
            for _ in range(_MEASURES):  # a crowd comes in less than a sweep
                await asyncio.sleep(min(_SWEEP_SECONDS, self._gate.terms.idle_seconds / 4) / _MEASURES)
                self._footprint.measure()
            self._listener.expire()
            if self._redirect is not None:
                self._redirect.expire()
            if self._admin is not None:
                self._admin.expire()
            if self._admin_transfers is not None:
                await self._admin_transfers.sweep(0)
            self._gate.progressed(await self._transfers.sweep(self._gate.waiting))
            await self._footprint.look()
            self._gate.call_next()  # what was lent may have come back without anybody's asking


def _forget(entry: Entry) -> None:
    """Whoever looks at the server is not in its log."""


def _nothing() -> None:
    """Nobody waits for what an admin connection cost."""


def _pass_over(crowded: bool) -> None:
    """Nobody is sent away for the sake of who looks."""


def _url(listening: socket.socket, scheme: str = "http") -> str:
    host, port = listening.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}/" if listening.family == socket.AF_INET6 else f"{scheme}://{host}:{port}/"
