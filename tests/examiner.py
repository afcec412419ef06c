"""A client that examines a server as h2spec does: raw frames, each written by itself, and what it takes for an answer.

h2spec (github.com/summerwind/h2spec, MIT) is the conformance suite that HTTP/2's servers are held to. Where it lets any
end of the connection pass for an error, this one wants the code; and an end is a clean one, between two frames.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable
from typing import NamedTuple, Self

from hpack import Encoder

from certificates import trusting_all
from serving import PATIENCE_SECONDS, Served
from speaking import PREFACE, frame, settings

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 1
END_HEADERS = 4
PADDED = 8
PRIORITIZED = 32
WINDOW = 65535
LONG = "x" * 4000  # h2spec's --max-header-length

Fields = list[tuple[str, str]]


class Heard(NamedTuple):
    """A frame that has come."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def code(self) -> int | None:
        """The error code, where it has one."""
        if self.kind not in (GOAWAY, RST_STREAM):
            return None
        return int.from_bytes(self.payload[4:8] if self.kind == GOAWAY else self.payload[:4])

    @property
    def ends(self) -> bool:
        """It is the last of its stream."""
        return self.kind in (DATA, HEADERS) and bool(self.flags & END_STREAM)


class Closed(Exception):
    """The connection has ended as it should: between two frames, and not by a reset."""


class Examiner:
    """One connection. What it encodes goes through one table, as it must, so it has to be sent in that order."""

    def __init__(self, served: Served) -> None:
        self._served = served
        connected = socket.create_connection((served.host, served.port), PATIENCE_SECONDS)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if served.tls is not None:
            context = trusting_all()
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

    # What is said

    def block(self, fields: Fields) -> bytes:
        """A header block."""
        return bytes(self._encoder.encode([(n.encode("latin-1"), v.encode("latin-1")) for n, v in fields]))

    def fields(self, method: str = "GET", path: str = "/") -> Fields:
        """What a good request has."""
        scheme = "http" if self._served.tls is None else "https"
        authority = f"{self._served.host}:{self._served.port}"
        return [(":method", method), (":scheme", scheme), (":path", path), (":authority", authority)]

    def head(self, fields: Fields, stream: int = 1, flags: int = END_HEADERS | END_STREAM, more: bytes = b"") -> bytes:
        """A HEADERS frame, with ``more`` behind the fields of its block."""
        return frame(HEADERS, flags, stream, self.block(fields) + more)

    def get(self, *more: tuple[str, str], stream: int = 1, flags: int = END_HEADERS | END_STREAM) -> bytes:
        """A request that ends, if the flags say so."""
        return self.head([*self.fields(), *more], stream, flags)

    def post(self, *more: tuple[str, str], flags: int = END_HEADERS) -> bytes:
        """A request with content to come."""
        return self.head([*self.fields("POST"), *more], 1, flags)

    def dummies(self, count: int = 1) -> Fields:
        """Long fields."""
        return [(f"x-dummy{number}", LONG) for number in range(count)]

    def greet(self) -> None:
        """The preface and the settings, and the server's: it is there, and speaks HTTP/2."""
        self.send(PREFACE)
        self.send(settings((4, WINDOW)))
        told = acknowledged = False
        while not (told and acknowledged):
            heard = self.hear()
            if heard.kind == SETTINGS and heard.flags & ACK:
                acknowledged = True
            elif heard.kind == SETTINGS:
                told = True
                self.settings |= dict(struct.iter_unpack(">HI", heard.payload))
                self.send(frame(SETTINGS, ACK))

    def send(self, data: bytes) -> None:
        """One write, unless the server has gone already: what it said before that is read then."""
        try:
            self.socket.sendall(data)
        except OSError:
            pass

    # What is heard

    def hear(self) -> Heard:
        """The next frame. Raises Closed; any other end, and silence, is an OSError or an AssertionError."""
        head = self._take(9)
        high, low, kind, flags, stream = struct.unpack(">HBBBI", head)
        heard = Heard(kind, flags, stream, self._take(high << 8 | low, within=True))
        if kind == DATA:
            for number in (stream, 0):
                self._widen(number, len(heard.payload))
        return heard

    def _take(self, count: int, within: bool = False) -> bytes:
        while len(self._ahead) < count:
            data = self.socket.recv(1 << 16)
            if not data:
                assert not self._ahead and not within, f"it has ended within a frame: {self._ahead[:60]!r}"
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


Expectation = Callable[[Examiner], None]


def _until(what: str, good: Callable[[Heard], bool], closed: bool = False) -> Expectation:
    """Some frame is good; ``closed``: an end will do."""

    def check(examiner: Examiner) -> None:
        seen: list[str] = []
        try:
            while not good(heard := examiner.hear()):
                seen.append(f"{heard.kind}/{heard.flags:x}/{heard.stream} {heard.payload[:8].hex()}")
        except Closed:
            assert closed, f"no {what}, but an end, behind {seen[-8:]}"
        except OSError as error:
            raise AssertionError(f"no {what}, but {error!r}, behind {seen[-8:]}") from error

    return check


def _first(kind: int, what: str, good: Callable[[Heard], bool]) -> Expectation:
    """The first frame of a kind is good."""

    def judge(heard: Heard) -> bool:
        assert heard.kind != kind or good(heard), f"{heard} is no {what}"
        return heard.kind == kind

    return _until(what, judge)


def connection_error(*codes: int) -> Expectation:
    """GOAWAY with one of these codes."""
    return _until(f"GOAWAY with {codes}", lambda heard: heard.kind == GOAWAY and heard.code in codes)


def stream_error(*codes: int) -> Expectation:
    """RST_STREAM or GOAWAY with one of these codes: any fault of a stream may be taken for one of the connection."""
    return _until(f"RST_STREAM or GOAWAY with {codes}", lambda heard: heard.code in codes)


def _closed(examiner: Examiner) -> None:
    _until("end", lambda heard: False, closed=True)(examiner)


closed: Expectation = _closed
"""The connection ends."""

ended = _until("end of a stream", lambda heard: heard.ends)
answered = _first(HEADERS, "answer", lambda heard: heard.stream == 1)
content = _first(DATA, "content", lambda heard: heard.stream == 1)
one_byte = _first(DATA, "DATA of one byte", lambda heard: len(heard.payload) == 1)
acknowledged = _first(SETTINGS, "acknowledgement", lambda heard: bool(heard.flags & ACK) and not heard.payload)
preface = _until("preface of the server", lambda heard: heard.kind == SETTINGS and not heard.flags & ACK)
ECHO = b"h2spec\0\0"
echoed = _first(PING, "echo", lambda heard: bool(heard.flags & ACK) and heard.payload == ECHO)
echoed_or_closed = _until("echo", lambda heard: heard.kind == PING and heard.payload == ECHO, closed=True)
