"""One connection, from accept to close: read a head, respond, repeat. A linear coroutine."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

from freight.core.decide import refuse
from freight.errors import ProtocolError, TransferError
from freight.fileserver import FileServer
from freight.flow.transfer import Transfers
from freight.model import Entry, Request
from freight.ports import Clock
from freight.server.sink import ClearSink
from freight.wire.http1 import Head, Inbound, Limits

_RECEIVE_BYTES = 16 * 1024
_LINGER_BYTES = 256 * 1024  # what a client may still send after its last answer before it is cut off
_RESET = struct.pack("ii", 1, 0)  # struct linger: on, no time. close(2) then sends RST and drops the send queue
_NOBODY = Request("-", "-", ())  # who asked, where no head could be read


@dataclass(frozen=True, slots=True)
class House:
    """What all connections share. ``head_seconds``: how long a head may take to arrive from its first byte;
    ``idle_seconds``: how long nothing may come between requests; ``linger_seconds``: how long a client may take to see
    that it was answered and close. ``record`` is told every exchange's end.
    """

    loop: asyncio.AbstractEventLoop
    files: FileServer
    transfers: Transfers
    clock: Clock
    limits: Limits
    record: Callable[[Entry], None]
    head_seconds: float
    idle_seconds: float
    linger_seconds: float
    window: int | None


class Connection:
    """Serves one accepted socket, which is non-blocking and belongs to it."""

    __slots__ = ("_client", "_deadline", "_draining", "_house", "_inbound", "_sink", "_socket", "_waiter", "task")

    def __init__(self, house: House, connected: socket.socket, client: str) -> None:
        self._house = house
        self._socket = connected
        self._client = client
        self._inbound = Inbound(client, house.limits)
        self._sink = ClearSink(connected, house.clock, house.window)
        self._waiter: asyncio.Future[bool] | None = None  # true: bytes may have come; false: time is up, or draining
        self._deadline = 0.0
        self._draining = False
        self.task: asyncio.Task[None] | None = None  # the loop holds only weak references to tasks

    async def run(self) -> None:
        """Serve it to its end and close it."""
        abortive = False
        try:
            while (head := await self._read_head()) is not None:
                await self._answer(head)
                if self._sink.closes or self._draining:
                    break
            await self._linger()
        except (TransferError, OSError):
            abortive = True
        finally:
            self._close(abortive)

    def expire(self, now: float) -> None:
        """Give up waiting for bytes when their time is over."""
        if self._waiter is not None and now >= self._deadline:
            self._wake(False)

    def drain(self) -> None:
        """Let the present exchange be the last; close at once when there is none."""
        self._draining = True
        self._sink.refuse_next()
        if self._inbound.idle:
            self._wake(False)

    def end(self) -> None:
        """Stop waiting for bytes, whatever the deadline."""
        self._wake(False)

    async def _read_head(self) -> Head | None:
        """The next request's head; None at the end, however it comes."""
        started = False
        while True:
            answered = self._inbound.skipping
            try:
                head = self._inbound.next()
            except ProtocolError as error:
                if not answered:  # otherwise it is about content of a request that has its answer
                    await self._refuse(error)
                return None
            if head is not None:
                return head
            if not started and not self._inbound.idle:
                started = True
                self._deadline = self._house.loop.time() + self._house.head_seconds
            elif not started:
                self._deadline = self._house.loop.time() + self._house.idle_seconds
            if self._draining and self._inbound.idle:
                return None
            data = await self._receive()
            if data is None:
                if started and not self._inbound.skipping and not self._draining:
                    await self._refuse(ProtocolError(408, "the request took too long to arrive"))
                return None
            if not data:
                return None
            self._inbound.feed(data)

    async def _receive(self) -> bytes | None:
        """What has come: b"" at the end of the stream, None when the deadline passed first."""
        while True:
            try:
                return self._socket.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                if not await self._wait_readable():
                    return None

    async def _wait_readable(self) -> bool:
        loop, fd = self._house.loop, self._socket.fileno()
        self._waiter = loop.create_future()
        loop.add_reader(fd, self._wake, True)
        try:
            return await self._waiter
        finally:
            loop.remove_reader(fd)
            self._waiter = None

    def _wake(self, readable: bool) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(readable)

    async def _answer(self, head: Head) -> None:
        """Answer one request and record how it ended."""
        request, house = head.request, self._house
        self._sink.begin(request.version, head.keep_alive and not self._draining)
        at, started = house.clock.now(), house.clock.monotonic()
        ended = "complete"
        try:
            await house.files.respond(request, self._sink)
        except TransferError as error:
            ended = error.reason
            raise
        except OSError as error:
            ended = f"error: {error.strerror}"
            raise
        finally:
            self._record(request, at, started, ended)

    async def _refuse(self, error: ProtocolError) -> None:
        """Answer what never became a request. The connection ends behind it: nobody knows where the next one begins."""
        house = self._house
        self._sink.begin((1, 1), False)
        at, started = house.clock.now(), house.clock.monotonic()
        ended = "refused"
        try:
            await house.transfers.send(refuse(error.status, f"{error}.".capitalize(), close=True), self._sink)
        except TransferError as failure:
            ended = failure.reason
            raise
        finally:
            self._record(_NOBODY, at, started, ended)

    def _record(self, request: Request, at: float, started: float, ended: str) -> None:
        sink = self._sink
        self._house.record(
            Entry(
                at=at,
                seconds=self._house.clock.monotonic() - started,
                client=self._client,
                method=request.method,
                target=request.target,
                version=request.version,
                status=sink.status,
                range=request.field("range") or "",
                sent=max(0, sink.taken - sink.body_at),
                promised=sink.promised,
                ended=ended,
            )
        )

    async def _linger(self) -> None:
        """Say that no more comes, and let the client finish sending: a close with bytes unread would be a reset.

        That reset would take away the end of the answer from a client that has not read it yet (RFC 9112 section 9.6).
        """
        self._socket.shutdown(socket.SHUT_WR)
        self._deadline = self._house.loop.time() + self._house.linger_seconds
        left = _LINGER_BYTES
        while left > 0:
            data = await self._receive()
            if not data:
                return
            left -= len(data)

    def _close(self, abortive: bool) -> None:
        if abortive:
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            except OSError:
                pass  # the peer was first
        self._socket.close()
