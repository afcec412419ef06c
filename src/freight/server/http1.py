"""The exchanges of one connection of HTTP/1: read a head, charge for the request, have it answered, log it."""

from __future__ import annotations

import asyncio
import socket
from abc import abstractmethod
from collections.abc import Awaitable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any

from freight.errors import ProtocolError
from freight.http.client_address import canonical, client_key, true_client
from freight.http.error_response import for_method, plan_protocol_error
from freight.model import COMPLETE, Entry, Plan, Request
from freight.protocols import ReadFailed, RepeatableAnswer
from freight.server.closing import wait_acknowledged
from freight.server.connection_reader import BEGUN, ConnectionReader
from freight.server.context import NO_REQUEST, REFUSED, RequestSummary, ServerContext, ended_reason, log_entry
from freight.server.known_heads import KnownHead
from freight.server.sinks import new_sink
from freight.wire import costs
from freight.wire.accounting import REQUEST_ALLOWANCE, ConnectionAccount, interned
from freight.wire.events import Head, Preface
from freight.wire.http1.parser import RequestParser
from freight.wire.http1.repeats import MAX_HEAD_BYTES, RangedHead, head_format, is_key_of, split_range


class Http1Exchanges:
    """Reads and answers the requests of one connection, one at a time.

    :class:`freight.server.connection.Connection` derives from this rather than holding it: thousands of connections
    may be idle, and each object and each coroutine of theirs counts against the memory budget.
    """

    __slots__ = (
        "_charges",
        "_client",
        "_context",
        "_peer",
        "_ranged",
        "_reader",
        "_request",
        "_request_charges",
        "_rest",
        "_sink",
        "_summary",
        "_trusted",
        "_uncharged_cost",
    )

    def __init__(
        self, context: ServerContext, connected: socket.socket, client: str, charges: ConnectionAccount
    ) -> None:
        self._context = context
        # _peer is the client of the connection, _client that of the present request: a trusted proxy may name it.
        self._peer = self._client = canonical(client)
        self._trusted = context.trusted
        # _charges pays for the connection, _request_charges for the present request, whose end settles _uncharged_cost.
        self._charges = self._request_charges = charges
        self._uncharged_cost = 0.0
        self._reader = ConnectionReader(connected, self._parser(), context, charges)
        self._sink = new_sink(connected, context.clock, client)
        self._request: Request | None = None  # read and not yet answered
        self._rest: Coroutine[Any, Any, bool] | None = None  # or this sends the rest of an answer that has begun
        self._ranged: RangedHead | None = None  # the head of the request if it may be remembered
        self._summary = NO_REQUEST

    def _parser(self) -> RequestParser:
        scheme = "http" if self._context.tls is None else "https"
        return RequestParser(self._peer, self._context.limits, scheme, client_key(self._peer))

    @abstractmethod
    async def _serve_http2(self, ahead: bytes | None) -> None:
        """Serve HTTP/2 to the end of the connection. ``ahead`` has been read already."""

    async def _read_request(self) -> bool:
        """Read the next request's head. Return False when no request follows."""
        self._client = self._peer
        if self._sink.negotiated_http2:
            self._reader.set_timeout(self._context.head_seconds)
            await self._serve_http2(await self._reader.receive())
            return False
        self._ranged = None
        try:
            head = await self._reader.read_head(self._answer_known)
        except ProtocolError as error:
            await self._refuse(error)
            return False
        except asyncio.CancelledError as error:
            self._defer_cancellation(error)
            head = None
        if isinstance(head, Preface):
            await self._serve_http2(head.received)
            return False
        if self._rest is not None:
            return True
        if head is None or not await self._has_room():
            return False
        request = self._attribute(head.request)
        cost = costs.REQUEST + self._reader.parser.head_bytes * costs.HEAD_BYTE
        if head.content != 0:
            cost += costs.CONTENT
        if cost <= REQUEST_ALLOWANCE and not self._request_charges.account.pause_factor:
            # No turn is needed: other connections run between two requests of this one.
            self._uncharged_cost = interned(cost)
        elif await self._charge(self._request_charges, cost):
            self._uncharged_cost = 0.0
        else:
            return False
        if self._ranged is not None and not self._may_remember(self._ranged, request, head):
            self._ranged = None
        self._request = request
        self._summary = self._context.summarize(request)
        self._sink.start_exchange(request.version, head.keep_alive and not self._reader.draining)
        if self._context.request_ids is not None:
            self._sink.request_id = self._context.request_ids.choose(request, self._peer, self._trusted)
        return True

    def _defer_cancellation(self, error: asyncio.CancelledError) -> None:
        """Raise a cancellation. If an answer has begun, let the task run it first: it is cancelled at its next wait.

        What that answer holds is released where it is sent.
        """
        task = asyncio.current_task()
        if self._rest is None or task is None:
            raise error
        task.cancel(*error.args)

    def _answer_known(self, data: bytes) -> bytes:
        """Answer the first bytes of a head at once if they are a known one. Return them if not.

        Return BEGUN if the answer has begun, and the task must send the rest.
        """
        context, sink = self._context, self._sink
        # Behind a trusted proxy the client depends on the head's fields.
        ranged = self._ranged = None if self._trusted or len(data) > MAX_HEAD_BYTES else split_range(data)
        if ranged is None or (known := context.known_heads.get(ranged.key)) is None:
            return data
        charges, client_key = self._charges, self._reader.parser.client_key
        if self._reader.draining or charges.account.pause_factor or not context.unacknowledged.has_all(sink):
            return data
        at, started = context.clock.now(), context.clock.monotonic()
        make_head = partial(sink.start_repeat, known.answer.plan.status, known.head_format, known.version, at)
        answering = known.answer.send(make_head, ranged.first, ranged.last, sink, client_key)
        if answering is False:
            return data
        self._reader.parser.skip_head(ranged.size)
        self._ranged = None
        range_text = "" if ranged.last is None else f"bytes={ranged.first}-{ranged.last}"
        if answering is not True:
            self._rest, self._uncharged_cost, self._request_charges = answering, known.cost, charges
            self._summary = RequestSummary("GET", known.target, known.version, range_text, known.details)
            self.note_busy()  # before the task runs, the listener could evict the connection
            return BEGUN
        charges.credit_request(known.cost)
        seconds = context.clock.monotonic() - started
        context.unacknowledged.add(sink, sink.accepted_bytes, self._known_entry(known, at, seconds, range_text), True)
        now = context.loop.time()
        self._reader.deadline = now + context.keep_alive_seconds
        self.note_answered(now)
        return b""

    def _known_entry(self, known: KnownHead, at: float, seconds: float, range_text: str) -> Entry:
        """Return the log entry of an answer to a known head, all of which was sent."""
        length, target, details = self._sink.promised or 0, known.target, known.details
        version, status, is_tls = known.version, self._sink.status, self._context.tls is not None
        return Entry(
            at,
            seconds,
            self._peer,
            "GET",
            target,
            version,
            status,
            range_text,
            length,
            length,
            COMPLETE,
            "",
            details,
            tls=is_tls,
        )

    @abstractmethod
    def note_busy(self) -> None:
        """Note that there is a request to answer."""

    @abstractmethod
    def note_answered(self, now: float) -> None:
        """Note that a request was answered at once, and the connection waits for its client again since ``now``."""

    def _may_remember(self, ranged: RangedHead, request: Request, head: Head) -> bool:
        """Return whether a request has the range that was found in its head, and nothing else depends on its bytes."""
        parser = self._reader.parser
        return (
            parser.idle
            and parser.head_bytes == ranged.size
            and head.keep_alive
            and head.content == 0
            and self._uncharged_cost > 0.0
            and self._context.request_ids is None
            and is_key_of(ranged, request)
        )

    def _remember(self, ranged: RangedHead, answer: RepeatableAnswer) -> None:
        """Remember the head of the present request: its answer can be sent again."""
        summary = self._summary
        form = head_format(answer.plan, summary.version)
        known = KnownHead(answer, form, self._uncharged_cost, summary.target, summary.version, summary.details)
        self._context.known_heads.add(ranged.key, known)

    async def _has_room(self) -> bool:
        """Return True when another answer may be sent. Return False when the client acknowledges nothing any more."""
        context, sink = self._context, self._sink
        if not context.unacknowledged.must_wait(sink):
            return True
        arrived = await wait_acknowledged(context, sink, lambda: not context.unacknowledged.must_wait(sink))
        return arrived and not self._reader.evicted

    def _attribute(self, request: Request) -> Request:
        """Attribute a request to the client that a trusted proxy names, and choose the account to charge."""
        if self._trusted:
            self._client = true_client(self._peer, request.fields, self._trusted)
            request = replace(request, client=self._client, client_key=client_key(self._client))
        self._request_charges = (
            self._charges if self._client == self._peer else ConnectionAccount(self._context.account(self._client))
        )
        return request

    async def _charge(self, charges: ConnectionAccount, cost: float) -> bool:
        """Charge for a request that is expensive, or whose client is in debt, and wait for a turn.

        Return False if the request is refused, or the connection was evicted meanwhile.
        """
        if charges is not self._charges and charges.account.pause_factor:
            charges.quantum_left = 0.0  # each request of a client in debt waits, whatever connection it comes by
        await self._context.turns.charge_request(charges, cost)
        if charges.over_limit or (charges is not self._charges and charges.account.over_limit):
            await self._refuse(ProtocolError(429, "too much work was asked for"))
            return False
        return not self._reader.evicted

    async def _respond(self) -> None:
        started, ended, is_download = self._context.clock.monotonic(), COMPLETE, False
        try:
            is_download = await self._answering()
        except BaseException as error:
            ended = ended_reason(error)
            if self._sink.status or not isinstance(error, ReadFailed):
                raise
            await self._context.transfers.send(error.plan, self._sink)
        finally:
            self._charge_or_pay(ended)
            self._record(started, ended, is_download)

    def _answering(self) -> Awaitable[bool]:
        """Return what answers the present request."""
        rest, self._rest = self._rest, None
        if rest is not None:
            return rest
        ranged, self._ranged = self._ranged, None
        remember = None if ranged is None else partial(self._remember, ranged)
        return self._context.responder.respond(self._take_request(), self._sink, remember)

    def _charge_or_pay(self, ended: str) -> None:
        """Charge for the request unless its answer was completed. A completed answer and delivered bytes pay."""
        charges = self._request_charges
        if ended == COMPLETE:
            charges.credit_request(self._uncharged_cost)
        else:
            charges.charge(self._uncharged_cost)
        if charges.pending or charges.owed:
            charges.pay(max(0, self._sink.accepted_bytes - self._sink.body_start) * costs.DELIVERED_BYTE)
        if charges is not self._charges:
            charges.close()

    def _take_request(self) -> Request:
        """Return the request and drop it here, so that the responder can free it while the body is sent."""
        request, self._request = self._request, None
        assert request is not None
        return request

    async def _refuse(self, error: ProtocolError) -> None:
        """Answer with an error, and end the connection: after malformed bytes nothing says where a request starts."""
        self._summary = NO_REQUEST._replace(method=self._reader.parser.method or "-")
        self._sink.start_exchange((1, 1), False)
        if self._context.request_ids is not None:
            self._sink.request_id = self._context.request_ids.make()
        started, ended = self._context.clock.monotonic(), REFUSED
        try:
            await self._send_refusal(plan_protocol_error(error, self._reader.parser.accept, close=True))
        except BaseException as failure:
            ended = ended_reason(failure)
            raise
        finally:
            self._record(started, ended)

    async def _send_refusal(self, plan: Plan) -> None:
        await self._context.transfers.send(for_method(self._summary.method, plan), self._sink)

    def _record(self, started: float, ended: str, is_download: bool = False) -> None:
        context, sink = self._context, self._sink
        entry = log_entry(context, self._client, self._summary, sink, started, ended)
        if ended == COMPLETE:
            context.unacknowledged.add(sink, sink.accepted_bytes, entry, is_download)
        else:
            context.record(entry)
        self._summary = NO_REQUEST  # thousands of connections may be idle from here on
