"""One socket for many streams of HTTP/2: decide which stream sends next, and put its content into frames.

For the poller each stream has a virtual descriptor (:meth:`freight.flow.poller.Poller.register_virtual`), and the
multiplexer watches those: a sender waits for its stream as it would for a socket of its own.

Content is read from its file into one buffer, which all connections share, between the heads of its frames, and goes
out in one call. What the kernel did not take is read again. Only a frame of which a part was sent must be finished
before anything else, whatever becomes of its stream. The rest of it, at most one frame per connection, goes to the
front of what the session has to send (docs/decisions/015).
"""

from __future__ import annotations

import asyncio
import os
import select
from typing import Protocol

from freight.flow.poller import FAILED, Poller
from freight.http.priority import Priority, SendOrder
from freight.server.socket_sink import SocketSink
from freight.wire.http2 import frames
from freight.wire.http2.frames import END_STREAM
from freight.wire.http2.session import Session

BUFFER_BYTES = 256 * 1024
"""The size of the buffer that all connections share."""

OUT_BYTES = 64 * 1024
"""With more than this to send besides content, nothing more is read from the client."""

_UNBOUNDED_CALLS = 4  # per turn, where nothing bounds the send queue: they take as long as a call of HTTP/1 then

# Safe to share: the loop is one thread, and no content stays in the buffer between two calls.
_FRAME_BUFFER = frames.FrameBuffer(BUFFER_BYTES)


class Stream(Protocol):
    """What the multiplexer uses of a stream's sink.

    ``send_buffer`` is as in :meth:`freight.protocols.Sink.set_send_buffer`; 0: not set yet. The multiplexer sets the
    flags: a handler is registered for the stream, it waits to send, the client has reset it.
    """

    stream_id: int
    priority: Priority
    send_buffer: int | None
    is_registered: bool
    wants_to_send: bool
    was_reset: bool

    def fileno(self) -> int:
        """Return the stream's virtual descriptor."""


class Multiplexer:
    """Shares ``sink``, that of a connection, among its streams. ``content_bytes`` counts what all streams have sent."""

    __slots__ = (
        "_drained",
        "_fd",
        "_interest",
        "_is_bounded",
        "_loop",
        "_order",
        "_poller",
        "_streams",
        "_window_blocked",
        "content_bytes",
        "session",
        "sink",
    )

    def __init__(self, sink: SocketSink, session: Session, loop: asyncio.AbstractEventLoop, poller: Poller) -> None:
        self.sink = sink
        self.session = session
        self.content_bytes = 0
        self._loop = loop
        self._poller = poller
        self._streams: dict[int, Stream] = {}  # by virtual descriptor
        self._order = SendOrder()  # of negated descriptors, as they count down and the order wants numbers that rise
        self._window_blocked: set[int] = set()  # descriptors of streams that want to send and have no window
        self._drained: asyncio.Future[None] | None = None  # while wait_drained runs
        self._fd = sink.fileno()
        self._interest = 0
        self._is_bounded = True
        poller.register(self._fd, self, 0)

    def close(self) -> None:
        """Stop watching the socket, which is still open. A second call does nothing."""
        if self._fd >= 0:
            self._poller.unregister(self._fd)
            self._fd = -1

    # Streams

    def open_stream(self, stream: Stream) -> int:
        """Add a stream. Return its virtual descriptor."""
        fd = self._poller.register_virtual(self)
        self._streams[fd] = stream
        return fd

    def close_stream(self, stream: Stream) -> None:
        """Remove a stream."""
        self.unregister(stream.fileno())
        del self._streams[stream.fileno()]
        self._poller.unregister_virtual(stream.fileno())

    def reset_stream(self, stream: Stream) -> bool:
        """Note that the client has reset a stream, and wake its handler. Return False if it has none."""
        stream.was_reset = True
        if stream.is_registered:
            self._poller.notify(stream.fileno(), select.EPOLLHUP)
            return True
        return False

    def window_updated(self, stream: Stream | None) -> None:
        """Note that the client has opened the window of a stream, or of the connection (None)."""
        for fd in list(self._window_blocked) if stream is None else [stream.fileno()]:
            self._schedule(fd)

    def priority_changed(self, stream: Stream) -> None:
        """Note that a stream has another priority."""
        self._schedule(stream.fileno())

    def register(self, fd: int, eventmask: int) -> None:
        self._streams[fd].is_registered = True
        self.modify(fd, eventmask)

    def modify(self, fd: int, eventmask: int) -> None:
        self._streams[fd].wants_to_send = bool(eventmask & select.EPOLLOUT)
        self._schedule(fd)
        self._update_interest()

    def unregister(self, fd: int) -> None:
        self._streams[fd].is_registered = False
        self.modify(fd, 0)

    def _schedule(self, fd: int) -> None:
        """Give a stream turns, or none, by what it wants and by its window."""
        stream = self._streams[fd]
        if stream.wants_to_send and self.session.send_window(stream.stream_id) > 0:
            self._order.add(-fd, stream.priority)
            self._window_blocked.discard(fd)
            return
        self._order.remove(-fd)
        if stream.wants_to_send:
            self._window_blocked.add(fd)
        else:
            self._window_blocked.discard(fd)

    # The socket

    def handle_events(self, events: int) -> None:
        """Give the next stream its turn (:class:`freight.flow.poller.EventHandler`)."""
        if events & FAILED:
            self.close()  # epoll would report it without end; the reader finds the error
            self._wake_drained()
            for fd in list(self._streams):
                self._poller.notify(fd, events)
            return
        for _ in range(1 if self._is_bounded else _UNBOUNDED_CALLS):
            before, first = self.content_bytes, self._order.first()
            if first is None:
                break
            # Another stream's send buffer may be smaller: that of an answer without a slot, say.
            self.set_send_buffer(self._streams[-first].send_buffer)
            self._poller.notify(-first, select.EPOLLOUT)
            if -first in self._streams:
                self._schedule(-first)
            if self.content_bytes == before:
                # The socket was full. This stream is first again, or those with larger windows would starve it.
                break
            self._order.rotate(first)
        self.push()

    def serve_now(self) -> None:
        """Give the next stream its turn at once, unless other connections wait for theirs.

        The poller would ask the kernel twice and take three steps of the loop, for as much as the client's window.
        """
        if self._fd >= 0 and not self._poller.is_shared:
            self.handle_events(select.EPOLLOUT)
        else:
            self.push()

    def set_send_buffer(self, send_buffer: int | None) -> None:
        """Set the send buffer for the stream whose turn it is (:class:`freight.protocols.Sink`). 0: keep it."""
        self._is_bounded = send_buffer is not None
        if send_buffer != 0:
            self.sink.set_send_buffer(send_buffer)

    def push(self) -> None:
        """Send the frames that are not content, as far as the kernel takes them now."""
        out = self.session.out
        try:
            while out or self.sink.pending_bytes:
                del out[: self.sink.write(bytes(out), False)]
        except OSError:
            pass  # the socket is full, or the peer has gone, which the reader finds
        if self._drained is not None and len(out) <= OUT_BYTES // 2:
            self._wake_drained()
        self._update_interest()

    @property
    def unsent_bytes(self) -> int:
        """Bytes of frames that the kernel has not taken yet."""
        return len(self.session.out) + self.sink.pending_bytes

    def _wake_drained(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    async def wait_drained(self, most_bytes: int, seconds: float) -> bool:
        """Wait until at most ``most_bytes`` are unsent. Return False after ``seconds``."""
        deadline = self._loop.time() + seconds
        while self.unsent_bytes > most_bytes and self._fd >= 0:
            self._drained = self._loop.create_future()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._drained
            except TimeoutError:
                return False
            finally:
                self._drained = None
        return True

    def _update_interest(self) -> None:
        interest = select.EPOLLOUT if self._order or self.unsent_bytes else 0
        if interest != self._interest and self._fd >= 0:
            self._interest = interest
            if interest:
                self._poller.resume(self._fd)
            else:
                self._poller.pause(self._fd)

    # Content

    def send_file(self, stream: Stream, fd: int, offset: int, count: int, left: int | None) -> int:
        """Send bytes of a file. Return how many, 0 at the end of the file. Raise BlockingIOError.

        ``left`` bytes of content are left to send. With the last of them the stream ends. None: this is unknown.
        """
        count = self._space_for(stream, count)
        flags = END_STREAM if count == left else 0
        places, stop = self._lay_out(stream, count, flags)
        found = os.preadv(fd, places, offset)
        if found < count:
            if not found:
                return 0
            flags, count, (_, stop) = 0, found, self._lay_out(stream, found, 0)
        return self._write_frames(stream, stop, count, flags, False)

    def send(self, stream: Stream, data: bytes | memoryview, left: int | None, more: bool) -> int:
        """Send bytes. Return how many. Raise BlockingIOError. ``left`` is as in :meth:`send_file`."""
        count = self._space_for(stream, len(data))
        flags = END_STREAM if count == left else 0
        places, stop = self._lay_out(stream, count, flags)
        start = 0
        for place in places:
            place[:] = data[start : start + len(place)]
            start += len(place)
        return self._write_frames(stream, stop, count, flags, more)

    def _space_for(self, stream: Stream, count: int) -> int:
        """Return how many of ``count`` bytes of content fit. Raise BlockingIOError if none do."""
        session = self.session
        if len(session.out) > OUT_BYTES:
            self.push()
        at = len(session.out)
        capacity = frames.content_capacity(BUFFER_BYTES - at, session.frame_bytes)
        count = min(count, session.send_window(stream.stream_id), capacity)
        if count <= 0 or at > OUT_BYTES or self._order.more_urgent(stream.priority.urgency):
            raise BlockingIOError
        return count

    def _lay_out(self, stream: Stream, count: int, flags: int) -> tuple[list[memoryview], int]:
        """Lay out ``count`` bytes of content in the buffer, after what is unsent. Return their places, and the stop."""
        session = self.session
        return _FRAME_BUFFER.lay_out(len(session.out), stream.stream_id, count, session.frame_bytes, flags)

    def _write_frames(self, stream: Stream, stop: int, count: int, flags: int, more: bool) -> int:
        """Send what is unsent, and the frames after it in the buffer. Return how many bytes of content were sent."""
        session = self.session
        buffer, at = _FRAME_BUFFER.buffer, len(session.out)
        if at:
            buffer[:at] = session.out
        sent = self.sink.write(buffer[:stop], more)
        if sent == stop:
            payload = count
            session.out.clear()
        elif sent <= at:
            del session.out[:sent]
            raise BlockingIOError
        else:
            payload, size = frames.bytes_in_started_frames(sent - at, count, session.frame_bytes)
            session.out[:] = buffer[sent : at + size]  # the rest of a frame that has started
        session.consume_window(stream.stream_id, payload)
        self.content_bytes += payload
        if flags and payload == count:
            session.content_ended(stream.stream_id)
        return payload
