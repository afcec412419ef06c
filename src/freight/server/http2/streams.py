"""The streams of one connection of HTTP/2: one task each, from its request to the end of its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from typing import Any

from freight.errors import ClientDisconnected, ProtocolError, ShutdownTimeout, Stalled, TooSlow, TransferError
from freight.http import priority
from freight.http.client_address import Networks, client_key, true_client
from freight.http.error_response import for_method, plan_protocol_error
from freight.model import COMPLETE, Request
from freight.protocols import ReadFailed, RepeatableAnswer
from freight.server.context import NO_REQUEST, REFUSED, Exchange, ServerContext, ended_reason, log_entry
from freight.server.http2.multiplexer import Multiplexer
from freight.server.http2.stream_sink import StreamSink
from freight.server.known_heads import KnownSection
from freight.wire import costs, events
from freight.wire.accounting import ConnectionAccount
from freight.wire.http2.frames import ErrorCode
from freight.wire.http2.repeats import RangedSection, section_format, split_range
from freight.wire.http2.session import Session

_STEPS_TO_BEGIN = 2  # of the loop, until a known answer has become a task, and that has had its first step
_HALF_CLOSED_SECONDS = 1.0  # for how long a client may go on with a request that has its answer


class StreamTask:
    """One request and its answer.

    ``charges`` is the request's own where a trusted proxy names its client, and None where the connection pays.
    ``has_started``: the task has had its first step. ``repeat`` is what runs in its place if the answer is known, and
    ``rest`` sends the rest of such an answer: the task must have its first step then.
    """

    __slots__ = ("charges", "client", "has_started", "repeat", "request", "rest", "sink", "summary", "task")

    def __init__(self, sink: StreamSink, client: str) -> None:
        self.sink = sink
        self.client = client
        self.charges: ConnectionAccount | None = None
        self.request: Request | None = None  # read and not yet answered
        self.summary = NO_REQUEST
        self.has_started = False
        self.task: asyncio.Task[None] | None = None
        self.repeat: asyncio.Handle | None = None
        self.rest: Coroutine[Any, Any, bool] | None = None

    def take_request(self) -> Request:
        """Return the request and drop it here, so that the responder can free it while the body is sent."""
        request, self.request = self.request, None
        assert request is not None
        return request


class Streams:
    """Starts, answers and ends the streams of a connection.

    ``trusted`` proxies may name a request's client, whose account then pays instead of ``charges``. ``on_ended`` is
    called whenever a stream has ended.
    """

    def __init__(
        self,
        context: ServerContext,
        session: Session,
        multiplexer: Multiplexer,
        trusted: Networks,
        charges: ConnectionAccount,
        on_ended: Callable[[], None],
    ) -> None:
        self._context = context
        self._session = session
        self._multiplexer = multiplexer
        self._trusted = trusted
        self._charges = charges
        self._on_ended = on_ended
        self._tasks: dict[int, StreamTask] = {}
        # One context for all: a copy for each would cost memory, and no task sets context variables.
        self._task_context = copy_context()
        # Answered streams whose requests have not ended, and the deadline of each. One timer serves all: a timer for
        # each would outlive the connection.
        self._half_closed: dict[int, float] = {}
        self._half_closed_timer: asyncio.TimerHandle | None = None
        # The stream whose section may be remembered: one at a time, as its key takes memory while it is queued.
        self._ranged: tuple[StreamTask, RangedSection] | None = None

    def __len__(self) -> int:
        return len(self._tasks)

    def get(self, stream_id: int) -> StreamTask | None:
        """Return a stream that has not ended, or None."""
        return self._tasks.get(stream_id)

    def exchanges(self) -> Iterator[Exchange]:
        """Iterate over the exchanges that run. They may change meanwhile."""
        for stream in list(self._tasks.values()):
            yield Exchange(stream.client, stream.summary.target, stream.sink)

    def start(self, event: events.RequestReceived | events.RequestRefused, client: str) -> None:
        """Answer a request on its stream. The budget must have space for it."""
        context = self._context
        context.budget.stream_opened()
        sink = StreamSink(event.stream, self._multiplexer, context.clock)
        stream = self._tasks[event.stream] = StreamTask(sink, client)
        if context.request_ids is not None:
            found = event.request if isinstance(event, events.RequestReceived) else None
            sink.request_id = context.request_ids.choose(found, client, self._trusted)
        if isinstance(event, events.RequestReceived) and self._trusted:
            event = self._attribute(event, stream)
        if isinstance(event, events.RequestReceived):
            request = event.request
            sink.priority = priority.parse(request.field("priority"))
            stream.request = request
            stream.summary = context.summarize(request)
            if self._repeat_soon(stream, request):
                return
            answer = self._answer(stream)
        else:
            stream.summary = NO_REQUEST._replace(method=event.method, version=(2, 0))
            answer = self._refuse(event, stream)
        stream.task = context.loop.create_task(answer, context=self._task_context)

    def _attribute(
        self, event: events.RequestReceived, stream: StreamTask
    ) -> events.RequestReceived | events.RequestRefused:
        """Attribute a request to the client that a trusted proxy names, and charge that client's account.

        The request of a client that owes too much is refused. The connection is the proxy's, and goes on.
        """
        request, peer = event.request, stream.client
        stream.client = true_client(peer, request.fields, self._trusted)
        if stream.client == peer:
            return event
        charges = stream.charges = ConnectionAccount(self._context.account(stream.client))
        charges.settle(self._context.loop.time())
        self._charges.pay(event.cost)
        charges.charge(event.cost)
        if charges.account.over_limit:
            error = ProtocolError(429, "too much work was asked for")
            return events.RequestRefused(event.stream, error, request.method, request.field("accept"))
        return replace(event, request=replace(request, client=stream.client, client_key=client_key(stream.client)))

    def cancel(self, stream: StreamTask) -> None:
        """End a stream whose client has reset it. Its task, its slot and its place in the queue are freed at once.

        A task that waits for its socket or for a slot is woken. One that waits for something else, such as a disk, is
        cancelled in the next step of the loop. One that has not had its first step never runs.
        """
        if stream.rest is not None and stream.task is not None:
            stream.sink.was_reset = True
            self._context.loop.call_soon(stream.task.cancel, ClientDisconnected.reason)
            return
        if not stream.has_started:
            stream.sink.was_reset = True
            if stream.task is not None:
                stream.task.cancel()
            self._end(stream, self._context.clock.monotonic(), ClientDisconnected.reason)
            return
        assert stream.task is not None
        if self._multiplexer.reset_stream(stream.sink):
            # This has no effect if the task ends once it is woken.
            self._context.loop.call_soon(stream.task.cancel, ClientDisconnected.reason)
        else:
            stream.task.cancel(ClientDisconnected.reason)

    def reset_all(self) -> None:
        """Wake all tasks: the client has gone."""
        for stream in list(self._tasks.values()):
            self._multiplexer.reset_stream(stream.sink)
        self._multiplexer.push()

    async def finish(self, grace_seconds: float) -> None:
        """End all streams. Where all were reset, their tasks have ``grace_seconds`` to end by themselves."""
        if any(stream.repeat is not None or stream.rest is not None for stream in self._tasks.values()):
            for _ in range(_STEPS_TO_BEGIN):
                await asyncio.sleep(0)
        tasks = [stream.task for stream in self._tasks.values() if stream.task is not None]
        if tasks and grace_seconds and all(stream.sink.was_reset for stream in self._tasks.values()):
            await asyncio.wait(tasks, timeout=grace_seconds)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for stream_id, stream in list(self._tasks.items()):  # cancelled before their first step
            self._session.reset_stream(stream_id, ErrorCode.CANCEL)
            self._end(stream, self._context.clock.monotonic(), ShutdownTimeout.reason)

    def close(self) -> None:
        """Cancel the timer. All streams must have ended."""
        if self._half_closed_timer is not None:
            self._half_closed_timer.cancel()

    # One stream

    def _repeat_soon(self, stream: StreamTask, request: Request) -> bool:
        """Arrange that a known answer is sent in the next step of the loop, when a task would. Return whether it is."""
        context = self._context
        ranged = None if self._trusted or context.request_ids is not None else split_range(request)
        if ranged is None:
            return False
        known = context.known_sections.get(ranged.key)
        if known is None:
            self._ranged = self._ranged or (stream, ranged)
            return False
        stream.repeat = context.loop.call_soon(self._repeat, stream, known, ranged, context=self._task_context)
        return True

    def _repeat(self, stream: StreamTask, known: KnownSection, ranged: RangedSection) -> None:
        """Send a known answer. What cannot be sent now is left to a task."""
        stream.repeat = None
        started, sink, request = self._context.clock.monotonic(), stream.sink, stream.request
        if request is not None and not sink.was_reset:
            make_head = partial(sink.start_repeat, known.answer.plan.status, known.section_format)
            try:
                sent = known.answer.send_in_slot(make_head, ranged.first, ranged.last, sink, request.client_key)
            except Exception as error:  # raised in the loop, it would leave the stream open
                sent = _fail_later(error)
            if sent is True:
                self._end(stream, started, COMPLETE, True)
                return
            stream.rest = sent or None
            if sent is False:  # the file may be another one now, whose answer can be sent again too
                self._ranged = self._ranged or (stream, ranged)
        stream.task = self._context.loop.create_task(self._answer(stream), context=self._task_context)

    def _remember(self, ranged: RangedSection, answer: RepeatableAnswer) -> None:
        """Remember the section of a request: its answer can be sent again."""
        known = KnownSection(answer, section_format(answer.plan))
        self._context.known_sections.add(ranged.key, known)

    def _answering(self, stream: StreamTask) -> Awaitable[bool]:
        """Return what answers a request, or sends the rest of an answer."""
        rest, stream.rest = stream.rest, None
        request = stream.take_request()
        if rest is not None:
            return rest
        remember = None
        if self._ranged is not None and self._ranged[0] is stream:
            remember = partial(self._remember, self._ranged[1])
        return self._context.responder.respond(request, stream.sink, remember)

    async def _answer(self, stream: StreamTask) -> None:
        started, ended, is_download = self._context.clock.monotonic(), COMPLETE, False
        stream.has_started = True
        try:
            if stream.charges is not None and stream.charges.account.pause_factor:
                await self._context.turns.wait_turn(stream.charges)
            is_download = await self._answering(stream)
        except BaseException as error:
            ended = ended_reason(error)
            await self._fail_or_explain(stream, error)
        finally:
            self._end(stream, started, ended, is_download)

    async def _refuse(self, event: events.RequestRefused, stream: StreamTask) -> None:
        started, ended = self._context.clock.monotonic(), REFUSED
        stream.has_started = True
        try:
            plan = for_method(event.method, plan_protocol_error(event.error, event.accept))
            await self._context.transfers.send(plan, stream.sink)
        except BaseException as error:
            ended = ended_reason(error)
            self._fail(stream, error)
        finally:
            self._end(stream, started, ended)

    async def _fail_or_explain(self, stream: StreamTask, error: BaseException) -> None:
        """Answer that the disk failed, if nothing was sent. Otherwise reset the stream."""
        if isinstance(error, ReadFailed) and not stream.sink.was_reset:
            try:
                await self._context.transfers.send(error.plan, stream.sink)
            except BaseException as failure:
                self._fail(stream, failure)
        else:
            self._fail(stream, error)

    def _fail(self, stream: StreamTask, error: BaseException) -> None:
        """Reset a stream, as truncated content must not look complete. Raise what is a defect of the server."""
        sink = stream.sink
        ours = not isinstance(error, (Stalled, TooSlow, ShutdownTimeout, asyncio.CancelledError))
        self._session.reset_stream(sink.stream_id, ErrorCode.INTERNAL_ERROR if ours else ErrorCode.CANCEL)
        if not isinstance(error, (TransferError, OSError, asyncio.CancelledError)):
            raise error

    def _end(self, stream: StreamTask, started: float, ended: str, is_download: bool = False) -> None:
        context, stream_id = self._context, stream.sink.stream_id
        if stream.repeat is not None:
            stream.repeat.cancel()
        if self._ranged is not None and self._ranged[0] is stream:
            self._ranged = None
        if stream.charges is not None:
            _charge_or_pay(stream, stream.charges, ended)
        self._session.end_stream(stream_id)
        mark = self._multiplexer.sink.accepted_bytes + self._multiplexer.unsent_bytes
        if self._session.is_half_closed(stream_id):
            self._await_request_end(stream_id)
        self._multiplexer.close_stream(stream.sink)
        del self._tasks[stream_id]
        context.budget.stream_opened(-1)
        self._multiplexer.push()
        entry = log_entry(context, stream.client, stream.summary, stream.sink, started, ended)
        if ended == COMPLETE:
            context.unacknowledged.add(self._multiplexer.sink, mark, entry, is_download)
        else:
            context.record(entry)
        self._on_ended()

    def _await_request_end(self, stream_id: int) -> None:
        """Give the client _HALF_CLOSED_SECONDS to end a request that is answered. The session bounds how many wait."""
        loop = self._context.loop
        self._half_closed = {
            each: until for each, until in self._half_closed.items() if self._session.is_half_closed(each)
        }
        self._half_closed[stream_id] = loop.time() + _HALF_CLOSED_SECONDS
        if self._half_closed_timer is None:
            self._half_closed_timer = loop.call_at(self._half_closed[stream_id], self._release_half_closed)

    def _release_half_closed(self) -> None:
        self._half_closed_timer, now = None, self._context.loop.time()
        for stream_id in [each for each, until in self._half_closed.items() if until <= now]:
            del self._half_closed[stream_id]
            self._session.release_stream(stream_id)
        self._multiplexer.push()
        if self._half_closed:
            soonest = min(self._half_closed.values())
            self._half_closed_timer = self._context.loop.call_at(soonest, self._release_half_closed)


async def _fail_later(error: Exception) -> bool:
    raise error


def _charge_or_pay(stream: StreamTask, charges: ConnectionAccount, ended: str) -> None:
    """Charge or pay for a stream whose client is behind a proxy. The session knows only the proxy's account."""
    if ended == COMPLETE:
        charges.credit_request()
    elif stream.sink.was_reset:
        charges.charge(costs.RESET)
    charges.pay(stream.sink.accepted_bytes * costs.DELIVERED_BYTE)
    charges.close()
