"""What the wire says to the server about the bytes it was fed."""

from __future__ import annotations

from dataclasses import dataclass

from freight.errors import ProtocolError
from freight.model import Request


@dataclass(frozen=True, slots=True)
class Head:
    """One request's head, complete and checked.

    ``keep_alive`` says whether the connection may carry another request after this one (RFC 9112 section 9.3).
    ``content`` is how many bytes of request content were declared: 0 none, None chunked. ``expects_continue``: the
    client waits for 100 before it sends them (RFC 9110 section 10.1.1). Freight never sends 100, and who is answered
    without it may or may not send the content, so such a head also has ``keep_alive`` False.
    """

    request: Request
    keep_alive: bool
    content: int | None
    expects_continue: bool


@dataclass(frozen=True, slots=True)
class Preface:
    """The connection speaks HTTP/2 (RFC 9113 section 3.4). ``ahead`` is all that has come, the preface included."""

    ahead: bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """HTTP/2: a request on a stream. ``cost`` was charged for it, besides its frames, in microseconds."""

    stream: int
    request: Request
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class Declined:
    """HTTP/2: a request that is to be answered with ``error``; of its head only this much is known."""

    stream: int
    error: ProtocolError
    method: str
    accept: str | None
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class Gone:
    """HTTP/2: a stream that was asked on is no more: its client has reset it, or has broken a rule on it."""

    stream: int


@dataclass(frozen=True, slots=True)
class Opened:
    """HTTP/2: more may be sent on a stream, or on all (0)."""

    stream: int


@dataclass(frozen=True, slots=True)
class Reprioritized:
    """HTTP/2: another priority for a stream, as in the field of that name (RFC 9218 section 7)."""

    stream: int
    priority: str


@dataclass(frozen=True, slots=True)
class Leaving:
    """HTTP/2: the client will ask no more."""


@dataclass(frozen=True, slots=True)
class Answered:
    """HTTP/2: our PING has come back: whatever was on its way when it was sent is here."""


Event = Asked | Declined | Gone | Opened | Reprioritized | Leaving | Answered
