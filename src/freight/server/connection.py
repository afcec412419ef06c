"""One connection, from accept to close: handshakes, exchanges one after another, and how it ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Protocol

from freight.errors import ProtocolError, Stalled, TransferError
from freight.server.closing import close_gracefully, has_all, linger, wait_acknowledged
from freight.server.connection_reader import is_unacknowledged
from freight.server.context import Exchange, ServerContext
from freight.server.handshake import TLS_FAILED, shake_hands
from freight.server.http1 import Http1Exchanges
from freight.server.http2.load import load_http2
from freight.server.proxy_header import PROXY_HEADER_FAILED, read_proxy_header
from freight.server.sinks import plain_again
from freight.server.socket_sink import SocketSink
from freight.wire import costs
from freight.wire.accounting import ConnectionAccount

if TYPE_CHECKING:  # loaded where they are used: the one with h2, the other with ssl
    from freight.server.http2.connection import Http2Connection
    from freight.server.tls.sockets import TlsLayer

_GOAWAY_DELAY_SECONDS = 1.0  # while draining, for a connection of HTTP/2 that had just been accepted
_PROXY_READ_BYTES = 4096  # no PROXY header is longer


class ConnectionObserver(Protocol):
    """Keeps all connections, and notes what each of them does."""

    def idle(self, connection: Connection) -> None:
        """Note that the connection waits for a request, or for more of one."""

    def busy(self, connection: Connection) -> None:
        """Note that the connection has a whole request to answer."""

    def answered(self, connection: Connection) -> None:
        """Note that an idle connection had a request, and is idle again."""

    def handshake_waits(self, connection: Connection, answered: bool) -> None:
        """Note that a TLS handshake waits for bytes. ``answered``: the server has sent its part."""

    def handshake_resumed(self, connection: Connection) -> None:
        """Note that bytes of a TLS handshake have arrived."""

    def handshake_done(self, connection: Connection) -> None:
        """Note that the TLS handshake is complete."""

    def closed(self, connection: Connection) -> None:
        """Note that the connection has closed its socket."""


class Connection(Http1Exchanges):
    """Serves one accepted socket, which is non-blocking and belongs to it.

    ``idle_since`` is when it last began to wait for its client. The caller sets ``task``, since the loop holds only
    weak references to tasks.
    """

    __slots__ = (
        "_http2",
        "_last_request_timer",
        "_observer",
        "_socket",
        "idle_since",
        "task",
    )

    def __init__(
        self,
        context: ServerContext,
        connected: socket.socket,
        client: str,
        observer: ConnectionObserver,
        charges: ConnectionAccount,
    ) -> None:
        super().__init__(context, connected, client, charges)
        self._socket = connected
        self._observer = observer
        self._http2: Http2Connection | None = None
        self._last_request_timer: asyncio.TimerHandle | None = None  # while draining
        self.idle_since = context.loop.time()
        self.task: asyncio.Task[None] | None = None

    def exchanges(self) -> Iterator[Exchange]:
        """Iterate over the present exchanges. A connection of HTTP/1 has one, which may have ended."""
        if self._http2 is not None:
            return self._http2.exchanges()
        return iter((Exchange(self._client, self._summary.target, self._sink),))

    @property
    def sink(self) -> SocketSink:
        """The sink of the connection."""
        return self._sink

    async def run(self) -> None:
        """Serve the connection to its end and close it."""
        abortive = True  # unless the client has everything
        stops = False
        try:
            self.note_idle()
            context = self._context
            requests_follow = not context.proxy_protocol or await self._identify_client()
            requests_follow = requests_follow and (context.tls is None or await self._shake_hands(context.tls))
            while requests_follow and await self._read_request():
                self.note_busy()
                await self._respond()
                # A client may pipeline requests without end: other connections run between two of them.
                await asyncio.sleep(0)
                self.note_idle()
                if self._sink.will_close:
                    break
                if self._reader.draining:
                    # That answer promised to keep the connection, so another request may be on its way.
                    self._await_last_request(self._sink.accepted_bytes)
            if requests_follow and not self._reader.evicted:
                half_closed = await linger(context, self._sink, self._reader, self._linger_seconds())
                if half_closed and not self._reader.evicted:
                    # A client that has closed its sending side may still read (RFC 9112 section 9.6).
                    await wait_acknowledged(context, self._sink, partial(has_all, self._sink))
            # The budget stops counting this send queue at close(), so the kernel must not keep it for a client that
            # never reads.
            abortive = not has_all(self._sink)
        except (TransferError, OSError, asyncio.CancelledError) as error:
            self._context.unacknowledged.abandon(self._sink, error)
            stops = isinstance(error, asyncio.CancelledError) and not error.args  # see abort()
        except Exception as error:  # a fault of the server's own: logged now, and not when the task is collected
            self._context.loop.call_exception_handler({"message": "a connection failed", "exception": error})
        finally:
            try:
                if abortive and self._sink.outlives_close and not stops:
                    await self._wait_unread()
            finally:
                self._finish(abortive)

    async def _wait_unread(self) -> None:
        """Keep an aborted connection until its client has read or closed: the kernel keeps the send queue until then.

        It is no longer idle, as an eviction would free nothing. The wait ends when the server drains.
        """
        from freight.server.unix_socket import wait_unread

        self._context.unacknowledged.abandon(self._sink, None)
        self._observer.busy(self)
        self._observer.handshake_done(self)
        self._reader.close()
        await wait_unread(self._sink, lambda: self._reader.draining)

    def _linger_seconds(self) -> float:
        """Return for how long to wait for the client's close: half as long after :meth:`_await_last_request`."""
        waited = self._last_request_timer is not None and not self._sink.will_close
        return self._context.linger_seconds / (2 if waited else 1)

    def _finish(self, abortive: bool) -> None:
        """Settle what the client owes, and close the socket."""
        if self._last_request_timer is not None:
            self._last_request_timer.cancel()
        if abortive:
            self._context.unacknowledged.abandon(self._sink, None)
        else:
            self._context.unacknowledged.confirm(self._sink)
        if self._reader.evicted and not self._sink.accepted_bytes and self._charges.setup_cost <= costs.ACCEPT:
            self._charges.drop_pending()
        self._charges.close()
        if abortive and self._sink.accepted_bytes and is_unacknowledged(self._socket):
            # The client has received nothing, so the answer was of no use.
            self._charges.account.charge(costs.ACCEPT + costs.REQUEST)
        self._reader.close()
        if abortive:
            self._socket.close()
        else:
            close_gracefully(self._socket)
        self._observer.closed(self)

    # Before the first request

    async def _identify_client(self) -> bool:
        """Learn the client from a PROXY header. Without one there is no answer, since the peer may not speak HTTP."""
        context, reader = self._context, self._reader
        if reader.requests_ended:
            return False
        started = context.clock.monotonic()
        reader.set_timeout(context.head_seconds)
        try:
            # Before TLS, byte by byte: OpenSSL has to read what follows the header.
            most = _PROXY_READ_BYTES if context.tls is None else 1
            found = await read_proxy_header(self._peer, context.trusted, partial(reader.receive, most))
        except ProtocolError:
            self._record(started, PROXY_HEADER_FAILED)
            return False
        if found is None:
            return False
        self._peer, self._trusted = found.client, found.trusted
        self._charges.transfer_to(context.account(self._peer))
        if self._charges.account.pause_factor:
            await context.turns.wait_turn(self._charges)
        reader.parser = self._parser()
        reader.parser.feed(found.rest)
        return True

    async def _shake_hands(self, tls: TlsLayer) -> bool:
        """Shake hands. Answer a client that speaks plain HTTP with an error. Return whether requests may follow."""
        if self._reader.requests_ended:
            return False
        started = self._context.clock.monotonic()
        self._reader.close()
        stream = tls.wrap(self._socket)
        self._switch_socket(stream, tls.sink(stream, self._context.clock))
        waits, resumed = partial(self._observer.handshake_waits, self), partial(self._observer.handshake_resumed, self)
        try:
            if await shake_hands(self._context, tls, stream, self._reader, waits, resumed):
                self._observer.handshake_done(self)
                return True
        except ConnectionAbortedError:
            self._record(started, TLS_FAILED)
        except ConnectionRefusedError:
            self._switch_socket(*plain_again(stream, self._context.clock))
            await self._refuse(ProtocolError(400, "plain HTTP was sent to a port that speaks HTTPS; use https://"))
            await linger(self._context, self._sink, self._reader, self._context.linger_seconds)
        return False

    def _switch_socket(self, connected: socket.socket, sink: SocketSink) -> None:
        self._socket, self._sink = connected, sink
        self._reader.switch_socket(connected)

    # What the listener asks and commands

    def abort(self, reason: str | None = None) -> None:
        """Close the connection now. A running body ends by reset: truncated content must not look complete.

        ``reason`` is the log's word for answers that are aborted by this; None: the server stops.
        """
        if self.task is not None:
            self.task.cancel(reason)

    def expire(self, now: float) -> None:
        """Stop waiting if the timeout has passed, unless the client still takes an answer. Reset it if it stalls.

        To be called about once a second. Of an answer that takes as long, the loop need not watch the socket.
        """
        self._reader.stop_watching()
        if self._sink not in self._context.unacknowledged:
            if self._reader.overdue(now):
                self._reader.stop_waiting()
        elif self._is_stalled():
            self.abort(Stalled.reason)
        elif self._reader.overdue(now):
            self._reader.deadline = now + self._context.idle_seconds

    def _is_stalled(self) -> bool:
        """Return whether the client acknowledges nothing of its answers. Streams that run have a check of their own."""
        context = self._context
        if context.unacknowledged.stalled_seconds(self._sink) < context.transfers.patience_seconds:
            return False
        return self._http2 is None or not any(self._http2.exchanges())

    def evict(self) -> None:
        """Close the connection for the memory or the descriptor that it uses. It must be idle."""
        if self._sink.queued_bytes():
            self.abort(Stalled.reason)  # a reset drops the send queue, where a close would leave it to the kernel
        else:
            self._reader.evicted = True
            self._reader.stop_waiting()

    @property
    def has_request_data(self) -> bool:
        """Whether any byte of a request has been read."""
        return self._sink.accepted_bytes > 0 or self._http2 is not None or not self._reader.parser.idle

    @property
    def is_finished(self) -> bool:
        """Whether only the client's FIN is missing: its kernel has the last answer and our FIN."""
        sink = self._sink
        return sink.will_close and 0 < sink.accepted_bytes == sink.acknowledged() and not sink.queued_bytes()

    def has_input(self) -> bool:
        """Return whether the socket has bytes to read, or the end of the stream."""
        try:
            socket.socket.recv(self._socket, 1, socket.MSG_PEEK)  # a TlsSocket's own recv takes no flags
        except BlockingIOError:
            return False
        except OSError as error:
            self._sink.note_failed_read(error)
        return True

    def release(self) -> None:
        """Release what the budget counts for the send queue. The connection must have closed."""
        self._context.budget.forget(self._sink)

    def drain(self, grace_seconds: float) -> None:
        """End the connection after the present exchange, or after one that starts within ``grace_seconds``."""
        self._reader.drain(grace_seconds)
        if self._http2 is not None:
            self._http2.drain()  # a request that comes after its GOAWAY is safe to send to another server
            return
        self._sink.refuse_next()
        if self._reader.parser.idle and self._reader.requests_ended:
            self._reader.stop_waiting()

    def note_busy(self) -> None:
        """Note that there is a request to answer (:class:`freight.server.http2.connection.ActivityObserver`)."""
        self._observer.busy(self)

    def note_answered(self, now: float) -> None:
        """Note that a request was answered at once, and the connection waits for its client again since ``now``."""
        self.idle_since = now
        self._observer.answered(self)

    def note_idle(self) -> None:
        """Note that the connection waits for its client."""
        self.idle_since = self._context.loop.time()
        self._observer.idle(self)

    def _await_last_request(self, acknowledged: int) -> None:
        """Wait for one more request: its answer will say that the connection ends (RFC 9112 section 9.6).

        Until then the client cannot know it, and a request that it has sent when we close gets no answer.
        The wait is repeated while the client takes the last answer: until exactly ``acknowledged`` bytes of the
        connection are acknowledged. At first that is all of them, then as many as when the last wait ended.
        """
        seconds = self._reader.extend_drain(self._context.linger_seconds / 2)
        self._last_request_timer = self._context.loop.call_later(seconds, self._end_last_wait, acknowledged)

    def _end_last_wait(self, before: int) -> None:
        acknowledged = self._sink.acknowledged()
        if acknowledged != before:
            self._await_last_request(acknowledged)  # the client still takes the last answer
        elif self._reader.parser.idle:
            self._reader.stop_waiting()

    async def _serve_http2(self, ahead: bytes | None) -> None:
        """Serve HTTP/2 to the end of the connection. ``ahead`` has been read already."""
        context = self._context
        self._charges.charge_setup(costs.HTTP2_STATE)
        http2_class = await load_http2(context)
        self._http2 = http2_class(context, self._sink, self._reader, self._peer, self._trusted, self)
        goaway = None
        if self._reader.draining:
            # A client that connected just before the hand-over may send its requests before the GOAWAY.
            goaway = context.loop.call_later(_GOAWAY_DELAY_SECONDS, self._http2.drain)
        try:
            await self._http2.run(ahead)
        finally:
            if goaway is not None:
                goaway.cancel()
