"""The way out of one connection, HTTP/1 in clear text: framing from the wire, bytes to the socket, counts of both."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys
from array import array
from collections.abc import Iterator

from freight.account import Account
from freight.core import dates
from freight.model import Plan, Span
from freight.ports import Clock
from freight.wire import http1

_SO_MEMINFO = 55  # socket(7): SK_MEMINFO_VARS numbers of 32 bits
_MEMINFO_BYTES = 36
_QUEUED = struct.Struct("I").unpack_from
_QUEUED_AT = 5 * 4  # SK_MEMINFO_WMEM_QUEUED
_SO_BUF_LOCK = 72
_PATH = struct.Struct("=16xI60xI64xI76xI").unpack_from  # of struct tcp_info: snd_mss, snd_cwnd, min_rtt in us, snd_wnd
_PATH_STOP = 232
_UNKNOWN = 0xFFFFFFFF  # no acknowledgement has been timed yet
_SEGMENT_OVERHEAD = 256  # what the kernel keeps for a segment besides its bytes
MARK_MOST = 1 << 30
"""A mark beyond all that a host allows, in bytes."""

_SIOCOUTQ = 0x5411  # bytes of the send queue that the peer has not acknowledged: tcp(7)
_ANSWER = array("i", [0])  # ioctl's; the loop is one thread
_MSG_MORE = socket.MSG_MORE if sys.platform == "linux" else 0


class ClearSink:
    """One connection's sink, used by its exchanges one after another (:class:`freight.ports.Sink`)."""

    __slots__ = (
        "_clock",
        "_keep_alive",
        "_mark",
        "_socket",
        "_version",
        "account",
        "body_at",
        "closes",
        "promised",
        "refused",
        "status",
        "taken",
    )

    zero_copy = True
    wire = "http/1.1"
    owed = 0
    """Bytes handed over by :meth:`pour` that the kernel has still to take."""

    def __init__(self, connected: socket.socket, clock: Clock) -> None:
        self._socket = connected
        self._clock = clock
        self._mark: int | None = 0  # as inherited from the listening socket
        self.account = Account()
        self.taken = 0  # bytes the kernel took, of all exchanges
        self._version = (1, 1)
        self._keep_alive = False
        self.status = 0  # of the present exchange; 0: its head has not been made
        self.refused = ""  # why it got no slot
        self.promised: int | None = 0  # its content's length
        self.body_at = 0  # what ``taken`` is where its content begins
        self.closes = True  # whether the connection ends behind it

    @property
    def multiplexed(self) -> bool:
        """Whether HTTP/2 has been agreed upon before the first byte."""
        return False

    def begin(self, version: tuple[int, int], keep_alive: bool) -> None:
        """The next exchange: what the request said about versions and connections."""
        self._version, self._keep_alive = version, keep_alive
        self.status, self.refused, self.promised, self.body_at, self.closes = 0, "", 0, self.taken, True

    def refuse_next(self) -> None:
        """Let this exchange be the connection's last."""
        self._keep_alive = False

    def segments(self, plan: Plan, size: int | None) -> Iterator[bytes | Span]:
        """See :class:`freight.ports.Sink`."""
        date = dates.format(int(self._clock.now()))
        head = http1.head(plan, date=date, version=self._version, keep_alive=self._keep_alive)
        self.status, self.refused = plan.status, plan.refused
        self.promised = plan.length if plan.content else 0
        self.body_at = self.taken + len(head)
        self.closes = http1.will_close(plan, self._version, self._keep_alive)
        return http1.framed(head, plan, size, version=self._version)

    def piece(self, data: bytes) -> bytes:
        """See :class:`freight.ports.Sink`: a chunk, where the version has chunks."""
        return http1.encode_chunk(data) if self._version >= (1, 1) else data

    def send(self, data: bytes | memoryview, more: bool) -> int:
        """See :class:`freight.ports.Sink`."""
        taken = self._socket.send(data, _MSG_MORE if more else 0)
        self.taken += taken
        return taken

    def pour(self, data: bytes | memoryview, more: bool) -> int:
        """Send as much as there is room for, and then what is ``owed``; how many bytes are not to be offered again.

        Raises BlockingIOError for none.
        """
        return self.send(data, more)

    def sendfile(self, fd: int, offset: int, count: int) -> int:
        """See :class:`freight.ports.Sink`: zero-copy, by sendfile(2)."""
        taken = os.sendfile(self._socket.fileno(), fd, offset, count)
        self.taken += taken
        return taken

    def bound(self, mark: int | None) -> None:
        """See :class:`freight.ports.Sink`: by SO_SNDBUF, socket(7)."""
        if mark != self._mark:
            self._mark = mark
            bound(self._socket, mark)

    def held(self) -> int:
        """See :class:`freight.ports.Sink`: ``wmem_queued``, sock_diag(7)."""
        found: int = _QUEUED(self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO_BYTES), _QUEUED_AT)[0]
        return found

    def path(self) -> tuple[float, int, int]:
        """See :class:`freight.ports.Sink`: ``tcpi_min_rtt``, twice ``tcpi_snd_cwnd``, and ``tcpi_snd_wnd``; tcp(7).

        The least round trip, as ``tcpi_rtt`` has the time in it that a busy client takes to acknowledge, however near
        it is. Before Linux 5.4 the room is not told, and there is plenty.
        """
        found = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _PATH_STOP)
        if len(found) < _PATH_STOP:
            found = found.ljust(_PATH_STOP, b"\x7f")
        segment, segments, microseconds, room = _PATH(found)
        each = segment + _SEGMENT_OVERHEAD
        return (0.0 if microseconds == _UNKNOWN else microseconds / 1e6), 2 * segments * each, room * each // segment

    def acknowledged(self) -> int:
        """See :class:`freight.ports.Sink`."""
        fcntl.ioctl(self._socket.fileno(), _SIOCOUTQ, _ANSWER)
        return self.taken - _ANSWER[0]

    def behind(self) -> bool:
        """See :class:`freight.ports.Sink`: it is alone."""
        return False

    def finish(self) -> None:
        """Say that no more comes."""
        self._socket.shutdown(socket.SHUT_WR)

    def fileno(self) -> int:
        """See :class:`freight.ports.Sink`."""
        return self._socket.fileno()


def bound(stream: socket.socket, mark: int | None) -> None:
    """Let the kernel's send memory of a TCP socket, and of all that a listening one accepts, count as full at ``mark``.

    The kernel doubles what SO_SNDBUF is given, and takes ``net.core.wmem_max`` at most; SO_BUF_LOCK (since Linux 5.16)
    lets it decide again. Without that a bounded socket stays at the most there is.
    """
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MARK_MOST if mark is None else mark // 2)
    if mark is None:
        try:
            stream.setsockopt(socket.SOL_SOCKET, _SO_BUF_LOCK, 0)
        except OSError:
            pass
