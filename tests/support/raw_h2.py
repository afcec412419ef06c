"""An HTTP/2 client for tests, built on h2: it sends exactly the given frames, and grows windows only on request."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes
from hyperframe.frame import Frame, GoAwayFrame, RstStreamFrame

from freight.wire import events as said
from freight.wire.http2.session import Session
from support.servers import TIMEOUT_SECONDS, IncompleteResponse, Response, ServerProcess

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WIDE = 2**30  # a window that never limits


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """Return a frame, well-formed or not."""
    return struct.pack(">HBBBI", len(payload) >> 8, len(payload) & 0xFF, kind, flags, stream) + payload


def settings(*pairs: tuple[int, int]) -> bytes:
    """Return a SETTINGS frame."""
    return frame(4, payload=b"".join(struct.pack(">HI", *pair) for pair in pairs))


def feed(session: Session, data: bytes) -> list[said.Event]:
    """Feed bytes to a session, process all its frames, and return the events."""
    found: list[said.Event] = []
    session.feed(data)
    while session.next_frame_cost() is not None:
        found += session.process_frame()
    return found


class Reset(Exception):
    """The server reset a stream with error ``code``."""

    def __init__(self, code: int) -> None:
        super().__init__(f"reset, with code {code}")
        self.code = int(code)


@dataclass
class Received:
    """The response on one stream."""

    status: int = 0
    fields: dict[str, str] = field(default_factory=dict)
    content: bytearray = field(default_factory=bytearray)
    ended: bool = False
    reset: int | None = None


class Http2Client:
    """One connection.

    ``window``: the flow-control window of each stream and of the connection. ``frame_bytes``: the largest frame that
    the client accepts. ``receive_bytes``: SO_RCVBUF. ``tls``: a context for TLS. ``made``: a socket to use.
    """

    def __init__(
        self,
        served: ServerProcess,
        window: int = WIDE,
        *,
        stream_window: int | None = None,
        frame_bytes: int = 16384,
        receive_bytes: int | None = None,
        grows: bool = True,
        tls: ssl.SSLContext | None = None,
        made: socket.socket | None = None,
    ) -> None:
        self.socket = made or socket.socket(socket.AF_INET6 if ":" in served.host else socket.AF_INET)
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(TIMEOUT_SECONDS)
        if made is None:
            self.socket.connect((served.host, served.port))
        if tls is not None:
            tls.set_alpn_protocols(["h2"])
            self.socket = tls.wrap_socket(self.socket)
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="latin-1"))
        self.h2.local_settings.update({SettingCodes.ENABLE_PUSH: 0, SettingCodes.MAX_FRAME_SIZE: frame_bytes})
        self.h2.local_settings.acknowledge()
        self.h2.max_inbound_frame_size = frame_bytes
        self.h2.initiate_connection()
        self.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window if stream_window is None else stream_window})
        if window > 65535:
            self.h2.increment_flow_control_window(window - 65535)
        self._grows = grows
        self.received: dict[int, Received] = {}
        self.order: list[int] = []  # the stream of each DATA frame
        self.goaways: list[tuple[int, int]] = []  # code, last stream
        self.pings = 0
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def flush(self) -> None:
        """Send h2's frames."""
        self.socket.sendall(self.h2.data_to_send())

    def send(self, data: bytes) -> None:
        """Send bytes verbatim."""
        self.socket.sendall(data)

    def request(self, path: str = "/", *fields: tuple[str, str], method: str = "GET", ends: bool = True) -> int:
        """Send a request and return its stream."""
        stream = self.h2.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "http"), (":authority", "x"), (":path", path), *fields]
        self.h2.send_headers(stream, head, end_stream=ends)
        self.received[stream] = Received()
        self.flush()
        return stream

    def increase_window(self, count: int, stream: int | None = None) -> None:
        """Increase a window by ``count`` bytes."""
        self.h2.increment_flow_control_window(count, stream)
        self.flush()

    def response(self, stream: int) -> Response:
        """Return a complete response. Raise Reset or Cut."""
        found = self.received[stream]
        while not found.ended:
            if found.reset is not None:
                raise Reset(found.reset)
            self.receive()
        return Response(found.status, found.fields, bytes(found.content))

    def get(self, path: str = "/", *fields: tuple[str, str], method: str = "GET") -> Response:
        """Send a request and return its response."""
        return self.response(self.request(path, *fields, method=method))

    def wait(self, condition: Callable[[], object]) -> None:
        """Read until ``condition`` holds. Raise Cut at the end of the connection."""
        while not condition():
            self.receive()

    def receive(self) -> None:
        """Receive and process some bytes."""
        data = self.socket.recv(1 << 16)
        if not data:
            raise IncompleteResponse(f"the connection has ended; {self.goaways}")
        for event in self._without_goaway(data):
            found = self.received.get(getattr(event, "stream_id", 0) or 0, Received())
            match event:
                case events.ResponseReceived():
                    pairs = dict(event.headers)
                    found.status, found.fields = int(pairs.pop(":status")), pairs
                case events.DataReceived():
                    found.content += event.data
                    self.order.append(event.stream_id)
                    self._grow(event)
                case events.StreamEnded():
                    found.ended = True
                case events.StreamReset():
                    found.reset = int(event.error_code)
                case events.PingAckReceived():
                    self.pings += 1
        self.flush()

    def _grow(self, event: events.DataReceived) -> None:
        if self._grows and event.flow_controlled_length:
            self.h2.increment_flow_control_window(event.flow_controlled_length)
            if event.stream_id in self.h2.streams and self.h2.streams[event.stream_id].open:
                self.h2.increment_flow_control_window(event.flow_controlled_length, event.stream_id)

    def _without_goaway(self, data: bytes) -> list[events.Event]:
        """Filter GOAWAY frames: h2 would end the connection at one, but lower streams continue."""
        self._ahead = getattr(self, "_ahead", b"") + data
        rest = b""
        while len(self._ahead) >= 9:
            made, length = Frame.parse_frame_header(memoryview(self._ahead[:9]))
            if len(self._ahead) < 9 + length:
                break
            whole, self._ahead = self._ahead[: 9 + length], self._ahead[9 + length :]
            if isinstance(made, GoAwayFrame):
                made.parse_body(memoryview(whole[9:]))
                self.goaways.append((made.error_code, made.last_stream_id))
            else:
                rest += whole
        return self.h2.receive_data(rest)


def exchange_frames(served: ServerProcess, *data: bytes) -> list[Frame]:
    """Send ``data`` and a PING, and return all frames up to its acknowledgement or the end."""
    with socket.create_connection((served.host, served.port), TIMEOUT_SECONDS) as connected:
        try:
            for part in data:
                connected.sendall(part)
            connected.sendall(frame(6, payload=b"barrier!"))
        except OSError:
            pass  # the server has closed the connection
        found: list[Frame] = []
        ahead = b""
        while True:
            try:
                more = connected.recv(1 << 16)
            except ConnectionResetError:
                return found
            ahead += more
            while len(ahead) >= 9:
                made, length = Frame.parse_frame_header(memoryview(ahead[:9]))
                if len(ahead) < 9 + length:
                    break
                made.parse_body(memoryview(ahead[9 : 9 + length]))
                ahead = ahead[9 + length :]
                found.append(made)
                if getattr(made, "opaque_data", b"") == b"barrier!":
                    return found
            if not more:
                return found


def send_until_closed(served: ServerProcess, before: bytes, parts: Iterable[bytes]) -> list[Frame]:
    """Send ``before`` and then part after part until the server ends the connection. Return the frames received."""
    frames, ahead = iter(parts), bytearray()
    found: list[Frame] = []
    with socket.create_connection((served.host, served.port), TIMEOUT_SECONDS) as connected:
        connected.setblocking(False)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)  # little is in flight
        left = memoryview(before)
        deadline = time.monotonic() + 3 * TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            readable, writable, _ = select.select([connected], [connected], [], 1.0)
            try:
                if readable:
                    if not (data := connected.recv(1 << 16)):
                        return found
                    ahead += data
                if writable:
                    left = left[connected.send(left) :] or memoryview(next(frames, b""))
            except ConnectionError:
                return found
            while len(ahead) >= 9:
                made, length = Frame.parse_frame_header(memoryview(bytes(ahead[:9])))
                if len(ahead) < 9 + length:
                    break
                made.parse_body(memoryview(bytes(ahead[9 : 9 + length])))
                del ahead[: 9 + length]
                found.append(made)
                if isinstance(made, GoAwayFrame):
                    return found
    raise AssertionError(f"the server did not end the connection; last frames: {found[-3:]}")


def verdict(found: list[Frame]) -> tuple[str, int] | None:
    """Return ``goaway`` or ``reset`` and the error code of the first such frame."""
    for made in found:
        if isinstance(made, GoAwayFrame):
            return "goaway", made.error_code
        if isinstance(made, RstStreamFrame):
            return "reset", made.error_code
    return None
