"""Clients of HTTP/2: many requests on a connection."""

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

from .client import PATIENCE_SECONDS, Spec, opened, tell, trusting

WIDE = 2**30
"""A window that is never what a server waits for."""

WINDOW = 65535
"""A stream's own, where a client says nothing (RFC 9113, 6.5.2)."""

PIECE = 1 << 16


@dataclass(slots=True)
class Answer:
    """What has come of an answer: the head, where it has, and as much of the content as is kept."""

    status: int = 0
    length: str | None = None
    content: bytearray = field(default_factory=bytearray)
    ended: bool = False


class Speaker:
    """One connection, over ``link``. Of each answer ``window`` bytes may come unasked; ``keep`` are not thrown away."""

    def __init__(self, link: socket.socket, window: int = WIDE, keep: int = 0) -> None:
        self.link, self.keep = link, keep
        self.answers: dict[int, Answer] = {}
        self.h2 = H2Connection(H2Configuration(client_side=True))
        own = {SettingCodes.INITIAL_WINDOW_SIZE: window, SettingCodes.ENABLE_PUSH: 0}
        self.h2.local_settings = Settings(client=True, initial_values=own)
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(WIDE)

    def ask(self, name: str, fields: Mapping[str, str]) -> Answer:
        """Send one request; its answer, which fills as bytes are taken."""
        stream = self.h2.get_next_available_stream_id()
        scheme = "https" if isinstance(self.link, ssl.SSLSocket) else "http"
        head = {":method": "GET", ":scheme": scheme, ":authority": "localhost", ":path": f"/{name}"}
        self.h2.send_headers(stream, [*head.items(), *fields.items()], end_stream=True)
        self.link.sendall(self.h2.data_to_send())
        self.answers[stream] = Answer()
        return self.answers[stream]

    def take(self) -> None:
        """Take some of what has come, or wait for it. Raises OSError, or h2's ProtocolError."""
        data = self.link.recv(PIECE)
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

    def open(self, count: int) -> None:
        """Let so many more bytes of each answer come."""
        for stream in (stream for stream, answer in self.answers.items() if not answer.ended):
            self.h2.increment_flow_control_window(count, stream)
        self.link.sendall(self.h2.data_to_send())


def joined(spec: Spec, number: int) -> Speaker:
    """The ``number``-th connection of a crowd, which has asked for all that it wants."""
    link = opened(spec, number)
    link.settimeout(PATIENCE_SECONDS)
    link.connect((spec.address, spec.port))
    speaker = Speaker(trusting(h2=True).wrap_socket(link) if spec.tls else link, WINDOW)
    for request in range(spec.streams):
        speaker.ask(spec.names[request % len(spec.names)], {})
    return speaker


def speak(spec: Spec) -> None:
    """Each stream takes its window at once, and ``step`` bytes a second then; tell when every answer has begun."""
    speakers = [joined(spec, number) for number in range(spec.clients)]
    for speaker in speakers:
        speaker.link.setblocking(False)
    end = time.monotonic() + spec.warm + spec.seconds
    told = False
    while (now := time.monotonic()) < end:
        for speaker in speakers:
            drain(speaker)
            if told:
                speaker.open(spec.step)
        answers = [answer for speaker in speakers for answer in speaker.answers.values()]
        if not told and all(answer.status for answer in answers):
            told = True
            begun = sum(answer.status == 200 and not answer.ended for answer in answers)
            tell(event="begin", begun=begun, failures=len(answers) - begun)
        time.sleep(max(0.0, now + (1.0 if told else 0.05) - time.monotonic()))
    tell(event="end")


def drain(speaker: Speaker) -> None:
    """Take all that is there."""
    try:
        while True:
            speaker.take()
    except (BlockingIOError, ssl.SSLWantReadError):
        pass
