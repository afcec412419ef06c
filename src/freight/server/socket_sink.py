"""The sink of a connection of HTTP/1 in clear text: frame the answer, send bytes to the socket, count them."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys
from array import array
from collections.abc import Iterator

from freight.http import dates
from freight.model import Plan, Span
from freight.protocols import Clock, SendAccount
from freight.server.tcp_info import MEMINFO, OUTQ, is_blind, note_refusal, tcp_info
from freight.wire.http1 import response

_SO_MEMINFO = 55  # socket(7): SK_MEMINFO_VARS numbers of 32 bits
_MEMINFO_BYTES = 36
_QUEUED = struct.Struct("I").unpack_from
_QUEUED_AT = 5 * 4  # SK_MEMINFO_WMEM_QUEUED
_SO_BUF_LOCK = 72
_PATH = struct.Struct("=16xI60xI64xI76xI").unpack_from  # of struct tcp_info: snd_mss, snd_cwnd, min_rtt in us, snd_wnd
_PATH_STOP = 232
_DEFAULT_SEGMENT = 536  # bytes: RFC 9293 section 3.7.1. Some sandboxes report none
_UNKNOWN = 0xFFFFFFFF  # no acknowledgement has been timed yet
_SEGMENT_OVERHEAD = 256  # bytes of kernel memory for a segment besides its data
FIN_BYTES = 1
"""What a FIN counts in the send queue, in bytes."""

SEND_BUFFER_MAX = 1 << 30
"""A send buffer beyond what any host allows, in bytes."""

_SIOCOUTQ = 0x5411  # bytes of the send queue that the peer has not acknowledged: tcp(7)
_CLOSED = b"\x07"  # TCP_CLOSE, the first field of struct tcp_info
_MSG_MORE = socket.MSG_MORE if sys.platform == "linux" else 0

# Safe to share: the loop is one thread, and each result is read directly after the call that writes it.
_IOCTL_RESULT = array("i", [0])


class SocketSink:
    """The sink of a connection, which its exchanges use one after another (:class:`freight.protocols.Sink`).

    ``accepted_bytes`` counts all exchanges. The others are about the present one: ``status`` is 0 until its head is
    made, ``reject_code`` says why it got no slot, ``promised`` is the length of its content, ``body_start`` is the
    value of ``accepted_bytes`` where its content starts, and ``will_close`` says that the connection ends after it.
    ``user`` and ``request_id`` are as in :class:`freight.server.context.ExchangeState`.
    """

    __slots__ = (
        "_clock",
        "_keep_alive",
        "_send_buffer",
        "_socket",
        "_version",
        "accepted_bytes",
        "account",
        "body_start",
        "promised",
        "reject_code",
        "request_id",
        "status",
        "user",
        "will_close",
    )

    zero_copy = True
    protocol = "http/1.1"
    outlives_close = False
    """Whether the kernel keeps the send queue after a close that is to reset the connection."""

    pending_bytes = 0
    """Bytes that :meth:`write` has accepted and the kernel has not taken yet."""

    def __init__(self, connected: socket.socket, clock: Clock) -> None:
        self._socket = connected
        self._clock = clock
        self._send_buffer: int | None = 0  # 0: as inherited from the listening socket
        self.account = SendAccount()
        self.accepted_bytes = 0
        self._version = (1, 1)
        self._keep_alive = False
        self.status = 0
        self.reject_code = self.user = self.request_id = ""
        self.promised: int | None = 0
        self.body_start = 0
        self.will_close = True

    @property
    def negotiated_http2(self) -> bool:
        """Whether client and server agreed on HTTP/2 before the first byte of a request."""
        return False

    def start_exchange(self, version: tuple[int, int], keep_alive: bool) -> None:
        """Start the next exchange, by what its request says about versions and connections."""
        self._version, self._keep_alive = version, keep_alive
        self.status, self.promised, self.body_start, self.will_close = 0, 0, self.accepted_bytes, True
        self.reject_code = self.user = ""

    def start_repeat(
        self, status: int, head_format: bytes, version: tuple[int, int], now: float, first: int, length: int
    ) -> bytes:
        """Start an exchange whose answer is known, and return its head (:mod:`freight.wire.http1.repeats`)."""
        self._version, self._keep_alive, self.will_close = version, True, False
        self.reject_code = self.user = self.request_id = ""
        date = dates.format(int(now)).encode()
        values = (date, first, first + length - 1, length) if status == 206 else (date,)
        head = head_format % values
        self.status, self.promised, self.body_start = status, length, self.accepted_bytes + len(head)
        return head

    def refuse_next(self) -> None:
        """Make the present exchange the last of the connection."""
        self._keep_alive = False

    def segments(self, plan: Plan, size: int | None) -> Iterator[bytes | Span]:
        if self.request_id:
            from freight.http.request_id import with_request_id  # here, because few servers send it

            plan = with_request_id(plan, self.request_id)
        date = dates.format(int(self._clock.now()))
        head = response.head(plan, date=date, version=self._version, keep_alive=self._keep_alive)
        self.status, self.reject_code, self.user = plan.status, plan.reject_code, plan.user
        self.promised = plan.length if plan.content else 0
        self.body_start = self.accepted_bytes + len(head)
        self.will_close = response.will_close(plan, self._version, self._keep_alive)
        return response.framed(head, plan, size, version=self._version)

    def encode_chunk(self, data: bytes) -> bytes:
        """Return a chunk, or the data as it is for HTTP/1.0, which has no chunks."""
        return response.encode_chunk(data) if self._version >= (1, 1) else data

    def send(self, data: bytes | memoryview, more: bool) -> int:
        accepted = self._socket.send(data, _MSG_MORE if more else 0)
        self.accepted_bytes += accepted
        return accepted

    def write(self, data: bytes | memoryview, more: bool) -> int:
        """Send the ``pending_bytes``, then ``data``. Return how many bytes of ``data`` were accepted.

        The caller must not offer those again. Raise BlockingIOError when none is accepted.
        """
        return self.send(data, more)

    def sendfile(self, fd: int, offset: int, count: int) -> int:
        """Send bytes of a file without a copy, by sendfile(2)."""
        accepted = os.sendfile(self._socket.fileno(), fd, offset, count)
        self.accepted_bytes += accepted
        return accepted

    def send_piece(self, data: memoryview) -> int:
        return self.send(data, False)

    def set_send_buffer(self, limit: int | None) -> None:
        """Limit the kernel's memory for the connection by SO_SNDBUF, socket(7)."""
        if limit != self._send_buffer:
            self._send_buffer = limit
            set_send_buffer(self._socket, limit)

    def queued_bytes(self) -> int:
        """Return ``wmem_queued``, sock_diag(7), or an estimate: see :mod:`freight.server.tcp_info`."""
        try:
            found: int = _QUEUED(self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO_BYTES), _QUEUED_AT)[0]
        except OSError as error:
            note_refusal(MEMINFO, error)
            return self._unacknowledged() * 5 // 4
        return found

    def path_info(self) -> tuple[float, int, int]:
        """Return ``tcpi_min_rtt``, twice ``tcpi_snd_cwnd``, and ``tcpi_snd_wnd``, tcp(7).

        It is the least round trip because ``tcpi_rtt`` includes the time that a busy client takes to acknowledge,
        however near it is. Linux before 5.4 does not report the receive window: a huge one is returned. Where the
        kernel tells nothing, the windows are 0.
        """
        found = tcp_info(self._socket, _PATH_STOP)
        if not found or is_blind():
            return 0.0, 0, 0
        if len(found) < _PATH_STOP:
            found = found.ljust(_PATH_STOP, b"\x7f")
        segment, segments, microseconds, window = _PATH(found)
        segment = segment or _DEFAULT_SEGMENT
        each = segment + _SEGMENT_OVERHEAD
        return (0.0 if microseconds == _UNKNOWN else microseconds / 1e6), 2 * segments * each, window * each // segment

    def acknowledged(self) -> int:
        return self.accepted_bytes - self._unacknowledged()

    def _unacknowledged(self) -> int:
        """Return how many bytes of the send queue the client has not acknowledged; 0 where the kernel does not tell."""
        try:
            fcntl.ioctl(self._socket.fileno(), _SIOCOUTQ, _IOCTL_RESULT)
        except OSError as error:
            note_refusal(OUTQ, error)
            return 0
        return _IOCTL_RESULT[0]

    @property
    def is_reset(self) -> bool:
        """Whether the connection has ended, by a reset of the peer or because it does not answer."""
        return tcp_info(self._socket, 1) == _CLOSED

    def yielded_to_others(self) -> bool:
        return False

    def note_failed_read(self, error: OSError) -> None:
        """Note why a read failed outside of the reader. TCP needs no note: the socket's state tells of a reset."""

    def finish(self) -> None:
        """Shut the sending side down. Our FIN counts as a byte until it is acknowledged: tcp(7)."""
        self._socket.shutdown(socket.SHUT_WR)
        self.accepted_bytes += FIN_BYTES

    def fileno(self) -> int:
        return self._socket.fileno()


def set_send_buffer(stream: socket.socket, limit: int | None) -> None:
    """Limit the kernel's send memory for a TCP socket to ``limit`` bytes. None: the kernel decides.

    The sockets that a listening socket accepts inherit the limit. The kernel doubles the value of SO_SNDBUF and caps it
    at ``net.core.wmem_max``. SO_BUF_LOCK (since Linux 5.16) removes a limit; before, the largest limit is set instead.
    """
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_MAX if limit is None else limit // 2)
    if limit is None:
        try:
            stream.setsockopt(socket.SOL_SOCKET, _SO_BUF_LOCK, 0)
        except OSError:
            pass
