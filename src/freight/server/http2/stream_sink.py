"""The sink of one stream of HTTP/2: for its exchange it is what a socket's sink is for an exchange of HTTP/1."""

from __future__ import annotations

from collections.abc import Iterator

from freight.errors import ClientDisconnected
from freight.http import dates, priority
from freight.http.request_id import with_request_id
from freight.model import Plan, Span
from freight.protocols import Clock
from freight.server.http2.multiplexer import Multiplexer
from freight.wire.http1 import response
from freight.wire.http2.repeats import SectionFormat


class StreamSink:
    """The sink of a stream, for its one exchange (:class:`freight.protocols.Sink`). It counts only content.

    It is also a :class:`freight.server.http2.multiplexer.Stream`. ``status`` is 0 until the head is made.
    """

    __slots__ = (
        "_acknowledged",
        "_clock",
        "_connection_offset",
        "_fd",
        "_last_yield_check",
        "_multiplexer",
        "accepted_bytes",
        "account",
        "body_start",
        "is_registered",
        "priority",
        "promised",
        "protocol",
        "reject_code",
        "request_id",
        "send_buffer",
        "status",
        "stream_id",
        "user",
        "wants_to_send",
        "was_reset",
    )

    zero_copy = False

    def __init__(self, stream_id: int, multiplexer: Multiplexer, clock: Clock) -> None:
        self.stream_id = stream_id
        self._multiplexer = multiplexer
        self._clock = clock
        self.account = multiplexer.sink.account
        self.protocol = "h2c" if multiplexer.sink.zero_copy else "h2"
        self.priority = priority.DEFAULT
        self.send_buffer: int | None = 0
        self.is_registered = self.wants_to_send = self.was_reset = False
        self.accepted_bytes = self.body_start = 0
        self.status = 0
        self.reject_code = self.user = self.request_id = ""
        self.promised: int | None = 0
        self._connection_offset = 0  # of the end of this stream's last bytes, in the bytes of the connection
        self._acknowledged = 0
        self._last_yield_check = (0, 0)  # content bytes of all streams, and of this one
        self._fd = multiplexer.open_stream(self)

    def segments(self, plan: Plan, size: int | None) -> Iterator[bytes | Span]:
        """Send the head by the session, which keeps the order of heads. Return the body (:class:`Sink`)."""
        self._check()
        if self.request_id:
            plan = with_request_id(plan, self.request_id)
        body = response.framed(b"", plan, size, version=(1, 0))  # HTTP/1.0 has no chunks: the stream's end delimits it
        ends = not plan.content or not plan.parts
        self.status, self.reject_code, self.user = plan.status, plan.reject_code, plan.user
        self.promised = plan.length if plan.content else 0
        self._multiplexer.session.send_head(self.stream_id, plan, self.date(), ends)
        return body

    def start_repeat(self, status: int, section_format: SectionFormat, first: int, length: int) -> bytes:
        """Send the head of an answer that is known. Return b"": the session sends the head."""
        self._multiplexer.session.send_section(
            self.stream_id, section_format.fill(self.date(), first, length), ends=False
        )
        self.status, self.promised = status, length
        return b""

    def date(self) -> str:
        """Return the text of a Date field."""
        return dates.format(int(self._clock.now()))

    def encode_chunk(self, data: bytes) -> bytes:
        return data

    def send(self, data: bytes | memoryview, more: bool) -> int:
        self._check()
        left = None if self.promised is None else self.promised - self.accepted_bytes
        return self._count(self._multiplexer.send(self, data, left, more))

    def sendfile(self, fd: int, offset: int, count: int) -> int:
        self._check()
        left = None if self.promised is None else self.promised - self.accepted_bytes
        return self._count(self._multiplexer.send_file(self, fd, offset, count, left))

    def send_piece(self, data: memoryview) -> int:
        return self.send(data, False)

    def _check(self) -> None:
        if self.was_reset:
            raise ClientDisconnected("the client reset the stream")

    def _count(self, accepted: int) -> int:
        self.accepted_bytes += accepted
        self._connection_offset = self._multiplexer.sink.accepted_bytes + self._multiplexer.unsent_bytes
        return accepted

    def set_send_buffer(self, limit: int | None) -> None:
        """Limit the send buffer of the connection, now and at each turn of this stream."""
        self.send_buffer = limit
        self._multiplexer.set_send_buffer(limit)

    def queued_bytes(self) -> int:
        """Return the bytes in the connection's send queue, and those that the kernel has not taken yet."""
        return self._multiplexer.sink.queued_bytes() + self._multiplexer.unsent_bytes

    def path_info(self) -> tuple[float, int, int]:
        return self._multiplexer.sink.path_info()

    def acknowledged(self) -> int:
        """Return how many bytes were acknowledged, at least: those that are unacknowledged may be another stream's."""
        sink = self._multiplexer.sink
        of_connection = sink.acknowledged()
        unacknowledged = 0 if of_connection >= self._connection_offset else sink.accepted_bytes - of_connection
        self._acknowledged = max(self._acknowledged, self.accepted_bytes - unacknowledged)
        return self._acknowledged

    def yielded_to_others(self) -> bool:
        before, self._last_yield_check = self._last_yield_check, (self._multiplexer.content_bytes, self.accepted_bytes)
        if not self.wants_to_send or self.accepted_bytes != before[1] or self._multiplexer.content_bytes == before[0]:
            return False
        return self._multiplexer.session.stream_window(self.stream_id) > 0

    def fileno(self) -> int:
        return self._fd
