"""A client that tests a server as h2spec does: raw frames, one write each, and checks of the response.

h2spec (github.com/summerwind/h2spec, MIT) is the conformance suite for HTTP/2 servers. Where it accepts any end of the
connection as an error, this client requires the error code, and a clean end between two frames.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable
from typing import NamedTuple, Self

from hpack import Encoder

from support.certificates import unverified_context
from support.raw_h2 import PREFACE, frame, settings
from support.servers import TIMEOUT_SECONDS, ServerProcess

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 1
END_HEADERS = 4
PADDED = 8
PRIORITIZED = 32
WINDOW = 65535
LONG = "x" * 4000  # h2spec's --max-header-length

Fields = list[tuple[str, str]]


class ReceivedFrame(NamedTuple):
    """A received frame."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def code(self) -> int | None:
        """The error code of GOAWAY or RST_STREAM, else None."""
        if self.kind not in (GOAWAY, RST_STREAM):
            return None
        return int.from_bytes(self.payload[4:8] if self.kind == GOAWAY else self.payload[:4])

    @property
    def ends(self) -> bool:
        """Whether it has END_STREAM."""
        return self.kind in (DATA, HEADERS) and bool(self.flags & END_STREAM)


class Closed(Exception):
    """The connection ended cleanly: between two frames, and not by a TCP reset."""


class FrameClient:
    """One connection. Blocks share one HPACK table, so the caller must send them in the order of encoding."""

    def __init__(self, served: ServerProcess) -> None:
        self._served = served
        connected = socket.create_connection((served.host, served.port), TIMEOUT_SECONDS)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if served.tls is not None:
            context = unverified_context()
            context.set_alpn_protocols(["h2"])
            connected = context.wrap_socket(connected, server_hostname="localhost", suppress_ragged_eofs=False)
            assert isinstance(connected, ssl.SSLSocket) and connected.selected_alpn_protocol() == "h2"
        self.socket = connected
        self.settings: dict[int, int] = {}  # the server's
        self._encoder = Encoder()
        self._ahead = b""
        self._windows: dict[int, int] = {0: WINDOW}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    # Send

    def block(self, fields: Fields) -> bytes:
        """Return a field block."""
        return bytes(self._encoder.encode([(n.encode("latin-1"), v.encode("latin-1")) for n, v in fields]))

    def fields(self, method: str = "GET", path: str = "/") -> Fields:
        """Return the fields of a valid request."""
        scheme = "http" if self._served.tls is None else "https"
        authority = f"{self._served.host}:{self._served.port}"
        return [(":method", method), (":scheme", scheme), (":path", path), (":authority", authority)]

    def head(self, fields: Fields, stream: int = 1, flags: int = END_HEADERS | END_STREAM, more: bytes = b"") -> bytes:
        """Return a HEADERS frame, with bytes ``more`` after its fields."""
        return frame(HEADERS, flags, stream, self.block(fields) + more)

    def get(self, *more: tuple[str, str], stream: int = 1, flags: int = END_HEADERS | END_STREAM) -> bytes:
        """Return a GET request."""
        return self.head([*self.fields(), *more], stream, flags)

    def post(self, *more: tuple[str, str], flags: int = END_HEADERS) -> bytes:
        """Return the head of a POST request."""
        return self.head([*self.fields("POST"), *more], 1, flags)

    def dummies(self, count: int = 1) -> Fields:
        """Return ``count`` fields of 4,000 characters."""
        return [(f"x-dummy{number}", LONG) for number in range(count)]

    def greet(self) -> None:
        """Exchange prefaces and SETTINGS with the server."""
        self.send(PREFACE)
        self.send(settings((4, WINDOW)))
        has_settings = has_acknowledgement = False
        while not (has_settings and has_acknowledgement):
            received = self.receive()
            if received.kind == SETTINGS and received.flags & ACK:
                has_acknowledgement = True
            elif received.kind == SETTINGS:
                has_settings = True
                self.settings |= dict(struct.iter_unpack(">HI", received.payload))
                self.send(frame(SETTINGS, ACK))

    def send(self, data: bytes) -> None:
        """Write once. Ignore a closed connection, so that what the server sent before is still read."""
        try:
            self.socket.sendall(data)
        except OSError:
            pass

    # Receive

    def receive(self) -> ReceivedFrame:
        """Return the next frame. Raise Closed; OSError or AssertionError for an unclean end or a timeout."""
        head = self._take(9)
        high, low, kind, flags, stream = struct.unpack(">HBBBI", head)
        received = ReceivedFrame(kind, flags, stream, self._take(high << 8 | low, within=True))
        if kind == DATA:
            for number in (stream, 0):
                self._widen(number, len(received.payload))
        return received

    def _take(self, count: int, within: bool = False) -> bytes:
        while len(self._ahead) < count:
            data = self.socket.recv(1 << 16)
            if not data:
                assert not self._ahead and not within, f"the connection ended within a frame: {self._ahead[:60]!r}"
                raise Closed
            self._ahead += data
        taken, self._ahead = self._ahead[:count], self._ahead[count:]
        return taken

    def _widen(self, stream: int, count: int) -> None:
        left = self._windows.get(stream, WINDOW) - count
        if left <= 0:
            self.send(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", WINDOW - left)))
            left = WINDOW
        self._windows[stream] = left


Expectation = Callable[[FrameClient], None]


def _until(what: str, good: Callable[[ReceivedFrame], bool], closed: bool = False) -> Expectation:
    """Expect a frame for which ``good`` holds; ``closed``: or the end of the connection."""

    def check(client: FrameClient) -> None:
        seen: list[str] = []
        try:
            while not good(received := client.receive()):
                seen.append(f"{received.kind}/{received.flags:x}/{received.stream} {received.payload[:8].hex()}")
        except Closed:
            assert closed, f"the connection ended without {what}, after {seen[-8:]}"
        except OSError as error:
            raise AssertionError(f"no {what}, but {error!r}, after {seen[-8:]}") from error

    return check


def _first(kind: int, what: str, good: Callable[[ReceivedFrame], bool]) -> Expectation:
    """Expect that ``good`` holds for the first frame of a kind."""

    def judge(received: ReceivedFrame) -> bool:
        assert received.kind != kind or good(received), f"{received} is no {what}"
        return received.kind == kind

    return _until(what, judge)


def connection_error(*codes: int) -> Expectation:
    """Expect GOAWAY with one of these codes."""
    return _until(f"GOAWAY with {codes}", lambda received: received.kind == GOAWAY and received.code in codes)


def stream_error(*codes: int) -> Expectation:
    """Expect RST_STREAM or GOAWAY with one of these codes: a stream error may become a connection error."""
    return _until(f"RST_STREAM or GOAWAY with {codes}", lambda received: received.code in codes)


def _closed(client: FrameClient) -> None:
    _until("end", lambda received: False, closed=True)(client)


closed: Expectation = _closed
"""Expect the end of the connection."""

ended = _until("end of a stream", lambda received: received.ends)
answered = _first(HEADERS, "answer", lambda received: received.stream == 1)
content = _first(DATA, "content", lambda received: received.stream == 1)
one_byte = _first(DATA, "DATA of one byte", lambda received: len(received.payload) == 1)
acknowledged = _first(SETTINGS, "acknowledgement", lambda received: bool(received.flags & ACK) and not received.payload)
preface = _until("preface of the server", lambda received: received.kind == SETTINGS and not received.flags & ACK)
ECHO = b"h2spec\0\0"
echoed = _first(PING, "echo", lambda received: bool(received.flags & ACK) and received.payload == ECHO)
echoed_or_closed = _until("echo", lambda received: received.kind == PING and received.payload == ECHO, closed=True)
