"""What connections share: the house they are in, what is known of an exchange, and how the log tells of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from freight.core.client import NOBODY, Networks
from freight.errors import Drained, TransferError
from freight.flow.budget import Budget
from freight.flow.transfer import Transfers
from freight.model import Entry
from freight.ports import Clock, Responder, Sink
from freight.wire.http1 import Limits

if TYPE_CHECKING:  # loaded where it is used, with ssl
    from freight.server.tls import Tls

_HEAD_SECONDS = 10.0  # an honest head is one packet; this is for the worst of mobile links
_LINGER_SECONDS = 2.0

Asked = tuple[str, str, tuple[int, int], str]
"""What the log says of a request: method, target, version, Range."""

NOTHING: Asked = ("-", "-", (1, 1), "")
"""The same where no head could be read."""


@dataclass(frozen=True, slots=True)
class House:
    """What all connections share. ``record`` is told every exchange's end. ``proxy_protocol``: connections begin with
    a PROXY header, from the ``trusted`` only if there are any; those may say who a request's client is. ``pardon`` is
    told by how much the process has grown for a module that was needed. ``tls``: what is spoken from then on, None:
    clear text.
    """

    loop: asyncio.AbstractEventLoop
    files: Responder
    transfers: Transfers
    budget: Budget
    clock: Clock
    limits: Limits
    record: Callable[[Entry], None]
    proxy_protocol: bool = False
    trusted: Networks = NOBODY
    pardon: Callable[[int], None] = lambda grown_bytes: None
    tls: Tls | None = None

    @property
    def idle_seconds(self) -> float:
        """How long nothing may come between requests."""
        return self.transfers.terms.idle_seconds

    @property
    def head_seconds(self) -> float:
        """How long a head may take to arrive from its first byte."""
        return min(_HEAD_SECONDS, self.idle_seconds)

    @property
    def linger_seconds(self) -> float:
        """How long a client may take to see that it was answered and close."""
        return min(_LINGER_SECONDS, self.idle_seconds)


class Outcome(Protocol):
    """A sink, and what has become of its exchange: ``status`` is 0 before its head is made, ``taken`` less ``body_at``
    is what has gone out of ``promised`` bytes of content.
    """

    taken: int
    status: int
    promised: int | None
    body_at: int


class Exchanging(Outcome, Sink, Protocol):
    """Both."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange that runs: whose it is, what for, and its way out."""

    client: str
    target: str
    sink: Exchanging


def entry(clock: Clock, client: str, asked: Asked, sink: Outcome, started: float, ended: str) -> Entry:
    """The record of an exchange that began at ``started``, by the monotonic clock."""
    method, target, version, wanted = asked
    seconds = clock.monotonic() - started
    return Entry(
        at=clock.now() - seconds,
        seconds=seconds,
        client=client,
        method=method,
        target=target,
        version=version,
        status=sink.status,
        range=wanted,
        sent=max(0, sink.taken - sink.body_at),
        promised=sink.promised,
        ended=ended,
    )


def ending(error: BaseException) -> str:
    """How the log says that an exchange ended by this."""
    match error:
        case TransferError():
            return error.reason
        case asyncio.CancelledError():
            return Drained.reason
        case OSError():
            return f"error: {error.strerror}"
        case _:
            return f"error: {type(error).__name__}"
