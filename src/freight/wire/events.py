"""What the protocol parsers report about the bytes that they were fed."""

from __future__ import annotations

from dataclasses import dataclass

from freight.errors import ProtocolError
from freight.model import Request


@dataclass(frozen=True, slots=True)
class Head:
    """The complete, checked head of one HTTP/1 request.

    ``keep_alive``: the connection may carry another request (RFC 9112 section 9.3). ``content`` is the declared size of
    the request content in bytes: 0 for none, None for chunked. ``expects_continue``: the client waits for 100 before it
    sends content (RFC 9110 section 10.1.1). Freight never sends 100, and a client that gets its response without may
    or may not send the content. So such a head has ``keep_alive`` False.
    """

    request: Request
    keep_alive: bool
    content: int | None
    expects_continue: bool


@dataclass(frozen=True, slots=True)
class Preface:
    """The connection speaks HTTP/2 (RFC 9113 section 3.4). ``received`` is all that has come, with the preface."""

    received: bytes


@dataclass(frozen=True, slots=True)
class RequestReceived:
    """HTTP/2: a request. ``cost`` was charged for it in microseconds, besides the cost of its frames."""

    stream: int
    request: Request
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """HTTP/2: a request that must be answered with ``error``. ``method`` and ``accept`` are what is known of it."""

    stream: int
    error: ProtocolError
    method: str
    accept: str | None
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class StreamReset:
    """HTTP/2: a stream with a request has ended: its client reset it, or violated the protocol on it."""

    stream: int


@dataclass(frozen=True, slots=True)
class WindowUpdated:
    """HTTP/2: more may be sent on a stream, or on all streams (0)."""

    stream: int


@dataclass(frozen=True, slots=True)
class Reprioritized:
    """HTTP/2: a new priority for a stream, as the value of a Priority field (RFC 9218 section 7)."""

    stream: int
    priority: str


@dataclass(frozen=True, slots=True)
class GoAwayReceived:
    """HTTP/2: the client will send no more requests."""


@dataclass(frozen=True, slots=True)
class PingAcknowledged:
    """HTTP/2: freight's PING was acknowledged, so all that the client sent before it has arrived."""


Event = (
    RequestReceived | RequestRefused | StreamReset | WindowUpdated | Reprioritized | GoAwayReceived | PingAcknowledged
)
