"""One connection of HTTP/2: read frames, pass what they say to its streams, and end with GOAWAY.

Loaded when the first client speaks HTTP/2 (:mod:`freight.server.http2.load`).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from typing import Protocol

from freight.errors import Http2ConnectionError
from freight.http import priority
from freight.http.client_address import Networks, client_key
from freight.server.closing import wait_acknowledged
from freight.server.connection_reader import ConnectionReader
from freight.server.context import Exchange, ServerContext
from freight.server.http2.multiplexer import OUT_BYTES, Multiplexer
from freight.server.http2.streams import Streams
from freight.server.socket_sink import SocketSink
from freight.wire import costs, events
from freight.wire.http2.frames import LAST_STREAM, ErrorCode
from freight.wire.http2.session import Session

_RESET_SECONDS = 1.0  # for how long a stream that waits for a disk may go on after its client has gone
_GOAWAY_SECONDS = 1.0  # for how long a client may take to acknowledge the first GOAWAY


class ActivityObserver(Protocol):
    """Notes whether the connection has streams."""

    def note_busy(self) -> None:
        """Note that the first stream starts."""

    def note_idle(self) -> None:
        """Note that the last stream has ended."""


class Http2Connection:
    """Serves a connection whose bytes are HTTP/2, and charges the account of its reader.

    ``trusted`` proxies may name a request's client. The socket belongs to the caller.
    """

    def __init__(
        self,
        context: ServerContext,
        sink: SocketSink,
        reader: ConnectionReader,
        client: str,
        trusted: Networks,
        observer: ActivityObserver,
    ) -> None:
        self._context = context
        self._reader = reader
        self._client = client
        self._observer = observer
        self._session = Session(client, context.limits, reader.charges, client_key(client))
        self._multiplexer = Multiplexer(sink, self._session, context.loop, context.transfers.poller)
        self._streams = Streams(context, self._session, self._multiplexer, trusted, reader.charges, self._stream_ended)
        self._goaway_received = False  # the client sends no more requests
        self._window_opened = False  # of the connection; the streams do not know it yet
        self._last_goaway_sent = False
        self._reading_ended = False
        self._idle_since = context.loop.time()
        self._partial_since: float | None = None  # when an unfinished frame or head began

    def exchanges(self) -> Iterator[Exchange]:
        """Iterate over the exchanges that run. They may change meanwhile."""
        return self._streams.exchanges()

    async def run(self, ahead: bytes | None) -> None:
        """Serve the connection to its end. ``ahead`` has been read already (:meth:`ConnectionReader.receive`)."""
        context = self._context
        if not context.budget.can_open_http2():
            self._session.send_goaway()
            self._multiplexer.push()
            self._multiplexer.close()
            return
        context.budget.http2_opened()
        try:
            await self._read(ahead)
            await self._streams.finish(_RESET_SECONDS)
            self._multiplexer.push()
            await self._multiplexer.wait_drained(0, context.linger_seconds)
        finally:
            self._reading_ended = True
            await self._streams.finish(0.0)
            self._streams.close()
            self._multiplexer.close()
            context.budget.http2_opened(-1)

    def drain(self) -> None:
        """Accept the requests that are on their way, finish all streams, and end the connection.

        A first GOAWAY names no last request. The last one follows when the client has acknowledged the first, or after
        _GOAWAY_SECONDS (RFC 9113 section 6.8).
        """
        if not self._session.settings_received:
            self._stop()
            return
        self._set_deadline()  # the reader's is that of a connection without requests
        self._session.send_goaway(LAST_STREAM)
        self._multiplexer.push()
        self._context.loop.call_later(_GOAWAY_SECONDS, self._send_last_goaway)

    def _send_last_goaway(self) -> None:
        if not self._reading_ended and not self._last_goaway_sent:
            self._last_goaway_sent = True
            self._session.send_goaway()
            self._multiplexer.push()
            self._end_if_done()

    def _stop(self) -> None:
        self._reading_ended = True
        self._reader.stop_waiting()

    def _end_if_done(self) -> None:
        if (self._last_goaway_sent or self._goaway_received) and not self._streams:
            self._stop()

    def _stream_ended(self) -> None:
        if not self._streams:
            self._idle_since = self._context.loop.time()
            self._set_deadline()
            self._observer.note_idle()
        self._end_if_done()

    async def _read(self, data: bytes | None) -> None:
        context, session = self._context, self._session
        while data and not self._reading_ended:
            session.feed(data)
            try:
                await self._process_frames()
            except Http2ConnectionError:
                self._streams.reset_all()
                return
            self._flush()
            drained = len(session.out) <= OUT_BYTES or await self._multiplexer.wait_drained(
                OUT_BYTES, context.idle_seconds
            )
            drained = drained and await self._has_room()
            if not drained or self._reading_ended or self._reader.evicted:
                return
            self._partial_since = None if session.idle else self._partial_since or context.loop.time()
            self._set_deadline()
            if context.turns.has_waiting:
                # A client may send without end, so other connections run first.
                await asyncio.sleep(0)
            try:
                data = await self._reader.receive_rest(self._take_window_updates)
            except OSError:
                data = b""
        if data == b"":
            self._streams.reset_all()
        if data is None and not self._reading_ended and not self._reader.evicted:
            session.send_goaway()

    async def _has_room(self) -> bool:
        """Return True when more requests may be answered. Return False when the client acknowledges nothing any more.

        At most 16 KiB of requests, those of one read, are answered beyond the limit.
        """
        context, sink = self._context, self._multiplexer.sink
        if not context.unacknowledged.must_wait(sink):
            return True
        return await wait_acknowledged(context, sink, lambda: not context.unacknowledged.must_wait(sink))

    async def _process_frames(self) -> None:
        """Process all whole frames, a quantum at a time. Nothing is read meanwhile. Raise Http2ConnectionError."""
        session, charges, turns = self._session, self._reader.charges, self._context.turns
        charges.settle(self._context.loop.time())
        exhausted, left = turns.step_exhausted, charges.quantum_left
        while not self._reading_ended and (cost := session.next_frame_cost()) is not None:
            if charges.quantum_left < cost or exhausted:
                self._flush()
                turns.record(left - charges.quantum_left)
                await turns.wait_turn(charges, cost, self._is_abandoned)
                if self._is_abandoned():
                    self._reading_ended = True  # no client waits for the rest
                    self._streams.reset_all()
                    return
                exhausted, left = False, charges.quantum_left
                continue
            for event in session.process_frame():
                self._handle(event)
        turns.record(left - charges.quantum_left)

    def _take_window_updates(self, data: bytes) -> bytes:
        """Process the window updates that came, and send what they allow. Return the rest of the bytes."""
        rest, opened = self._session.take_window_updates(data)
        if 0 in opened:
            self._window_opened = True  # then every stream that waits for a window is looked at
        else:
            for stream_id in opened:
                self._window_updated(stream_id)
        if opened:
            self._wake_streams()
            if self._context.turns.step_exhausted:
                self._multiplexer.push()
            else:
                self._context.turns.record(costs.DIRECT_SEND)
                self._multiplexer.serve_now()
        return rest

    def _window_updated(self, stream_id: int) -> None:
        if not stream_id:
            self._window_opened = True  # the streams are woken once for many such frames
        elif (stream := self._streams.get(stream_id)) is not None:
            self._multiplexer.window_updated(stream.sink)

    def _is_abandoned(self) -> bool:
        """Return whether the client has closed its end: a client of HTTP/2 that waits for answers does not."""
        return self._reader.peer_closed

    def _flush(self) -> None:
        """Send the frames that answer those processed so far, and wake the streams if the window has opened."""
        self._wake_streams()
        self._multiplexer.push()

    def _wake_streams(self) -> None:
        if self._window_opened:
            self._window_opened = False
            self._multiplexer.window_updated(None)

    def _set_deadline(self) -> None:
        context = self._context
        kept_seconds = context.keep_alive_seconds if self._session.has_had_request else context.idle_seconds
        deadline = math.inf if self._streams else self._idle_since + kept_seconds
        if self._partial_since is not None:
            deadline = min(deadline, self._partial_since + context.head_seconds)
        self._reader.deadline = deadline

    def _handle(self, event: events.Event) -> None:
        stream = self._streams.get(getattr(event, "stream", 0))
        match event:
            case events.RequestReceived() | events.RequestRefused():
                self._start_stream(event)
            case events.StreamReset() if stream is not None:
                self._streams.cancel(stream)
            case events.WindowUpdated():
                self._window_updated(event.stream)
            case events.Reprioritized() if stream is not None:
                stream.sink.priority = priority.parse(event.priority)
                self._multiplexer.priority_changed(stream.sink)
            case events.GoAwayReceived():
                self._goaway_received = True
                self._end_if_done()
            case events.PingAcknowledged():
                self._send_last_goaway()

    def _start_stream(self, event: events.RequestReceived | events.RequestRefused) -> None:
        if not self._context.budget.can_open_stream():
            self._session.reset_stream(event.stream, ErrorCode.REFUSED_STREAM)  # the client may safely retry
            return
        if not self._streams:
            self._observer.note_busy()
        self._streams.start(event, self._client)
