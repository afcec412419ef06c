"""Clients of HTTP/2, with many requests on a connection."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes, Settings

from .client import TIMEOUT_SECONDS, Spec, insecure_context, make_socket, send_event

UNLIMITED_WINDOW = 2**30
"""A flow-control window that never limits a server."""

DEFAULT_WINDOW = 65535
"""The initial window of a stream (RFC 9113 section 6.5.2)."""

READ_BYTES = 1 << 16


@dataclass(slots=True)
class Response:
    """The received part of a response. ``content`` has the first bytes, as many as the connection keeps."""

    status: int = 0
    length: str | None = None
    content: bytearray = field(default_factory=bytearray)
    ended: bool = False


class Http2Client:
    """A connection, over ``link``. ``window``: the initial window of each stream. ``keep``: kept bytes of each body."""

    def __init__(self, link: socket.socket, window: int = UNLIMITED_WINDOW, keep: int = 0) -> None:
        self.link, self.keep = link, keep
        self.answers: dict[int, Response] = {}
        self.h2 = H2Connection(H2Configuration(client_side=True))
        own = {SettingCodes.INITIAL_WINDOW_SIZE: window, SettingCodes.ENABLE_PUSH: 0}
        self.h2.local_settings = Settings(client=True, initial_values=own)
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(UNLIMITED_WINDOW)

    def request(self, name: str, fields: Mapping[str, str]) -> Response:
        """Send one request. Return its response, which :meth:`read` fills."""
        stream = self.h2.get_next_available_stream_id()
        scheme = "https" if isinstance(self.link, ssl.SSLSocket) else "http"
        head = {":method": "GET", ":scheme": scheme, ":authority": "localhost", ":path": f"/{name}"}
        self.h2.send_headers(stream, [*head.items(), *fields.items()], end_stream=True)
        self.link.sendall(self.h2.data_to_send())
        self.answers[stream] = Response()
        return self.answers[stream]

    def read(self) -> None:
        """Read some of what has arrived, or wait for it. Raises OSError, or h2's ProtocolError."""
        data = self.link.recv(READ_BYTES)
        if not data:
            raise ConnectionError("the connection has ended")
        for event in self.h2.receive_data(data):
            match event:
                case ResponseReceived(stream_id=stream, headers=headers):
                    fields = {name: value.decode("latin-1") for name, value in headers}
                    self.answers[stream].status = int(fields[b":status"])
                    self.answers[stream].length = fields.get(b"content-length")
                case DataReceived(stream_id=stream, data=content):
                    answer = self.answers[stream]
                    answer.content += content[: self.keep - len(answer.content)]
                case StreamEnded(stream_id=stream) | StreamReset(stream_id=stream):
                    self.answers[stream].ended = True
        self.link.sendall(self.h2.data_to_send())

    def open_windows(self, count: int) -> None:
        """Let the server send ``count`` more bytes of each response."""
        for stream in (stream for stream, answer in self.answers.items() if not answer.ended):
            self.h2.increment_flow_control_window(count, stream)
        self.link.sendall(self.h2.data_to_send())


def connect(spec: Spec, number: int) -> Http2Client:
    """Return the ``number``-th connection, which has sent all its requests."""
    link = make_socket(spec, number)
    link.settimeout(TIMEOUT_SECONDS)
    link.connect((spec.address, spec.port))
    speaker = Http2Client(insecure_context(h2=True).wrap_socket(link) if spec.tls else link, DEFAULT_WINDOW)
    for request in range(spec.streams):
        speaker.request(spec.names[request % len(spec.names)], {})
    return speaker


def speak(spec: Spec) -> None:
    """Let each stream receive its window at once, and then ``step`` bytes per second. Report when all have begun."""
    speakers = [connect(spec, number) for number in range(spec.clients)]
    for speaker in speakers:
        speaker.link.setblocking(False)
    end = time.monotonic() + spec.warm + spec.seconds
    has_begun = False
    while (now := time.monotonic()) < end:
        for speaker in speakers:
            drain(speaker)
            if has_begun:
                speaker.open_windows(spec.step)
        answers = [answer for speaker in speakers for answer in speaker.answers.values()]
        if not has_begun and all(answer.status for answer in answers):
            has_begun = True
            begun = sum(answer.status == 200 and not answer.ended for answer in answers)
            send_event(event="begin", begun=begun, failures=len(answers) - begun)
        time.sleep(max(0.0, now + (1.0 if has_begun else 0.05) - time.monotonic()))
    send_event(event="end")


def drain(speaker: Http2Client) -> None:
    """Read everything that has arrived."""
    try:
        while True:
            speaker.read()
    except (BlockingIOError, ssl.SSLWantReadError):
        pass
