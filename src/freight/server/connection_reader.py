"""Read one connection: receive bytes, parse heads, and never wait without a deadline."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Protocol

from freight.errors import ProtocolError
from freight.server.tcp_info import tcp_info
from freight.wire import costs
from freight.wire.accounting import ConnectionAccount
from freight.wire.events import Preface
from freight.wire.http1.parser import Head, RequestParser

_RECEIVE_BYTES = 16 * 1024
_FEW_BYTES = 448  # small objects of Python are much cheaper
_NOT_CLOSED = (b"\x01", b"")  # TCP_ESTABLISHED; or the kernel does not tell
_ACKED_AT, _RECEIVED_AT = 120, 128  # offsets of tcpi_bytes_acked and _received in struct tcp_info, linux/tcp.h


def is_peer_closed(connected: socket.socket) -> bool:
    """Return whether the peer of a TCP connection has closed its end: ``tcpi_state``, tcp(7)."""
    return tcp_info(connected, 1) not in _NOT_CLOSED


def peek_state(connected: socket.socket) -> tuple[bool, int]:
    """Return whether the peer has closed its end, and how many bytes it has sent: ``tcpi_bytes_received``, tcp(7)."""
    info = tcp_info(connected, _RECEIVED_AT + 8)
    return info[:1] not in _NOT_CLOSED, int.from_bytes(info[_RECEIVED_AT:], sys.byteorder)


def is_unacknowledged(connected: socket.socket) -> bool:
    """Return whether the peer has acknowledged no byte (``tcpi_bytes_acked``, which counts a SYN too)."""
    info = tcp_info(connected, _ACKED_AT + 8)
    return int.from_bytes(info[_ACKED_AT:], sys.byteorder) <= 1


BEGUN = b"begun"
"""What a callback returns that has begun to answer. Only this object means it, and no equal one."""


class Timeouts(Protocol):
    """How long a reader may wait, in seconds of the ``loop``'s clock. The values may change meanwhile."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that the reader waits in."""

    @property
    def idle_seconds(self) -> float:
        """For how long a client may send nothing before its first request."""

    @property
    def keep_alive_seconds(self) -> float:
        """For how long a client may send nothing between two requests."""

    @property
    def head_seconds(self) -> float:
        """How long a head may take to arrive, from its first byte."""


class ConnectionReader:
    """Reads one socket, which is non-blocking and belongs to the caller. One coroutine reads at a time.

    ``parser`` parses the heads, and ``charges`` pays for each read. ``draining``: only a request that soon starts is
    still read. ``evicted``: the reader waits no longer, and a client that has sent part of a head gets no answer.

    There is no timer for each connection. The caller asks :meth:`overdue` whether ``deadline`` has passed, and then
    calls :meth:`stop_waiting`.
    """

    __slots__ = (
        "_grace_seconds",
        "_head",
        "_on_readable",
        "_registered",
        "_requests_end_at",
        "_socket",
        "_timeouts",
        "_wait_stopped",
        "_waiter",
        "charges",
        "deadline",
        "draining",
        "evicted",
        "parser",
    )

    def __init__(
        self, connected: socket.socket, parser: RequestParser, timeouts: Timeouts, charges: ConnectionAccount
    ) -> None:
        self._socket = connected
        self._timeouts = timeouts
        # Its result: whether bytes may have come, or bytes that have come.
        self._waiter: asyncio.Future[bool | bytes] | None = None
        self._wait_stopped = False
        self._registered = False  # with the loop
        # What receives while the task waits: it returns what to wake the task with, False to let it wait on.
        self._on_readable: Callable[[], bool | bytes] | None = None
        self._head: Head | Preface | None = None  # complete, and not yet returned
        self.parser = parser
        self.charges = charges
        self._requests_end_at = 0.0  # while draining, by the loop's clock
        self._grace_seconds = 0.0  # as the drain was started with
        self.deadline = 0.0
        self.draining = False
        self.evicted = False

    def set_timeout(self, seconds: float) -> None:
        """Set the deadline of the next wait, ``seconds`` from now."""
        self.deadline = self._timeouts.loop.time() + seconds

    def drain(self, grace_seconds: float) -> None:
        """Read no more requests, except one that starts within ``grace_seconds``: it may be on its way."""
        self.draining, self._grace_seconds = True, grace_seconds
        self._requests_end_at = self._timeouts.loop.time() + grace_seconds
        if self.parser.idle:
            self.deadline = min(self.deadline, self._requests_end_at)

    def extend_drain(self, seconds: float) -> float:
        """Read one more request although the server drains, if it starts in time.

        It has ``seconds``, or the grace of the drain if that is longer. Return that time in seconds.
        """
        seconds = max(seconds, self._grace_seconds)
        self._requests_end_at = self._timeouts.loop.time() + seconds
        if self.parser.idle:
            self.deadline = self._requests_end_at
        return seconds

    @property
    def requests_ended(self) -> bool:
        """Whether the server drains and no request may start any more."""
        return self.draining and self._timeouts.loop.time() >= self._requests_end_at

    def overdue(self, now: float) -> bool:
        """Return whether the reader waits although its deadline has passed."""
        return self._waiter is not None and now >= self.deadline

    def stop_waiting(self) -> None:
        """End the present wait, if there is one."""
        self._wait_stopped = self._waiter is not None
        self._wake(False)

    async def read_head(self, answer: Callable[[bytes], bytes]) -> Head | Preface | None:
        """Read the next head, or the preface of HTTP/2. Return None at the end of the connection.

        ``answer`` is called with the first bytes of a head. It returns those that it does not answer at once, or BEGUN:
        then the result is None too. Raise ProtocolError for a request that must be refused.
        """
        parser = self.parser
        started = False
        while True:
            answered = parser.skipping
            try:
                head, self._head = self._head or parser.next(), None
            except ProtocolError:
                if answered:
                    return None  # the error is in the content of a request that has its answer
                raise
            if head is not None:
                return head
            if parser.idle and self.requests_ended:
                return None
            started = self._set_next_timeout(started, answered)
            if started and not parser.skipping:
                received = self._receive_head() or await self._wait_head()
                if self._head is not None or parser.refused:
                    continue
                data = await self.receive() if received else None  # the end of the stream is read again
            elif parser.idle:
                data = await self._receive_first(answer)
                if data is BEGUN:
                    return None
            else:
                data = await self.receive()
            if data is None and not parser.idle and not parser.skipping and not self.evicted:
                raise ProtocolError(408, "the request took too long to arrive")
            if not data:
                return None
            parser.feed(data)

    def _set_next_timeout(self, started: bool, answered: bool) -> bool:
        """Set the deadline of the next read. Return whether it continues a head, or request content.

        ``started`` is the last result. ``answered``: the last read was of content whose request has its answer.
        """
        parser = self.parser
        if parser.idle:
            waits_again = parser.head_bytes > 0
            self.set_timeout(self._timeouts.keep_alive_seconds if waits_again else self._timeouts.idle_seconds)
            if self.draining:
                self.deadline = min(self.deadline, self._requests_end_at)
            return False
        if not started or (answered and not parser.skipping):
            self.set_timeout(self._timeouts.head_seconds)
        return True

    async def _wait_head(self) -> bool:
        """Wait for the rest of a head. Return False after the deadline."""
        self._on_readable = self._receive_head
        try:
            return bool(await self.wait_readable())
        finally:
            self._on_readable = None

    def _receive_head(self) -> bool:
        """Receive a part of a head. Return False if the rest must be waited for: it is neither whole nor malformed."""
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            return True
        if not data:
            return True
        self.charges.charge(costs.RECEIVE)
        self.parser.feed(data)
        try:
            self._head = self.parser.next()
        except ProtocolError:
            return True
        return self._head is not None

    async def receive(self, most: int = _RECEIVE_BYTES) -> bytes | None:
        """Receive bytes: b"" at the end of the stream, None after the deadline."""
        self._wait_stopped = False
        while True:
            try:
                data = self._socket.recv(most)
                self.charges.charge(costs.RECEIVE)
                return data
            except BlockingIOError:
                # The loop may wake the reader for bytes that it has read. A stop_waiting() after that counts too.
                received = not self._wait_stopped and await self.wait_readable()
                if received is not True:
                    return received or None

    async def _receive_first(self, answer: Callable[[bytes], bytes]) -> bytes | None:
        """Receive the first bytes of a head that ``answer`` leaves, as :meth:`receive_rest` does."""
        self._wait_stopped = False
        receive = self._on_readable = partial(self._receive_rest, answer)
        try:
            received = receive() or (not self._wait_stopped and await self.wait_readable())
        finally:
            self._on_readable = None
        return await self.receive() if received is True else received or None

    async def receive_rest(self, handle: Callable[[bytes], bytes]) -> bytes | None:
        """Receive bytes, as :meth:`receive` does. While the task waits, ``handle`` is called with all that comes.

        It returns the bytes that it does not handle. Only for those the task is woken, which costs as much.
        """
        self._on_readable = partial(self._receive_rest, handle)
        try:
            return await self.receive()
        finally:
            self._on_readable = None

    def _receive_rest(self, handle: Callable[[bytes], bytes]) -> bool | bytes:
        """Receive once. Return the bytes that ``handle`` leaves, or True if the task must read the end itself.

        If there are more bytes the loop calls again.
        """
        data = b""
        try:
            data = self._socket.recv(_FEW_BYTES)
            if len(data) == _FEW_BYTES:
                data += self._socket.recv(_RECEIVE_BYTES)  # the rest of a TLS record too, of which epoll knows nothing
        except BlockingIOError:
            if not data:
                return False
        except OSError:
            pass
        if not data:
            return True
        self.charges.charge(costs.RECEIVE)
        return handle(data)

    @property
    def peer_closed(self) -> bool:
        """Whether the peer has closed its end."""
        return is_peer_closed(self._socket)

    def switch_socket(self, connected: socket.socket) -> None:
        """Read another socket from now on, which must have the same descriptor."""
        self._socket = connected

    def stop_watching(self) -> None:
        """Stop watching the socket until the next wait, unless the reader waits now: the loop has 0.5 KiB for it."""
        if self._waiter is None:
            self.close()

    def close(self) -> None:
        """Stop watching the socket. To be called before it is closed."""
        if self._registered:
            self._registered = False
            self._timeouts.loop.remove_reader(self._socket.fileno())

    async def wait_readable(self) -> bool | bytes:
        """Wait until bytes may have come. Return False after the deadline."""
        loop = self._timeouts.loop
        self._waiter = loop.create_future()
        if not self._registered:
            self._registered = True
            loop.add_reader(self._socket.fileno(), self._readable)
        try:
            return await self._waiter
        finally:
            self._waiter = None

    def _readable(self) -> None:
        """Wake the reader. The socket stays registered between requests, until bytes come that no read waits for.

        The parts of a head are received here: to wake the task for each would cost several times as much.
        """
        if self._waiter is None:
            self.close()
        elif self._on_readable is None:
            self._wake(True)
        elif not self._waiter.done():
            self._receive_for_task(self._waiter, self._on_readable)

    def _receive_for_task(self, waiter: asyncio.Future[bool | bytes], receive: Callable[[], bool | bytes]) -> None:
        try:
            if received := receive():
                self._wake(received)
        except Exception as error:  # raised in the loop, it would leave the task waiting for bytes that were read
            waiter.set_exception(error)

    def _wake(self, readable: bool | bytes) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(readable)
