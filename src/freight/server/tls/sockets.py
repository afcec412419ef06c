"""TLS on a connection: the socket, and a sink that encrypts through one buffer, which all connections share.

Loaded only where TLS is configured: OpenSSL takes 4 MiB. What this module assumes of OpenSSL holds for SSL_write(3) as
Python configures it, without SSL_MODE_ENABLE_PARTIAL_WRITE (docs/decisions/014).
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from typing import Protocol

from freight.flow.send_window import SEND_BUFFER_MIN
from freight.protocols import Clock
from freight.server.socket_sink import SEND_BUFFER_MAX, SocketSink, set_send_buffer

RECORD_BYTES = 16 * 1024
"""The most bytes that a TLS record holds (RFC 8446 section 5.1)."""

_BUFFER_BYTES = 64 * 1024  # the fastest size: the bytes are still in the CPU cache when they are encrypted
_MEMORY_FACTOR = 2  # the kernel's memory for bytes is less than this times as large, unless they are few
_CALL_BYTES_MAX = 1 << 20  # per call: about 1 ms of encryption
_LITERAL_DIVISOR = 4  # a literal's record takes at most 1/4 of the send buffer: a socket is writable with a third free


class _Connection(Protocol):
    """A connection of OpenSSL's, as Python wraps it."""

    def read(self, size: int, /) -> bytes:
        """Return decrypted bytes: SSL_read(3)."""

    def write(self, data: memoryview, /) -> int:
        """Encrypt and send bytes: SSL_write(3)."""


class TlsSocket(ssl.SSLSocket):
    """A non-blocking socket that raises the errors of a plain one. ``was_reset``: one of them was a reset.

    It calls OpenSSL directly where SSLSocket's own methods would take 2 us more for each record.
    """

    was_reset = False
    _sslobj: _Connection | None

    def recv(self, size: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(size, flags) if self._sslobj is None else self._sslobj.read(size)
        except ssl.SSLWantReadError:
            raise BlockingIOError from None
        except ssl.SSLEOFError:
            return b""
        except ConnectionResetError:
            self.was_reset = True
            raise
        except ssl.SSLError as error:  # an alert, forged bytes, or a client that causes answers and does not read
            raise ConnectionResetError(str(error)) from None

    @property
    def alert_bytes(self) -> int:
        """How long an alert is on the wire, or less: RFC 8446 section 5.2, RFC 5246 section 6.2.3.3, RFC 7905."""
        cipher = self.cipher()
        if cipher is None:
            return 0
        return 24 if self.version() == "TLSv1.3" else 31 if "GCM" in cipher[0] else 23

    def send_records(self, data: memoryview, pending: int) -> tuple[int, int]:
        """Send records. Return how many bytes were sent, and how many more OpenSSL has encrypted and keeps.

        OpenSSL sends a record whole or keeps the rest. The kept bytes must be offered again before any others, as
        ``pending``. Raise ConnectionError.
        """
        if self._sslobj is None:
            raise ConnectionResetError("TLS has ended")
        send, sent = self._sslobj.write, 0
        try:
            while sent < len(data):
                record = data[sent : sent + (pending or RECORD_BYTES)]
                pending = len(record)
                send(record)
                sent += pending
                pending = 0
        except ssl.SSLWantWriteError:
            pass
        except ssl.SSLError as error:
            raise ConnectionResetError(str(error)) from None
        return sent, pending


class TlsSink(SocketSink):
    """A sink that encrypts its bytes. ``buffer`` is shared by all connections.

    ``accepted_bytes`` counts plaintext. The kernel holds ciphertext, which is 22 bytes longer per record (29 in TLS
    1.2); the overhead that the budget counts for the kernel's bookkeeping covers that. ``pending_bytes`` are those of a
    record that OpenSSL has encrypted and that must be offered next.
    """

    __slots__ = ("_acknowledged", "_buffer", "_stream", "pending_bytes")

    zero_copy = False
    protocol = "http/1.1+tls"

    def __init__(self, connected: TlsSocket, clock: Clock, buffer: memoryview) -> None:
        super().__init__(connected, clock)
        self._stream = connected
        self._buffer = buffer
        self.pending_bytes = 0
        self._acknowledged = 0

    def send(self, data: bytes | memoryview, more: bool) -> int:
        """Send one record, if the send buffer has space for all of it."""
        if not self.pending_bytes and self._send_buffer is not None:
            limit = self._send_buffer or SEND_BUFFER_MIN
            data = data[: limit // _LITERAL_DIVISOR]
            if self.queued_bytes() + len(data) > limit:
                raise BlockingIOError
        if more:
            self._cork(True)  # what follows uncorks it
        return self._send_records(memoryview(data)[: self.pending_bytes or RECORD_BYTES])

    @property
    def negotiated_http2(self) -> bool:
        """Whether client and server agreed on HTTP/2 in the handshake, by ALPN (RFC 7301)."""
        return self._stream.selected_alpn_protocol() == "h2"

    def write(self, data: bytes | memoryview, more: bool) -> int:
        """Send by record, with the send buffer enlarged as in :meth:`sendfile`.

        A record of which the kernel took a part counts as accepted, since OpenSSL keeps the rest. Other bytes may
        follow it.
        """
        limit = self._send_buffer
        queued = 0 if limit is None else self.queued_bytes()
        if limit is not None and queued >= (limit or SEND_BUFFER_MIN):
            raise BlockingIOError
        fits = limit is None or queued + _MEMORY_FACTOR * len(data) <= limit
        if self.pending_bytes:
            # OpenSSL has encrypted these bytes already. It looks at their number, and not at the buffer.
            self._send_records(self._buffer[: self.pending_bytes])
        self._cork(True)
        if not fits:
            self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_MAX)
        try:
            sent, self.pending_bytes = self._stream.send_records(memoryview(data), 0)
        finally:
            self._cork(more)
            if not fits:
                set_send_buffer(self._stream, limit or SEND_BUFFER_MIN)
        self.accepted_bytes += sent
        if data and not sent + self.pending_bytes:
            raise BlockingIOError
        return sent + self.pending_bytes

    def sendfile(self, fd: int, offset: int, count: int) -> int:
        """Send bytes of a file through the buffer. Bytes that are not accepted are read again."""
        return self._with_space(lambda: self._copy(fd, offset, max(self.pending_bytes, min(count, _CALL_BYTES_MAX))))

    def send_piece(self, data: memoryview) -> int:
        return self._with_space(lambda: self._send_records(data))

    def _with_space(self, send: Callable[[], int]) -> int:
        """Send records, which share their packets. Return how many bytes were accepted.

        The send buffer is enlarged meanwhile, because the caller has checked that there is space. Otherwise OpenSSL
        would keep the rest of a record: 16 KiB per stalled client.
        """
        self._cork(True)
        if self._send_buffer is not None:
            self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_MAX)
        try:
            return send()
        finally:
            self._cork(False)
            if self._send_buffer is not None:
                set_send_buffer(self._stream, self._send_buffer or SEND_BUFFER_MIN)

    def _copy(self, fd: int, offset: int, count: int) -> int:
        copied = 0
        while copied < count:
            space = self._buffer[: count - copied]
            size = os.preadv(fd, (space,), offset + copied)  # in the page cache, as the caller has ensured
            if not size or size < self.pending_bytes:
                break  # the file has become shorter
            try:
                copied += self._send_records(space[:size])
            except BlockingIOError:
                if not copied:
                    raise
                break
        return copied

    def _send_records(self, data: memoryview) -> int:
        accepted, self.pending_bytes = self._stream.send_records(data, self.pending_bytes)
        self.accepted_bytes += accepted
        if not accepted:
            raise BlockingIOError
        return accepted

    def _cork(self, corked: bool) -> None:
        self._stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, corked)

    def acknowledged(self) -> int:
        """Return how many bytes were acknowledged, at least: what the kernel holds is ciphertext."""
        self._acknowledged = max(self._acknowledged, super().acknowledged())
        return self._acknowledged

    def finish(self) -> None:
        """Send close_notify (RFC 8446 section 6.1), and shut the sending side down."""
        set_send_buffer(self._stream, self.queued_bytes() + SEND_BUFFER_MIN)  # space for the alert of 24 bytes
        alert_bytes, before = self._stream.alert_bytes, self._unacknowledged()
        try:
            self._stream.unwrap()
        except ssl.SSLWantReadError:
            pass  # it was sent; the peer's is not waited for
        except (OSError, ValueError):
            # The peer may have reset the connection in reply to it.
            alert_bytes = min(alert_bytes, max(0, self._unacknowledged() - before))
        # It is no part of an answer: many clients close without reading it, and their kernels do not acknowledge it.
        self.accepted_bytes += alert_bytes
        super().finish()


class TlsLayer:
    """What the TLS connections of a server share: the certificate, the buffer, and the order of handshake steps.

    ``load`` loads the certificate as it is now. A step of a handshake computes for 0.25 ms (ECDSA P-256; 4 ms for RSA
    of 4096 bits), so there is one in each step of the loop.
    """

    def __init__(self, load: Callable[[], ssl.SSLContext]) -> None:
        self._load = load
        self._context = load()
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._handshake_turn = asyncio.Lock()  # which is first come, first served

    def reload_certificate(self) -> None:
        """Load the certificate again, for new connections. On failure change nothing, and raise ConfigurationError."""
        self._context = self._load()

    def wrap(self, connected: socket.socket) -> TlsSocket:
        """Return the TLS socket of a connection before its handshake. ``connected`` is detached."""
        stream = self._context.wrap_socket(connected, server_side=True, do_handshake_on_connect=False)
        assert isinstance(stream, TlsSocket)
        return stream

    def sink(self, stream: TlsSocket, clock: Clock) -> TlsSink:
        """Return the sink of a connection."""
        if stream.family == socket.AF_UNIX:
            from freight.server.unix_tls import UnixTlsSink

            return UnixTlsSink(stream, clock, self._buffer)
        return TlsSink(stream, clock, self._buffer)

    @staticmethod
    def has_answered(stream: TlsSocket) -> bool:
        """Return whether the client's first message was complete, so that it was answered: its ciphers are known."""
        return bool(stream.shared_ciphers())

    @staticmethod
    def has_ended_unused(stream: TlsSocket) -> bool:
        """Return whether the client closed the connection and sent nothing, as a load balancer's check does."""
        try:
            return not socket.socket.recv(stream, 1, socket.MSG_PEEK)  # SSLSocket.recv() takes no flags
        except BlockingIOError:
            return False

    async def step_handshake(self, stream: TlsSocket) -> bool:
        """Continue a handshake with the bytes that have arrived. Return whether it is complete.

        Raise ConnectionAbortedError if it failed, ConnectionRefusedError if the client sent plain HTTP.
        """
        async with self._handshake_turn:
            await asyncio.sleep(0)
            try:
                stream.do_handshake()
            except ssl.SSLWantReadError:
                return False
            except ssl.SSLError as error:
                plain = error.reason == "HTTP_REQUEST"
                raise (ConnectionRefusedError if plain else ConnectionAbortedError)(error.reason) from None
            return True
