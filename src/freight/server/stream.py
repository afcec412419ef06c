"""The way out of one stream of HTTP/2: what its connection's way out is to an exchange of HTTP/1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from freight.core import dates, priority
from freight.errors import PeerGone
from freight.model import Plan, Span
from freight.ports import Clock
from freight.wire import http1

if TYPE_CHECKING:
    from freight.server.multiplex import Multiplex


class StreamSink:
    """One stream's sink, for its one exchange (:class:`freight.ports.Sink`). Its bytes are bytes of content."""

    __slots__ = (
        "_acknowledged",
        "_clock",
        "_multiplex",
        "_number",
        "_seen",
        "_through",
        "account",
        "body_at",
        "gone",
        "mark",
        "priority",
        "promised",
        "refused",
        "status",
        "stream",
        "taken",
        "waits",
        "wants",
        "wire",
    )

    zero_copy = False

    def __init__(self, stream: int, multiplex: Multiplex, clock: Clock) -> None:
        self.stream = stream
        self._multiplex = multiplex
        self._clock = clock
        self.account = multiplex.way.account
        self.wire = "h2c" if multiplex.way.zero_copy else "h2"
        self.priority = priority.DEFAULT
        self.mark: int | None = 0  # none of its own yet
        self.waits = False  # somebody is called back for it, for whatever reason
        self.wants = False  # somebody waits to send
        self.gone = False  # the client has reset it
        self.taken = self.body_at = 0
        self.status = 0  # 0: its head has not been made
        self.refused = ""
        self.promised: int | None = 0
        self._through = 0  # how far the connection's bytes are with the last of this stream's
        self._acknowledged = 0
        self._seen = (0, 0)  # what had been sent when somebody asked whether it is behind: by all, by it
        self._number = multiplex.open(self)

    def segments(self, plan: Plan, size: int | None) -> Iterator[bytes | Span]:
        """See :class:`freight.ports.Sink`. The head goes out by itself, in the order of the connection's heads."""
        self._check()
        body = http1.framed(b"", plan, size, version=(1, 0))  # bare, as it ends with the stream
        ends = not plan.content or not plan.parts
        self.status, self.refused = plan.status, plan.refused
        self.promised = plan.length if plan.content else 0
        self._multiplex.session.head(self.stream, plan, self.date(), ends)
        return body

    def date(self) -> str:
        """The text of Date."""
        return dates.format(int(self._clock.now()))

    def piece(self, data: bytes) -> bytes:
        """See :class:`freight.ports.Sink`."""
        return data

    def send(self, data: bytes | memoryview, more: bool) -> int:
        """See :class:`freight.ports.Sink`."""
        self._check()
        return self._count(self._multiplex.send(self, data, more))

    def sendfile(self, fd: int, offset: int, count: int) -> int:
        """See :class:`freight.ports.Sink`."""
        self._check()
        return self._count(self._multiplex.send_file(self, fd, offset, count))

    def _check(self) -> None:
        if self.gone:
            raise PeerGone("the client reset the stream")

    def _count(self, taken: int) -> int:
        self.taken += taken
        self._through = self._multiplex.way.taken + self._multiplex.left_bytes
        return taken

    def bound(self, mark: int | None) -> None:
        """See :class:`freight.ports.Sink`: of the connection, when it has its turn."""
        self.mark = mark
        self._multiplex.bound(mark)

    def held(self) -> int:
        """See :class:`freight.ports.Sink`: of the connection, with what waits for the kernel to take it."""
        return self._multiplex.way.held() + self._multiplex.left_bytes

    def path(self) -> tuple[float, int, int]:
        """See :class:`freight.ports.Sink`."""
        return self._multiplex.way.path()

    def acknowledged(self) -> int:
        """See :class:`freight.ports.Sink`. At least: what is under way may be another stream's."""
        way = self._multiplex.way
        through = way.acknowledged()
        known = self.taken if through >= self._through else self.taken - (way.taken - through)
        self._acknowledged = max(self._acknowledged, known)
        return self._acknowledged

    def behind(self) -> bool:
        """See :class:`freight.ports.Sink`: others were sent since the last time, and this was not, which could be."""
        seen, self._seen = self._seen, (self._multiplex.moved, self.taken)
        if not self.wants or self.taken != seen[1] or self._multiplex.moved == seen[0]:
            return False
        return self._multiplex.session.stream_window(self.stream) > 0

    def fileno(self) -> int:
        """See :class:`freight.ports.Sink`: its number in the rounds."""
        return self._number
