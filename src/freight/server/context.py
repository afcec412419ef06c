"""What the connections of a server share, and the log entry of an exchange."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from freight.errors import TransferError
from freight.flow.counters import reason_of
from freight.flow.transfers import Transfers
from freight.http.client_address import NO_NETWORKS, Networks, client_key
from freight.http.printable import shorten
from freight.http.redacted import redacted
from freight.memory.budget import Budget
from freight.model import COMPLETE, Entry, Request, RequestDetails
from freight.protocols import Clock, Responder, Sink
from freight.server.known_heads import KnownHead, KnownHeads, KnownSection
from freight.server.turns import TurnScheduler
from freight.server.unacknowledged import UnacknowledgedAnswers
from freight.wire.accounting import ClientAccount, ClientAccounts
from freight.wire.http1.parser import Limits
from freight.wire.http1.repeats import Key

if TYPE_CHECKING:  # loaded where they are used, with ssl and with h2
    from freight.server.request_ids import RequestIds
    from freight.server.tls.sockets import TlsLayer

_HEAD_SECONDS = 10.0  # an honest head is one packet; the worst mobile links need this long
_LINGER_SECONDS = 2.0
_DETAIL_CHARACTERS = 256  # freight.memory.costs.DETAILS_COST counts two such fields


class RequestSummary(NamedTuple):
    """What the log says of a request. ``range`` is the Range field, "" for none.

    ``details`` is None where the format of the log has none of them.
    """

    method: str
    target: str
    version: tuple[int, int]
    range: str
    details: RequestDetails | None = None


REFUSED = "refused"
"""How an exchange ended whose request was no request."""

NO_REQUEST = RequestSummary("-", "-", (1, 1), "")
"""The summary where no head was read."""


def summarize(request: Request) -> RequestSummary:
    """Return the summary of a request. Long values are cut, as a summary is kept while the answer is sent.

    The log and ``/status`` show it, so it has no signature of a link.
    """
    range_text = request.field("range") or ""
    return RequestSummary(request.method, shorten(redacted(request.target)), request.version, shorten(range_text))


def summarize_in_full(request: Request) -> RequestSummary:
    """Return the summary of a request for a log whose format has :class:`freight.model.RequestDetails`."""
    agent, referer = request.field("user-agent") or "", redacted(request.field("referer") or "")
    details = RequestDetails(shorten(agent, _DETAIL_CHARACTERS), shorten(referer, _DETAIL_CHARACTERS))
    return summarize(request)._replace(details=details)


@dataclass(frozen=True, slots=True)
class ServerContext:
    """What all connections of a listener share.

    ``record`` logs an exchange that has ended, and ``unacknowledged`` one whose answer has been sent.
    ``proxy_protocol``: connections start with a PROXY header, from ``trusted`` networks only if there are any. Those
    networks may also name a request's client. ``exclude_growth`` is called with the bytes by which the process has
    grown for a module that a client needed. ``tls`` is None for clear text. ``accounts`` is what clients owe for work,
    and ``turns`` decides whose work is done next. ``summarize`` returns what the log says of a request. ``request_ids``
    chooses an X-Request-Id for each response; None: responses have none. ``known_heads``: those that this
    responder has answered lately. ``known_sections``: those of HTTP/2.
    """

    loop: asyncio.AbstractEventLoop
    responder: Responder
    transfers: Transfers
    budget: Budget
    clock: Clock
    limits: Limits
    record: Callable[[Entry], None]
    unacknowledged: UnacknowledgedAnswers = field(init=False)
    proxy_protocol: bool = False
    trusted: Networks = NO_NETWORKS
    exclude_growth: Callable[[int], None] = lambda grown_bytes: None
    tls: TlsLayer | None = None
    accounts: ClientAccounts = field(default_factory=ClientAccounts)
    turns: TurnScheduler = field(default_factory=TurnScheduler)
    summarize: Callable[[Request], RequestSummary] = summarize
    request_ids: RequestIds | None = None
    known_heads: KnownHeads[Key, KnownHead] = field(init=False, default_factory=KnownHeads)
    known_sections: KnownHeads[str, KnownSection] = field(init=False, default_factory=KnownHeads)

    def __post_init__(self) -> None:
        answers = UnacknowledgedAnswers(self.loop, self.clock, self.budget, self.transfers, self.record)
        object.__setattr__(self, "unacknowledged", answers)

    def account(self, client: str) -> ClientAccount:
        """Return the account of a client. A trusted proxy's is exempt, since its clients have their own."""
        if self.trusted and client in self.trusted:
            return self.accounts.exempt
        return self.accounts.get(client_key(client))

    @property
    def idle_seconds(self) -> float:
        """For how long a client may send no request on a new connection, or acknowledge nothing of an answer."""
        return self.transfers.limits.idle_seconds

    @property
    def keep_alive_seconds(self) -> float:
        """For how long a client may send nothing between two requests."""
        return self.transfers.limits.keep_alive_seconds

    @property
    def head_seconds(self) -> float:
        """How long a head may take to arrive, from its first byte."""
        return min(_HEAD_SECONDS, self.idle_seconds)

    @property
    def linger_seconds(self) -> float:
        """How long a client may take to close after its last answer."""
        return min(_LINGER_SECONDS, self.idle_seconds)


class ExchangeState(Protocol):
    """The state of a sink's exchange.

    ``status`` is 0 before the head is made. ``accepted_bytes`` less ``body_start`` is how much was sent of ``promised``
    bytes of content (None: unknown). ``reject_code`` says why the request got no slot, "" if it got one. ``user`` is
    the name of the user who was granted access, "" for none. ``request_id`` is the response's X-Request-Id, or "".
    """

    accepted_bytes: int
    status: int
    reject_code: str
    promised: int | None
    body_start: int
    user: str
    request_id: str


class ExchangeSink(ExchangeState, Sink, Protocol):
    """A sink with the state of its exchange."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange that runs, or that was the last of its connection."""

    client: str
    target: str
    sink: ExchangeSink


def log_entry(
    context: ServerContext, client: str, summary: RequestSummary, sink: ExchangeSink, started: float, ended: str
) -> Entry:
    """Return the log entry of an exchange that started at ``started``, by the monotonic clock."""
    seconds = context.clock.monotonic() - started
    sent = sink.accepted_bytes if ended in (COMPLETE, REFUSED) else sink.acknowledged()
    return Entry(
        at=context.clock.now() - seconds,
        seconds=seconds,
        client=client,
        method=summary.method,
        target=summary.target,
        version=summary.version,
        status=sink.status,
        range=summary.range,
        sent=max(0, sent - sink.body_start),
        promised=sink.promised,
        ended=ended,
        reject_code=sink.reject_code,
        details=summary.details,
        user=sink.user,
        request_id=sink.request_id,
        tls=context.tls is not None,
    )


def ended_reason(error: BaseException) -> str:
    """Return the log's word for an exchange that this error ended."""
    match error:
        case TransferError() | asyncio.CancelledError():
            return reason_of(error)
        case OSError():
            return f"error: {error.strerror}"
        case _:
            return f"error: {type(error).__name__}"
