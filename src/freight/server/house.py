"""What connections share: the house they are in, what is known of an exchange, and how the log tells of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from freight.core.client import NOBODY, Networks, client_key
from freight.errors import TransferError
from freight.flow.budget import Budget
from freight.flow.meter import reason_of
from freight.flow.transfer import Transfers
from freight.guard import Account, Accounts
from freight.legible import cut
from freight.model import Entry, Request
from freight.ports import Clock, Responder, Sink
from freight.server.pace import Pace
from freight.wire.http1 import Limits

if TYPE_CHECKING:  # loaded where it is used, with ssl
    from freight.server.tls import Tls

_HEAD_SECONDS = 10.0  # an honest head is one packet; this is for the worst of mobile links
_LINGER_SECONDS = 2.0

Asked = tuple[str, str, tuple[int, int], str]
"""What the log says of a request: method, target, version, Range."""

NOTHING: Asked = ("-", "-", (1, 1), "")
"""The same where no head could be read."""


def asked(request: Request) -> Asked:
    """The same of a request: what is long is cut, as it is kept for as long as the answer takes."""
    return (request.method, cut(request.target), request.version, cut(request.field("range") or ""))


@dataclass(frozen=True, slots=True)
class House:
    """What all connections share. ``record`` is told every exchange's end. ``proxy_protocol``: connections begin with
    a PROXY header, from the ``trusted`` only if there are any; those may say who a request's client is. ``pardon`` is
    told by how much the process has grown for a module that was needed. ``tls``: what is spoken from then on, None:
    clear text. ``accounts``: what clients owe for work; ``pace``: whose work is done next.
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
    accounts: Accounts = field(default_factory=Accounts)
    pace: Pace = field(default_factory=Pace)

    def account(self, client: str) -> Account:
        """Return the account of a client, by its address. A trusted proxy's is exempt: its clients have their own."""
        if self.trusted and client in self.trusted:
            return self.accounts.exempt
        return self.accounts.of(client_key(client))

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
    is what has gone out of ``promised`` bytes of content; ``refused`` says why there was no slot, where that is so.
    """

    taken: int
    status: int
    refused: str
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
        refused=sink.refused,
    )


def ending(error: BaseException) -> str:
    """How the log says that an exchange ended by this."""
    match error:
        case TransferError() | asyncio.CancelledError():
            return reason_of(error)
        case OSError():
            return f"error: {error.strerror}"
        case _:
            return f"error: {type(error).__name__}"
