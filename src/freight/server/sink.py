"""The way out of one connection, HTTP/1 in clear text: framing from the wire, bytes to the socket, counts of both."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys
from collections.abc import Iterator

from freight.core import dates
from freight.model import Plan, Span
from freight.ports import Clock
from freight.wire import http1

_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
_NO_BOUND = (1 << 31) - 1  # more than any send queue
_SIOCOUTQ = 0x5411  # bytes of the send queue that the peer has not acknowledged: tcp(7)
_SIOCOUTQNSD = 0x894B  # bytes of it that have not been sent
_INT = struct.Struct("i")
_NONE = _INT.pack(0)
_MSG_MORE = socket.MSG_MORE if sys.platform == "linux" else 0


class ClearSink:
    """One connection's sink, used by its exchanges one after another (:class:`freight.ports.Sink`)."""

    __slots__ = (
        "_clock",
        "_keep_alive",
        "_socket",
        "_version",
        "_window",
        "body_at",
        "closes",
        "promised",
        "status",
        "taken",
    )

    def __init__(self, connected: socket.socket, clock: Clock) -> None:
        self._socket = connected
        self._clock = clock
        self._window: int | None = 0  # as inherited from the listening socket
        self.taken = 0  # bytes the kernel took, of all exchanges
        self._version = (1, 1)
        self._keep_alive = False
        self.status = 0  # of the present exchange; 0: its head has not been made
        self.promised: int | None = 0  # its content's length
        self.body_at = 0  # what ``taken`` is where its content begins
        self.closes = True  # whether the connection ends behind it

    def begin(self, version: tuple[int, int], keep_alive: bool) -> None:
        """The next exchange: what the request said about versions and connections."""
        self._version, self._keep_alive = version, keep_alive
        self.status, self.promised, self.body_at, self.closes = 0, 0, self.taken, True

    def refuse_next(self) -> None:
        """Let this exchange be the connection's last."""
        self._keep_alive = False

    def segments(self, plan: Plan, size: int | None) -> Iterator[bytes | Span]:
        """See :class:`freight.ports.Sink`."""
        date = dates.format(int(self._clock.now()))
        head = http1.head(plan, date=date, version=self._version, keep_alive=self._keep_alive)
        self.status = plan.status
        self.promised = plan.length if plan.content else 0
        self.body_at = self.taken + len(head)
        self.closes = http1.will_close(plan, self._version, self._keep_alive)
        return http1.framed(head, plan, size, version=self._version)

    def piece(self, data: bytes) -> bytes:
        """See :class:`freight.ports.Sink`: a chunk, where the version has chunks."""
        return http1.encode_chunk(data) if self._version >= (1, 1) else data

    def send(self, data: bytes, more: bool) -> int:
        """See :class:`freight.ports.Sink`."""
        taken = self._socket.send(data, _MSG_MORE if more else 0)
        self.taken += taken
        return taken

    def sendfile(self, fd: int, offset: int, count: int) -> int:
        """See :class:`freight.ports.Sink`: zero-copy, by sendfile(2)."""
        taken = os.sendfile(self._socket.fileno(), fd, offset, count)
        self.taken += taken
        return taken

    def bound(self, window: int | None) -> None:
        """See :class:`freight.ports.Sink`: by TCP_NOTSENT_LOWAT, tcp(7)."""
        if window != self._window:
            self._window = window
            bound(self._socket, window)

    def acknowledged(self) -> int:
        """See :class:`freight.ports.Sink`."""
        return self.taken - _count(self._socket, _SIOCOUTQ)

    def unsent(self) -> int:
        """See :class:`freight.ports.Sink`."""
        return _count(self._socket, _SIOCOUTQNSD)

    def fileno(self) -> int:
        """See :class:`freight.ports.Sink`."""
        return self._socket.fileno()


def bound(stream: socket.socket, window: int | None) -> None:
    """Let the kernel hold at most ``window`` unsent bytes of a TCP socket, and of all that a listening one accepts."""
    stream.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, _NO_BOUND if window is None else window)


def _count(stream: socket.socket, question: int) -> int:
    return int(_INT.unpack(fcntl.ioctl(stream.fileno(), question, _NONE))[0])
