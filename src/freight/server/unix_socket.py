"""Connections over Unix sockets: what differs from TCP. Loaded only where a server listens on one.

1. A client has no address. Its name and key is UNIX.
2. The kernel's memory for a send queue is ``wmem_alloc`` (SIOCOUTQ, SO_MEMINFO, unix(7)). A write counts until the peer
   has read all of it, so what the peer has read is known at least, and exactly once the queue is empty.
3. A peer that closes discards what it has not read. The kernel reports that once, as ECONNRESET, and the queue is empty
   then: without the report nothing would tell a discarded answer from one that was read.
4. A close never resets: the peer can still read what is in its queue, and the kernel keeps it until then. A connection
   is therefore held, and counted by the budget, until its queue is empty (:func:`wait_unread`).
5. There is no receive window. The budget lends a whole call while it has plenty (:mod:`freight.memory.budget`).
"""

from __future__ import annotations

import asyncio
import select
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from freight.flow.send_window import SEND_BUFFER_MIN
from freight.http.client_address import UNIX
from freight.memory.costs import FAST_WINDOW
from freight.protocols import Clock
from freight.server.socket_sink import SocketSink, set_send_buffer

if TYPE_CHECKING:
    from freight.server.tls.sockets import TlsSocket

_SO_MEMINFO = 55  # socket(7): SK_MEMINFO_VARS numbers of 32 bits
_MEMINFO_BYTES = 12
_ALLOCATED_AT = 2 * 4  # SK_MEMINFO_WMEM_ALLOC
_ALLOCATED = struct.Struct("I").unpack_from
_RECEIVE_WINDOW = FAST_WINDOW + 64 * 1024  # a segment that the budget subtracts
_FIRST_POLL_SECONDS, _LAST_POLL_SECONDS = 0.05, 1.0


class UnixStream(socket.socket):
    """A connected Unix socket. ``was_reset``: its peer has closed without reading everything."""

    __slots__ = ("was_reset",)

    def __init__(self, fd: int) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM, 0, fd)
        self.was_reset = False

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Receive bytes. The kernel reports a reset once, so it is noted."""
        try:
            return super().recv(size, flags)
        except ConnectionResetError:
            self.was_reset = True
            raise


class UnixListeningSocket(socket.socket):
    """A listening Unix socket, whose clients have the address of UNIX."""

    __slots__ = ()

    def accept(self) -> tuple[socket.socket, Any]:
        """Return a connection and its address. An accepted Unix socket does not inherit its listener's send buffer."""
        fd, _ = self._accept()  # type: ignore[attr-defined]  # as socket.accept() does
        stream = UnixStream(fd)
        set_send_buffer(stream, SEND_BUFFER_MIN)
        return stream, (UNIX, 0)


class UnixQueue(SocketSink):
    """What the kernel tells about the send queue of a Unix socket."""

    __slots__ = ()

    _socket: UnixStream | TlsSocket
    _acknowledged: int

    outlives_close = True

    def shut_down(self) -> None:
        """Shut both directions down: the client gets the end of the stream after what it has not read."""
        self._socket.shutdown(socket.SHUT_RDWR)

    def queued_bytes(self) -> int:
        """Return ``wmem_alloc``, sock_diag(7)."""
        found: int = _ALLOCATED(self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO_BYTES), _ALLOCATED_AT)[
            0
        ]
        return found

    def path_info(self) -> tuple[float, int, int]:
        """Return that the client is near, and has the receive window of one whole call.

        The congestion window is 0: the budget lends less, since what the client does not read stays in our queue.
        """
        return 0.0, 0, _RECEIVE_WINDOW

    def acknowledged(self) -> int:
        """Return how many bytes the client has read, at least. After a reset the number does not change."""
        unread = self._unacknowledged()
        if unread or not self.is_reset:  # in this order: the reset is reported before the queue is discarded
            known = max(self._acknowledged, self.accepted_bytes - unread)
            self._acknowledged = known  # type: ignore[misc]  # a slot of each class that derives from this one
        return self._acknowledged

    def note_failed_read(self, error: OSError) -> None:
        """Note a reset, which the kernel reports once."""
        self._socket.was_reset |= isinstance(error, ConnectionResetError)

    @property
    def is_reset(self) -> bool:
        """Whether the client has closed without reading everything."""
        stream = self._socket
        if not stream.was_reset and stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            stream.was_reset = True
        return stream.was_reset


class UnixSink(UnixQueue):
    """The sink of a connection in clear text over a Unix socket."""

    __slots__ = ("_acknowledged",)

    def __init__(self, connected: socket.socket, clock: Clock) -> None:
        super().__init__(connected, clock)
        self._acknowledged = 0


# By the offsets of struct tcp_info: a state, tcpi_bytes_acked (unknown: as many as can be), _received (unknown: none).
_TAIL = bytes(119) + b"\xff" * 8 + bytes(8)
_OPEN, _CLOSE_WAIT = b"\x01", b"\x08"


def unix_info(connected: socket.socket, size: int) -> bytes:
    """Return the first ``size`` bytes of struct tcp_info, as far as its callers read them, for a Unix socket."""
    poll = select.poll()
    poll.register(connected, select.POLLRDHUP)
    return ((_CLOSE_WAIT if poll.poll(0) else _OPEN) + _TAIL)[:size]


async def wait_unread(sink: SocketSink, stops: Callable[[], bool]) -> None:
    """Close both directions, and wait until the client has read everything or has closed, or the server ``stops``.

    Until then the kernel keeps the send queue, and the budget must count it.
    """
    assert isinstance(sink, UnixQueue)
    sink.shut_down()
    seconds = _FIRST_POLL_SECONDS
    while sink.queued_bytes() and not stops():
        await asyncio.sleep(seconds)
        seconds = min(2 * seconds, _LAST_POLL_SECONDS)
