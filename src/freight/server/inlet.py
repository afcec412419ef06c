"""The way in of one connection: bytes as they come, heads out of them, and no wait without a deadline."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Protocol

from freight.errors import ProtocolError
from freight.guard import Guard
from freight.wire import costs
from freight.wire.events import Preface
from freight.wire.http1 import Head, Inbound

_RECEIVE_BYTES = 16 * 1024
_ESTABLISHED = 1  # of the states of TCP
_ACKED_AT, _RECEIVED_AT = 120, 128  # where tcpi_bytes_acked and _received are in struct tcp_info, linux/tcp.h


def is_deserted(connected: socket.socket) -> bool:
    """Whether the peer of a TCP connection has closed its end: ``tcpi_state``, tcp(7)."""
    return connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != _ESTABLISHED


def look_at(connected: socket.socket) -> tuple[bool, int]:
    """Whether the peer has closed its end, and how many bytes have come: ``tcpi_bytes_received``, tcp(7)."""
    info = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED_AT + 8)
    return info[0] != _ESTABLISHED, int.from_bytes(info[_RECEIVED_AT:], sys.byteorder)


def is_unheard(connected: socket.socket) -> bool:
    """Whether the peer of a TCP connection has acknowledged no byte (``tcpi_bytes_acked``, which counts a SYN too)."""
    info = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKED_AT + 8)
    return int.from_bytes(info[_ACKED_AT:], sys.byteorder) <= 1


class Patience(Protocol):
    """How long may be waited, in seconds of the ``loop``'s clock; it may change while somebody waits."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Where the waiting is done."""

    @property
    def idle_seconds(self) -> float:
        """How long nothing may come between requests."""

    @property
    def head_seconds(self) -> float:
        """How long a head may take to arrive from its first byte."""


class Inlet:
    """Reads one socket, which is non-blocking and somebody else's to close. One coroutine reads at a time.

    ``inbound`` makes heads of the bytes. ``draining``: no request is to begin but one that soon does; ``evicted``:
    nothing is waited for any more, and who is in the midst of a head is told nothing. When ``deadline`` is over is for
    :meth:`overdue` to say and for :meth:`give_up` to end: there is no timer for each.
    """

    __slots__ = (
        "_begin_by",
        "_given_up",
        "_grace",
        "_head",
        "_in_head",
        "_patience",
        "_socket",
        "_waiter",
        "_watching",
        "deadline",
        "draining",
        "evicted",
        "guard",
        "inbound",
    )

    def __init__(self, connected: socket.socket, inbound: Inbound, patience: Patience, guard: Guard) -> None:
        self._socket = connected
        self._patience = patience
        self._waiter: asyncio.Future[bool] | None = None  # true: bytes may have come; false: time is up, or given up
        self._given_up = False  # while something was waited for
        self._watching = False  # the loop tells us when bytes come
        self._in_head = False  # what is waited for is the rest of a head
        self._head: Head | Preface | None = None  # which came while that was waited for
        self.inbound = inbound
        self.guard = guard
        self._begin_by = 0.0  # while draining, in seconds of the loop's clock
        self._grace = 0.0  # seconds that a request had to begin when the drain began
        self.deadline = 0.0
        self.draining = False
        self.evicted = False

    def allow(self, seconds: float) -> None:
        """Let what is waited for next take so long."""
        self.deadline = self._patience.loop.time() + seconds

    def drain(self, grace_seconds: float) -> None:
        """Let no request begin from now on, but for one within ``grace_seconds``: it may be on its way."""
        self.draining, self._grace = True, grace_seconds
        self._begin_by = self._patience.loop.time() + grace_seconds
        if self.inbound.idle:
            self.deadline = min(self.deadline, self._begin_by)

    def begin_within(self, seconds: float) -> float:
        """Let one more request begin, though all drains, within so many seconds, or the grace of the drain if that is
        longer. How many seconds that are.
        """
        seconds = max(seconds, self._grace)
        self._begin_by = self._patience.loop.time() + seconds
        if self.inbound.idle:
            self.deadline = self._begin_by
        return seconds

    @property
    def over(self) -> bool:
        """Whether no request may begin any more."""
        return self.draining and self._patience.loop.time() >= self._begin_by

    def overdue(self, now: float) -> bool:
        """Whether something is waited for that should have come by now."""
        return self._waiter is not None and now >= self.deadline

    def give_up(self) -> None:
        """Wait no longer, if anything is waited for."""
        self._given_up = self._waiter is not None
        self._wake(False)

    async def read_head(self) -> Head | Preface | None:
        """The next head, or that of HTTP/2; None where no answer is owed. Raises ProtocolError where a refusal is."""
        inbound = self.inbound
        started = False
        while True:
            answered = inbound.skipping
            try:
                head, self._head = self._head or inbound.next(), None
            except ProtocolError:
                if answered:
                    return None  # it is about the content of a request that has its answer
                raise
            if head is not None:
                return head
            if inbound.idle and self.over:
                return None
            started = self._allow_next(started, answered)
            if started and not inbound.skipping:
                heard = self._hear() or await self._wait_head()
                if self._head is not None or inbound.refused:
                    continue
                data = await self.receive() if heard else None  # the end, which is told again
            else:
                data = await self.receive()
            if data is None and not inbound.idle and not inbound.skipping and not self.evicted:
                raise ProtocolError(408, "the request took too long to arrive")
            if not data:
                return None
            inbound.feed(data)

    def _allow_next(self, started: bool, answered: bool) -> bool:
        """Say how long what comes next may take; whether it is the rest of a head, or of a content.

        ``started``: it was before, ``answered``: of the content of a request that has its answer.
        """
        inbound = self.inbound
        if inbound.idle:
            self.allow(self._patience.idle_seconds)
            if self.draining:
                self.deadline = min(self.deadline, self._begin_by)
            return False
        if not started or (answered and not inbound.skipping):
            self.allow(self._patience.head_seconds)
        return True

    async def _wait_head(self) -> bool:
        """Wait for the rest of a head; False when the deadline passed first."""
        self._in_head = True
        try:
            return await self.wait_readable()
        finally:
            self._in_head = False

    def _hear(self) -> bool:
        """Take what has come of a head. Whether that is all: it is whole, or none, or nothing comes any more."""
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            return True
        if not data:
            return True
        self.guard.charge(costs.READ)
        self.inbound.feed(data)
        try:
            self._head = self.inbound.next()
        except ProtocolError:
            return True
        return self._head is not None

    async def receive(self, most: int = _RECEIVE_BYTES) -> bytes | None:
        """What has come: b"" at the end of the stream, None when the deadline passed first."""
        self._given_up = False
        while True:
            try:
                data = self._socket.recv(most)
                self.guard.charge(costs.READ)
                return data
            except BlockingIOError:
                # The loop may tell of bytes that were taken before it did. Who gives up just then is not told later.
                if self._given_up or not await self.wait_readable():
                    return None

    @property
    def deserted(self) -> bool:
        """Whether the peer has closed its end of the connection."""
        return is_deserted(self._socket)

    def turn_to(self, connected: socket.socket) -> None:
        """Read another socket from now on, which has the same descriptor."""
        self._socket = connected

    def close(self) -> None:
        """Watch the socket no more: to be called before it is closed."""
        if self._watching:
            self._watching = False
            self._patience.loop.remove_reader(self._socket.fileno())

    async def wait_readable(self) -> bool:
        """Wait until bytes may have come; False when the deadline passed first."""
        loop = self._patience.loop
        self._waiter = loop.create_future()
        if not self._watching:
            self._watching = True
            loop.add_reader(self._socket.fileno(), self._readable)
        try:
            return await self._waiter
        finally:
            self._waiter = None

    def _readable(self) -> None:
        """Bytes have come. Watching outlives a request, and stops when bytes come before their time.

        Who sends a head in crumbs wakes nobody with each: a task costs several times as much as the look.
        """
        if self._waiter is None:
            self.close()
        elif not self._in_head or self._hear():
            self._wake(True)

    def _wake(self, readable: bool) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(readable)
