"""TLS on a connection: the socket that speaks it, and a sink that encrypts by way of one buffer for all connections.

Loaded only where TLS is asked for: OpenSSL takes 4 MiB. What is said here of its ways is of SSL_write(3) as Python sets
it up, without SSL_MODE_ENABLE_PARTIAL_WRITE (docs/decisions/014).
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable

from freight.flow.pump import MARK_MIN
from freight.ports import Clock
from freight.server.sink import MARK_MOST, ClearSink, bound

RECORD_BYTES = 16 * 1024
"""The most that a record of TLS holds (RFC 8446 section 5.1)."""

_BUFFER_BYTES = 64 * 1024  # the fastest: what is read is still near when it is encrypted
_TURN_BYTES = 1 << 20  # about a millisecond of encrypting
_RECORDS_A_MARK = 4  # a literal's records are such parts of the mark: the socket is ready when a third of it is free


class TlsSocket(ssl.SSLSocket):
    """A non-blocking socket whose errors are those of a plain one."""

    def recv(self, size: int = 1024, flags: int = 0) -> bytes:
        """See :meth:`socket.socket.recv`."""
        try:
            return super().recv(size, flags)
        except ssl.SSLWantReadError:
            raise BlockingIOError from None
        except ssl.SSLError as error:  # an alert, forged bytes, or one who makes us answer and does not read
            raise ConnectionResetError(str(error)) from None

    def send_records(self, data: memoryview, owed: int) -> tuple[int, int]:
        """Send a record after the other: how many bytes have gone, and how many more are owed.

        A record goes whole or not at all: what the kernel did not take of one OpenSSL has ready, and it must be offered
        again, as ``owed``, before all else. Raises ConnectionError.
        """
        send, sent = super().send, 0
        try:
            while sent < len(data):
                record = data[sent : sent + (owed or RECORD_BYTES)]
                owed = len(record)
                send(record)
                sent += owed
                owed = 0
        except ssl.SSLWantWriteError:
            pass
        except ssl.SSLError as error:
            raise ConnectionResetError(str(error)) from None
        return sent, owed


class TlsSink(ClearSink):
    """A sink whose bytes are encrypted on their way; ``buffer`` is where those of all connections pass.

    ``taken`` counts plaintext, what the kernel holds is ciphertext: 22 bytes a record more (29 in TLS 1.2), which the
    overhead that is reckoned for the kernel's bookkeeping leaves room for.
    """

    __slots__ = ("_acknowledged", "_buffer", "_stream", "owed")

    zero_copy = False
    wire = "http/1.1+tls"

    def __init__(self, connected: TlsSocket, clock: Clock, buffer: memoryview) -> None:
        super().__init__(connected, clock)
        self._stream = connected
        self._buffer = buffer
        self.owed = 0  # bytes, of a record that OpenSSL has ready: the next to be offered
        self._acknowledged = 0

    def send(self, data: bytes | memoryview, more: bool) -> int:
        """See :class:`freight.ports.Sink`: a record, if there is room for all of it."""
        if not self.owed and self._mark is not None:
            mark = self._mark or MARK_MIN
            data = data[: mark // _RECORDS_A_MARK]
            if self.held() + len(data) > mark:
                raise BlockingIOError
        if more:
            self._cork(True)  # what follows uncorks it
        return self._hand_over(memoryview(data)[: self.owed or RECORD_BYTES])

    @property
    def multiplexed(self) -> bool:
        """See :class:`freight.server.sink.ClearSink`: in the handshake, by ALPN (RFC 7301)."""
        return self._stream.selected_alpn_protocol() == "h2"

    def pour(self, data: bytes | memoryview, more: bool) -> int:
        """See :class:`freight.server.sink.ClearSink`: record by record, with the mark lifted as in :meth:`sendfile`.

        OpenSSL keeps a record of which the kernel took a part, and so it counts: something else may come behind it.
        """
        mark = self._mark
        if mark is not None and self.held() >= (mark or MARK_MIN):
            raise BlockingIOError
        if self.owed:
            # It is enciphered already: what stands in the buffer now is not looked at, only how much.
            self._hand_over(self._buffer[: self.owed])
        self._cork(True)
        if mark is not None:
            self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MARK_MOST)
        try:
            sent, self.owed = self._stream.send_records(memoryview(data), 0)
        finally:
            self._cork(more)
            if mark is not None:
                bound(self._stream, mark or MARK_MIN)
        self.taken += sent
        if data and not sent + self.owed:
            raise BlockingIOError
        return sent + self.owed

    def sendfile(self, fd: int, offset: int, count: int) -> int:
        """See :class:`freight.ports.Sink`: by way of the buffer. What was not taken of it is read again.

        The records of a call share their packets. The mark is lifted for it, as whoever calls has seen that there is
        room: a record that the kernel took a part of would stay with OpenSSL, 16 KiB for each stalled client.
        """
        self._cork(True)
        if self._mark is not None:
            self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MARK_MOST)
        try:
            return self._copy(fd, offset, max(self.owed, min(count, _TURN_BYTES)))
        finally:
            self._cork(False)
            if self._mark is not None:
                bound(self._stream, self._mark or MARK_MIN)

    def _copy(self, fd: int, offset: int, count: int) -> int:
        copied = 0
        while copied < count:
            room = self._buffer[: count - copied]
            size = os.preadv(fd, (room,), offset + copied)  # in memory, as the pump has seen to
            if not size or size < self.owed:
                break  # the file has become shorter
            try:
                copied += self._hand_over(room[:size])
            except BlockingIOError:
                if not copied:
                    raise
                break
        return copied

    def _hand_over(self, data: memoryview) -> int:
        taken, self.owed = self._stream.send_records(data, self.owed)
        self.taken += taken
        if not taken:
            raise BlockingIOError
        return taken

    def _cork(self, corked: bool) -> None:
        self._stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, corked)

    def acknowledged(self) -> int:
        """See :class:`freight.ports.Sink`: at least so many, as what the kernel holds is ciphertext."""
        self._acknowledged = max(self._acknowledged, super().acknowledged())
        return self._acknowledged

    def finish(self) -> None:
        """Say that no more comes, to TLS (close_notify, RFC 8446 section 6.1) and to TCP."""
        bound(self._stream, self.held() + MARK_MIN)  # an alert has 24 bytes: there is room
        try:
            self._stream.unwrap()
        except (OSError, ValueError):
            pass  # the peer's own is not waited for
        super().finish()


class Tls:
    """What the TLS connections of a server share: the certificate, the buffer, and turns at shaking hands.

    ``contexts`` makes a context of the certificate as it is. A step of a handshake takes a quarter of a millisecond of
    computing (ECDSA P-256; RSA of 4096 bits: 4 ms), so the loop turns between any two.
    """

    def __init__(self, contexts: Callable[[], ssl.SSLContext]) -> None:
        self._contexts = contexts
        self._context = contexts()
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._turn = asyncio.Lock()  # its line is first come, first served

    def renew(self) -> None:
        """Have the certificate as it is now for who comes from now on. Raises Unservable, and changes nothing."""
        self._context = self._contexts()

    def wrap(self, connected: socket.socket) -> TlsSocket:
        """The same connection, still before its handshake; ``connected`` is detached."""
        stream = self._context.wrap_socket(connected, server_side=True, do_handshake_on_connect=False)
        assert isinstance(stream, TlsSocket)
        return stream

    def sink(self, stream: TlsSocket, clock: Clock) -> TlsSink:
        """The way out of a connection that has shaken hands."""
        return TlsSink(stream, clock, self._buffer)

    @staticmethod
    def answered(stream: TlsSocket) -> bool:
        """Whether the client's first message was whole, so that we have answered it: its ciphers are known."""
        return bool(stream.shared_ciphers())

    async def step(self, stream: TlsSocket) -> bool:
        """Go on with a handshake as far as bytes have come; whether it is done.

        Raises ConnectionAbortedError when it failed, ConnectionRefusedError when it was plain HTTP that came.
        """
        async with self._turn:
            await asyncio.sleep(0)
            try:
                stream.do_handshake()
            except ssl.SSLWantReadError:
                return False
            except ssl.SSLError as error:
                plain = error.reason == "HTTP_REQUEST"
                raise (ConnectionRefusedError if plain else ConnectionAbortedError)(error.reason) from None
            return True
