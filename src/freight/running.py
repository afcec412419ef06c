"""One running server: its parts put together on a loop, the signals it hears, and how it ends."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from freight.announcement import URLS_SHOWN, announce, urls
from freight.config import Gathered
from freight.core.client import Networks
from freight.disk import DiskPool
from freight.fileserver import FileServer
from freight.flow.budget import Budget
from freight.flow.footprint import Footprint
from freight.flow.gate import Gate, Terms
from freight.flow.meter import Meter
from freight.flow.transfer import Transfers
from freight.live import Live
from freight.model import Identity, Level
from freight.observe.log import Log
from freight.observe.process import ProcessMemory
from freight.overview import Overview
from freight.ports import Say
from freight.server.house import House
from freight.server.listener import Listener
from freight.server.redirect import Redirect
from freight.server.service import Service
from freight.settings import Settings
from freight.sockets import Sockets
from freight.sources.local import LocalSource
from freight.stopping import LINGER_SECONDS, lingering, stopped, stopping
from freight.watching import Watching
from freight.wire.http1 import Limits

if TYPE_CHECKING:
    from freight.server.agent import Agent, Room
    from freight.server.tls import Tls
    from freight.workers.member import Member

_SWEEP_SECONDS = 1.0
_REDIRECT_DRAIN_SECONDS = 1.0
_MEASURES = 4  # looks at the process's memory in that time
_GRACE_SECONDS = 5.0  # a connection accepted just before a hand-over is answered if its request begins by then


class SystemClock:
    """The machine's clock (:class:`freight.ports.Clock`)."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


@dataclass(frozen=True, slots=True)
class Made:
    """What a server is made of, whichever process serves. ``reread`` gathers the settings again, from where they came,
    and raises Unservable when they are not sensible. ``predecessor`` is the stream to the process that hands over to
    this one, if any; ``fingerprint`` that of a certificate made for this server.
    """

    settings: Settings
    reread: Callable[[], Gathered]
    source: LocalSource
    trusted: Networks
    sockets: Sockets
    predecessor: socket.socket | None
    pool: DiskPool
    tls: Tls | None
    fingerprint: str

    def identity(self, workers: int) -> Identity:
        """Which server this is. To be called in the process that signals go to."""
        addresses = urls(self.sockets.files, self._scheme)[:URLS_SHOWN]
        return Identity(os.getpid(), os.path.abspath(self.settings.path), tuple(addresses), workers)

    @property
    def _scheme(self) -> str:
        return "http" if self.tls is None else "https"

    def announce(self, budget: Budget, say: Say, workers: int = 1) -> None:
        """Print the start lines. Where nobody can take them, that is logged."""
        memory = budget.memory_bytes
        why = announce(self.settings, self.sockets, self._scheme, self.fingerprint, memory, budget.slots, workers)
        if why:
            say(Level.WARNING, f"the start lines could not be printed on standard output ({why}); serving all the same")


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


def _calm_collector() -> None:
    """What is there now stays: it need not be looked through again. Requests make no cycles, so look more rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


class Server:
    """One running server: what :func:`run` has made, put together on the loop, and its signals."""

    def __init__(self, made: Made, budget: Budget, log: Log, member: Member | None) -> None:
        self._live = Live(made.settings, made.reread, made.tls, budget, made.source)
        self._made = made
        self._budget = budget
        self._log = log
        self._member = member
        self._status = 0
        self._signals = 0  # that asked to stop
        self._lingering: asyncio.TimerHandle | None = None  # when to say that connections take their time
        self._agent: Agent | None = None
        self._service: Service | None = None  # of several workers it is the supervisor's
        self._turn: asyncio.TimerHandle | None = None  # of the service
        self._redirect: Listener | None = None
        self._watching: Watching | None = None

    async def serve(self) -> int:
        """Serve until a signal says stop; the exit status."""
        loop, clock, terms = asyncio.get_running_loop(), SystemClock(), _terms(self._live.settings)
        self._made.pool.start(self._made.source.device)
        meter = Meter()
        member, budget = self._member, self._budget
        rates = None if member is None else member.rates(terms)
        self._transfers = Transfers(loop, self._made.pool, budget, meter, terms, rates)
        make_gate = Gate if member is None else member.gate
        self._gate = make_gate(loop, budget, self._transfers.rounds, meter, terms)
        house = House(
            loop=loop,
            files=FileServer(self._made.source, self._gate, self._transfers, clock),
            transfers=self._transfers,
            budget=self._budget,
            clock=clock,
            limits=Limits(),
            record=self._log.record,
            proxy_protocol=self._live.settings.proxy_protocol,
            trusted=self._made.trusted,
            pardon=self._pardon,
            tls=self._made.tls,
        )
        self._listener = Listener(house, self._made.sockets.files, self._log.warn, self._gate.call_next, self._crowd)
        self._stop: asyncio.Future[None] = loop.create_future()
        self._hurry = asyncio.Event()  # a second signal
        self._listen_to_signals(loop)
        self._footprint = Footprint(loop, self._made.pool, self._budget)
        self._listener.start()
        sweeper = loop.create_task(self._sweep())
        _calm_collector()
        sockets = self._made.sockets
        if sockets.redirect is not None:
            self._open_redirect(sockets.redirect, house)
        if sockets.agent is not None:
            self._open_agent(sockets.agent)
        if member is not None:
            member.begin(self._look_over(house, meter))
        else:
            if sockets.admin is not None:
                self._open_admin(sockets.admin, house, self._look_over(house, meter))
            self._begin_service(loop)
        await self._stop
        if member is not None:
            member.cease()
        await self._drain()
        sweeper.cancel()
        if member is not None:
            member.publish()
        else:
            self._say_stopped(meter)
        self._transfers.close()
        return self._status

    def _listen_to_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        """One of several workers hears the supervisor only: Ctrl-C and a manager's signals reach every process."""
        if self._member is None:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self._end, number)
        else:
            loop.add_signal_handler(signal.SIGTERM, self._cease)
            loop.add_signal_handler(signal.SIGUSR1, self._end_now, signal.SIGTERM)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    async def _drain(self) -> None:
        """Finish what runs. Where another process accepts in our place it answers at once on the other ports too."""
        succeeded = self._succeeded
        if succeeded:
            await self._close_beside(succeeded)
        else:
            await self._wait_unasked()
            self._gate.drain()
        seconds = 0 if self._hurry.is_set() else self._live.settings.drain_seconds
        grace_seconds = _GRACE_SECONDS if succeeded else 0
        ends = [self._listener.drain(seconds, grace_seconds)]
        if self._redirect is not None:
            ends.append(self._redirect.drain(min(seconds, grace_seconds + _REDIRECT_DRAIN_SECONDS), grace_seconds))
        await asyncio.gather(*ends)
        await self._close_beside(succeeded)
        if self._turn is not None:
            self._turn.cancel()
        if self._service is not None:
            self._service.close()

    @property
    def _succeeded(self) -> bool:
        """Whether another process accepts in our place."""
        managed = self._member or self._service
        return managed is not None and managed.succeeded

    def _begin_service(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say that the server serves: to the operator, the service manager, and the process that hands over."""
        service = Service(self._made.sockets.named(), self._made.predecessor, self._said, self._log.say, self._cease)
        self._service = service
        loop.add_signal_handler(signal.SIGUSR2, self._succeed, service)
        self._made.announce(self._budget, self._log.say)
        service.begun()
        self._take_turn(service)

    def _succeed(self, service: Service) -> None:
        service.succeed()
        self._take_turn(service)

    def _take_turn(self, service: Service) -> None:
        """Have what manages us do what is due, now and as soon as it says."""
        if self._turn is not None:
            self._turn.cancel()
        seconds = service.turn()
        if seconds < math.inf:
            self._turn = asyncio.get_running_loop().call_later(seconds, self._take_turn, service)

    async def _close_beside(self, succeeded: bool) -> None:
        """Close what is there for who watches and who balances; a second time nothing is left to close."""
        if self._agent is not None:
            self._agent.close()
            self._agent = None
        if self._watching is not None:
            await self._watching.drain(succeeded)
            self._watching = None

    def _said(self) -> str:
        """What is going on, in a line."""
        gate = self._gate.statistics()
        draining = "; draining" if self._stop.done() else ""
        return f"running {gate.running} of {gate.slots}, waiting {gate.waiting}{draining}"

    async def _wait_unasked(self) -> None:
        """Serve on for the delay of the drain, while /readyz says no: who balances has to see that first."""
        try:
            async with asyncio.timeout(self._live.settings.drain_delay_seconds):
                await self._hurry.wait()
        except TimeoutError:
            pass

    def _open_redirect(self, redirecting: socket.socket, house: House) -> None:
        """Begin to send plain HTTP on to HTTPS. Its connections are paid for as those are."""
        port: int = self._made.sockets.files.getsockname()[1]
        files = Redirect(house.transfers.send, port)
        own = replace(house, files=files, tls=None)
        self._redirect = Listener(own, redirecting, self._log.warn, self._gate.call_next, _pass_over)
        self._redirect.start()

    def _open_agent(self, listening: socket.socket) -> None:
        """Begin to tell load balancers how much room there is."""
        from freight.server.agent import Agent, Room

        def look() -> Room:
            most, exhausted = self._budget.slots + self._budget.express_slots, self._listener.exhausted
            if self._member is not None:
                exhausted = self._member.all_exhausted(exhausted)
            return Room(self._budget.room(), most, self._stop.done(), exhausted)

        self._agent = Agent(listening, look)

    def _look_over(self, house: House, meter: Meter) -> Overview:
        memory = ProcessMemory(house.clock)
        before = memory.private_bytes()
        return Overview(
            loop=house.loop,
            budget=self._budget,
            gate=self._gate,
            transfers=self._transfers,
            meter=meter,
            listener=self._listener,
            identity=self._made.identity(1) if self._member is None else Identity(),  # of workers the desk has it
            process_bytes=memory.private_bytes,
            baseline_bytes=lambda: before + self._footprint.pardoned_bytes,
            started_at=house.clock.now(),
            draining=self._stop.done,
            log_lost=lambda: self._log.lost_total,
        )

    def _open_admin(self, watched: socket.socket, house: House, overview: Overview) -> None:
        """Begin to answer questions about the server."""
        self._watching = Watching(
            watched,
            self._live.settings,
            house.loop,
            self._made.pool,
            house.clock,
            overview.look,
            lambda: self._succeeded or not self._stop.done(),  # downloads are taken, be it by another
            self._footprint.pardon,
            self._log.warn,
        )

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
        self._signals += 1
        if not self._stop.done():
            if self._service is not None:
                self._service.stopping()
            self._say_stopping(number)
            self._cease()
        elif self._signals > 1:  # a first signal changes nothing where a hand-over has begun the drain
            self._end_now(number)

    def _say_stopping(self, number: int) -> None:
        settings = self._live.settings
        line = stopping(self._gate.statistics().running, settings.drain_seconds, settings.drain_delay_seconds, number)
        if line:
            self._log.say(Level.INFO, line)
        else:
            self._lingering = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._say_lingering, number)

    def _say_lingering(self, number: int) -> None:
        if line := lingering(len(self._listener), self._live.settings.drain_seconds, number):
            self._log.say(Level.INFO, line)

    def _say_stopped(self, meter: Meter) -> None:
        if self._lingering is not None:
            self._lingering.cancel()
        counts = meter.statistics()
        own = f"process {os.getpid()}, which has handed over: " if self._succeeded else ""
        self._log.say(Level.INFO, own + stopped(counts.completed, counts.aborted))

    def _end_now(self, number: int) -> None:
        self._status = 128 + number
        self._cease()
        self._hurry.set()
        self._listener.abort()
        if self._watching is not None:
            self._watching.abort()

    def _cease(self) -> None:
        if not self._stop.done():
            self._stop.set_result(None)

    def _reload(self) -> None:
        """SIGHUP: take over what is live of the settings. Of several workers the supervisor says what became of it."""
        if self._service is not None:
            self._service.reloading()
        said = self._live.reload()
        terms = self._gate.terms = _terms(self._live.settings)
        self._transfers.change(terms)
        self._gate.call_next()
        if self._member is None:
            for level, message in said:
                self._log.say(level, message)
        if self._service is not None:
            self._service.ready()

    async def _sweep(self) -> None:
        """One coarse look at everything that waits, instead of a timer for each."""
        while True:
            for number in range(_MEASURES):  # a crowd comes in less than a sweep
                if self._gate.crowded and number >= _MEASURES // 2:
                    break  # others wait outside: stalled clients are to be found sooner
                await asyncio.sleep(min(_SWEEP_SECONDS, self._gate.terms.idle_seconds / 4) / _MEASURES)
                self._footprint.measure()
            self._listener.expire()
            if self._redirect is not None:
                self._redirect.expire()
            if self._watching is not None:
                await self._watching.sweep()
            self._gate.progressed(await self._transfers.sweep(self._gate.waiting))
            await self._footprint.look()
            if self._member is not None:
                self._member.publish()
                self._member.all_exhausted(self._listener.exhausted)
            self._gate.call_next()  # what was lent may have come back without anybody's asking


def _pass_over(crowded: bool) -> None:
    """Nobody is sent away for the sake of who is sent on."""
