"""One socket for many streams of HTTP/2: who sends next, and frames around what it sends.

To the rounds each stream has a number like a descriptor (:meth:`freight.flow.rounds.Rounds.share`), and this is what
watches those: a pump or a writer waits for its stream as for a socket of its own. Content is read from its file into
one buffer, that of all connections, between the heads of its frames, and goes out in one call; what the kernel did not
take is read again. Only a frame that has begun must be finished before anything else goes out, whatever becomes of its
stream: the rest of it, at most one per connection, stands at the front of what the session has to send
(docs/decisions/015).
"""

from __future__ import annotations

import asyncio
import os
import select

from freight.core.priority import Precedence
from freight.flow.rounds import FAILED, Rounds
from freight.server.sink import ClearSink
from freight.server.stream import StreamSink
from freight.wire import frames
from freight.wire.http2 import Session

BUFFER_BYTES = 256 * 1024

OUT_BYTES = 64 * 1024
"""With more than this to be sent besides content nothing more is read from the client."""

_TURNS_AT_ONCE = 4  # where nothing bounds the socket's queue: as long as a call of HTTP/1 takes then

_SHEET = frames.Sheet(BUFFER_BYTES)  # the loop is one thread, and no content is left in it between two calls


class Multiplex:
    """Shares ``way``, a connection's way out, among its streams."""

    __slots__ = (
        "_bounded",
        "_drained",
        "_fd",
        "_interest",
        "_loop",
        "_parked",
        "_rounds",
        "_sinks",
        "_turns",
        "moved",
        "session",
        "way",
    )

    def __init__(self, way: ClearSink, session: Session, loop: asyncio.AbstractEventLoop, rounds: Rounds) -> None:
        self.way = way
        self.session = session
        self.moved = 0  # bytes of content, of all streams
        self._loop = loop
        self._rounds = rounds
        self._sinks: dict[int, StreamSink] = {}  # by their number in the rounds
        self._turns = Precedence()  # whose number is the same, less its sign: they count up as streams come
        self._parked: set[int] = set()  # who would go on, and has no window of the client's
        self._drained: asyncio.Future[None] | None = None  # who waits for that has it
        self._fd = way.fileno()
        self._interest = 0
        self._bounded = True
        rounds.watch(self._fd, self, 0)

    def close(self) -> None:
        """Watch the socket no more. To be called before it is closed, with all streams gone."""
        if self._fd >= 0:
            self._rounds.forget(self._fd)
            self._fd = -1

    # Streams

    def open(self, stream: StreamSink) -> int:
        """One more; its number in the rounds."""
        number = self._rounds.share(self)
        self._sinks[number] = stream
        return number

    def shut(self, stream: StreamSink) -> None:
        """One less. Nobody waits for it any more."""
        self.unregister(stream.fileno())
        del self._sinks[stream.fileno()]
        self._rounds.unshare(stream.fileno())

    def lose(self, stream: StreamSink) -> bool:
        """Its client wants it no more: end what waits for it, if anything does. False: nothing did."""
        stream.gone = True
        if stream.waits:
            self._rounds.tell(stream.fileno(), select.EPOLLHUP)
            return True
        return False

    def opened(self, stream: StreamSink | None) -> None:
        """The client's window has grown, of one stream or of all."""
        for number in list(self._parked) if stream is None else [stream.fileno()]:
            self._sort(number)

    def prioritized(self, stream: StreamSink) -> None:
        """It has another priority."""
        self._sort(stream.fileno())

    def register(self, fd: int, eventmask: int) -> None:
        """See :class:`freight.flow.rounds.Poller`."""
        self._sinks[fd].waits = True
        self.modify(fd, eventmask)

    def modify(self, fd: int, eventmask: int) -> None:
        """See :class:`freight.flow.rounds.Poller`."""
        self._sinks[fd].wants = bool(eventmask & select.EPOLLOUT)
        self._sort(fd)
        self._watch()

    def unregister(self, fd: int) -> None:
        """See :class:`freight.flow.rounds.Poller`."""
        self._sinks[fd].waits = False
        self.modify(fd, 0)

    def _sort(self, number: int) -> None:
        """Whether a stream is to have turns now."""
        sink = self._sinks[number]
        has_window = sink.wants and self.session.window(sink.stream) > 0
        if has_window:
            self._turns.join(-number, sink.priority)
        else:
            self._turns.leave(-number)
        if sink.wants and not has_window:
            self._parked.add(number)
        else:
            self._parked.discard(number)

    # The socket

    def ready(self, events: int) -> None:
        """See :class:`freight.flow.rounds.Waiter`: a stream has its turn, or some one after another."""
        if events & FAILED:
            self.close()  # it would be told for ever; the end is what the reader finds
            self._wake_drained()
            for number in list(self._sinks):
                self._rounds.tell(number, events)
            return
        for _ in range(1 if self._bounded else _TURNS_AT_ONCE):
            moved, turn = self.moved, self._turns.first()
            if turn is not None:
                self.bound(self._sinks[-turn].mark)  # another's may be smaller: of an answer that needs no slot, say
                self._rounds.tell(-turn, select.EPOLLOUT)
                if -turn in self._sinks:
                    self._sort(-turn)
            if turn is None or self.moved == moved:
                break  # who found no room is next again, or those with larger windows would never leave it any
            self._turns.had(turn)
        self.push()

    def bound(self, mark: int | None) -> None:
        """See :class:`freight.ports.Sink`: of the socket, for whose turn it is. 0: as it is."""
        self._bounded = mark is not None
        if mark != 0:
            self.way.bound(mark)

    def push(self) -> None:
        """Send what is to be sent besides content, as far as the kernel takes it now."""
        out = self.session.out
        try:
            while out or self.way.owed:
                del out[: self.way.pour(bytes(out), False)]
        except OSError:
            pass  # full, or the peer has gone, which the reader finds
        if len(out) <= OUT_BYTES // 2:
            self._wake_drained()
        self._watch()

    @property
    def left_bytes(self) -> int:
        """What has been made, and has still to reach the kernel."""
        return len(self.session.out) + self.way.owed

    def _wake_drained(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    async def wait_drained(self, most_bytes: int, seconds: float) -> bool:
        """Wait until so little is left besides content, or less. False: not within so many seconds."""
        deadline = self._loop.time() + seconds
        while self.left_bytes > most_bytes and self._fd >= 0:
            self._drained = self._loop.create_future()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._drained
            except TimeoutError:
                return False
            finally:
                self._drained = None
        return True

    def _watch(self) -> None:
        interest = select.EPOLLOUT if self.left_bytes or self._turns else 0
        if interest != self._interest and self._fd >= 0:
            self._interest = interest
            if interest:
                self._rounds.resume(self._fd)
            else:
                self._rounds.pause(self._fd)

    # Content

    def send_file(self, stream: StreamSink, fd: int, offset: int, count: int) -> int:
        """Bytes of a file on a stream; how many, 0 at the file's end. Raises BlockingIOError."""
        at, count, frame = self._room(stream, count)
        places, stop = _SHEET.lay_out(at, stream.stream, count, frame)
        found = os.preadv(fd, places, offset)
        if found < count:
            if not found:
                return 0
            count, (_, stop) = found, _SHEET.lay_out(at, stream.stream, found, frame)
        return self._hand_over(stream, at, stop, count, frame, False)

    def send(self, stream: StreamSink, data: bytes | memoryview, more: bool) -> int:
        """Bytes on a stream; how many. Raises BlockingIOError."""
        at, count, frame = self._room(stream, len(data))
        places, stop = _SHEET.lay_out(at, stream.stream, count, frame)
        start = 0
        for place in places:
            place[:] = data[start : start + len(place)]
            start += len(place)
        return self._hand_over(stream, at, stop, count, frame, more)

    def _room(self, stream: StreamSink, count: int) -> tuple[int, int, int]:
        """Where content can stand in the buffer now, how much of ``count`` bytes, in frames of which size."""
        session = self.session
        if len(session.out) > OUT_BYTES:
            self.push()
        at, frame = len(session.out), session.frame_bytes
        count = min(count, session.window(stream.stream), frames.room(BUFFER_BYTES - at, frame))
        if count <= 0 or at > OUT_BYTES or self._turns.more_urgent(stream.priority.urgency):
            raise BlockingIOError
        return at, count, frame

    def _hand_over(self, stream: StreamSink, at: int, stop: int, count: int, frame: int, more: bool) -> int:
        session = self.session
        buffer = _SHEET.buffer
        buffer[:at] = session.out
        sent = self.way.pour(buffer[:stop], more)
        if sent <= at:
            del session.out[:sent]
            raise BlockingIOError
        payload, size = frames.begun(sent - at, count, frame)
        session.out[:] = buffer[sent : at + size]  # of a frame that has begun
        session.spend(stream.stream, payload)
        self.moved += payload
        return payload
