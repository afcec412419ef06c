"""One connection of HTTP/2: reads what comes, has each request answered on its stream, and ends when it is time.

Loaded when the first client speaks HTTP/2.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from contextvars import copy_context
from dataclasses import replace

from freight.core import priority
from freight.core.client import Networks, true_client
from freight.core.decide import refuse
from freight.errors import Drained, PeerGone, ProtocolError, Stalled, TooSlow, TransferError, Violation
from freight.guard import Guard
from freight.model import Plan, Request
from freight.server.house import NOTHING, Exchange, House, asked, ending, entry
from freight.server.inlet import Inlet
from freight.server.multiplex import OUT_BYTES, Multiplex
from freight.server.sink import ClearSink
from freight.server.stream import StreamSink
from freight.wire import costs, events
from freight.wire.frames import LAST_STREAM, Code
from freight.wire.http2 import Session

_GONE_SECONDS = 1.0  # how long a disk may keep an answer from seeing that nobody wants it
_ECHO_SECONDS = 1.0  # how long a client may take to say that it has seen that we are leaving
_OWED_SECONDS = 1.0  # how long a client may take to see that it is answered, and need not go on


class Stream:
    """One request and its answer."""

    __slots__ = ("asked", "began", "client", "guard", "request", "sink", "task")

    def __init__(self, sink: StreamSink, client: str) -> None:
        self.sink = sink
        self.client = client
        self.guard: Guard | None = None  # charged for the request, where its client is behind a proxy
        self.request: Request | None = None  # read, and not yet answered
        self.asked = NOTHING
        self.began = False  # its task has had its first turn
        self.task: asyncio.Task[None] | None = None


class Streams:
    """Serves a connection whose bytes are HTTP/2. ``busy`` and ``rest`` are called when the first stream begins, and
    when none is left. ``trusted`` may say who a request's client is; ``guard`` is charged.
    """

    def __init__(
        self,
        house: House,
        way: ClearSink,
        inlet: Inlet,
        client: str,
        trusted: Networks,
        guard: Guard,
        busy: Callable[[], None],
        rest: Callable[[], None],
    ) -> None:
        self._house = house
        self._inlet = inlet
        self._client = client
        self._trusted = trusted
        self._busy = busy
        self._rest = rest
        self._guard = guard
        self._session = Session(client, house.limits, guard)
        self._multiplex = Multiplex(way, self._session, house.loop, house.transfers.rounds)
        self._streams: dict[int, Stream] = {}
        self._context = copy_context()  # one for all: nothing here sets context variables
        self._deserted = False  # the client will ask no more
        self._opened = False  # all streams may send more, and have not been told
        self._left = False  # we have said which request was the last that is looked at
        self._over = False  # nothing more is read
        self._since = house.loop.time()  # when the last stream ended,
        self._partial_since: float | None = None  # and when an unfinished frame or head began
        self._owed: dict[int, float] = {}  # streams that are answered, and until when their clients may go on
        self._letting_go: asyncio.TimerHandle | None = None

    def exchanges(self) -> Iterator[Exchange]:
        """What runs at this moment; it may change while this goes on."""
        for stream in list(self._streams.values()):
            yield Exchange(stream.client, stream.asked[1], stream.sink)

    async def run(self, ahead: bytes | None) -> None:
        """Serve it to its end. The socket is the caller's to close. ``ahead`` has come already (see Inlet.receive)."""
        house = self._house
        if not house.budget.can_share(stream=False):
            self._session.go_away()
            self._multiplex.push()
            self._multiplex.close()
            return
        house.budget.shared(1)
        try:
            await self._read(ahead)
            await self._finish(_GONE_SECONDS)
            self._multiplex.push()
            await self._multiplex.wait_drained(0, house.linger_seconds)
        finally:
            self._over = True
            await self._finish()
            if self._letting_go is not None:
                self._letting_go.cancel()
            self._multiplex.close()
            house.budget.shared(-1)

    def drain(self) -> None:
        """Take what is on its way, finish what runs, and then end."""
        if not self._session.settled:
            self._stop()
            return
        self._session.go_away(LAST_STREAM)
        self._multiplex.push()
        self._house.loop.call_later(_ECHO_SECONDS, self._leave)

    def _leave(self) -> None:
        """What was on its way when we said so has come."""
        if not self._over and not self._left:
            self._left = True
            self._session.go_away()
            self._multiplex.push()
            self._end_if_done()

    def _stop(self) -> None:
        self._over = True
        self._inlet.give_up()

    def _end_if_done(self) -> None:
        if (self._left or self._deserted) and not self._streams:
            self._stop()

    # In

    async def _read(self, data: bytes | None) -> None:
        house, session = self._house, self._session
        while data and not self._over:
            session.take(data)
            try:
                await self._step()
            except Violation:
                self._lose()
                return
            self._say()
            if len(session.out) > OUT_BYTES and not await self._multiplex.wait_drained(OUT_BYTES, house.idle_seconds):
                return
            if self._over or self._inlet.evicted:
                return
            self._partial_since = None if session.idle else self._partial_since or house.loop.time()
            self._set_deadline()
            if house.pace.waited_for:
                await asyncio.sleep(0)  # more may have come already, without end: others have their turns first
            try:
                data = await self._inlet.receive()
            except OSError:
                data = b""
        if data == b"":
            self._lose()
        if data is None and not self._over and not self._inlet.evicted:
            session.go_away()

    async def _step(self) -> None:
        """Handle all frames that have come whole, a quantum at a time. Nothing is read from the client meanwhile.

        Raises Violation.
        """
        session, guard, pace = self._session, self._guard, self._house.pace
        guard.settle(self._house.loop.time())
        spent, left = pace.spent, guard.left
        while not self._over and (cost := session.due()) is not None:
            if guard.left < cost or spent:
                self._say()
                pace.note(left - guard.left)
                await pace.turn(guard, cost, self._is_deserted)
                if self._is_deserted():
                    self._over = True  # the rest would be done for nobody
                    self._lose()
                    return
                spent, left = False, guard.left
                continue
            for event in session.step():
                self._hear(event)
        pace.note(left - guard.left)

    def _is_deserted(self) -> bool:
        """Whether the client has closed its end. A client of HTTP/2 that waits for answers does not."""
        return self._inlet.deserted

    def _say(self) -> None:
        """Tell the streams, and the client, what has come of the frames so far."""
        if self._opened:
            self._opened = False
            self._multiplex.opened(None)
        self._multiplex.push()

    def _lose(self) -> None:
        """Nobody is there any more for what runs."""
        for stream in list(self._streams.values()):
            self._multiplex.lose(stream.sink)
        self._multiplex.push()

    def _drop(self, number: int, stream: Stream) -> None:
        """End a stream whose client does not want the answer: its task, its slot and its place in line go at once.

        A task that waits at its socket or in line is told. One that waits for something else, such as a disk, is
        cancelled in the next step of the loop. One that has not begun never begins.
        """
        assert stream.task is not None
        if not stream.began:
            stream.sink.gone = True
            stream.task.cancel()
            self._end(number, stream, self._house.clock.monotonic(), PeerGone.reason)
        elif self._multiplex.lose(stream.sink):
            self._house.loop.call_soon(
                stream.task.cancel, PeerGone.reason
            )  # which means nothing where that was the end
        else:
            stream.task.cancel(PeerGone.reason)

    def _set_deadline(self) -> None:
        deadline = math.inf if self._streams else self._since + self._house.idle_seconds
        if self._partial_since is not None:
            deadline = min(deadline, self._partial_since + self._house.head_seconds)
        self._inlet.deadline = deadline

    def _hear(self, event: events.Event) -> None:
        stream = self._streams.get(getattr(event, "stream", 0))
        match event:
            case events.Asked() | events.Declined():
                self._begin(event)
            case events.Gone() if stream is not None:
                self._drop(event.stream, stream)
            case events.Opened() if not event.stream:
                self._opened = True  # told once for all frames that say so
            case events.Opened() if stream is not None:
                self._multiplex.opened(stream.sink)
            case events.Reprioritized() if stream is not None:
                stream.sink.priority = priority.parse(event.priority)
                self._multiplex.prioritized(stream.sink)
            case events.Leaving():
                self._deserted = True
                self._end_if_done()
            case events.Answered():
                self._leave()

    def _begin(self, event: events.Asked | events.Declined) -> None:
        house = self._house
        if not house.budget.can_share(stream=True):
            self._session.reset(event.stream, Code.REFUSED_STREAM)  # which is safe to ask again
            return
        if not self._streams:
            self._busy()
        house.budget.shared(0, 1)
        sink = StreamSink(event.stream, self._multiplex, house.clock)
        stream = self._streams[event.stream] = Stream(sink, self._client)
        if isinstance(event, events.Asked) and self._trusted:
            event = self._attribute(event, stream)
        if isinstance(event, events.Asked):
            request = event.request
            sink.priority = priority.parse(request.field("priority"))
            stream.request = request
            stream.asked = asked(request)
            answer = self._answer(event.stream, stream)
        else:
            stream.asked = (event.method, "-", (2, 0), "")
            answer = self._decline(event, stream)
        stream.task = house.loop.create_task(answer, context=self._context)

    def _attribute(self, event: events.Asked, stream: Stream) -> events.Asked | events.Declined:
        """Attribute a request to the client that a trusted proxy names, and charge that client's account.

        The request of a client that owes too much is declined. The connection is the proxy's, and goes on.
        """
        request = event.request
        stream.client = true_client(self._client, request.fields, self._trusted)
        if stream.client == self._client:
            return event
        guard = stream.guard = Guard(self._house.account(stream.client))
        guard.settle(self._house.loop.time())
        self._guard.pay(event.cost)
        guard.charge(event.cost)
        if guard.account.exhausted:
            error = ProtocolError(429, "too much work was asked for")
            return events.Declined(event.stream, error, request.method, request.field("accept"))
        return replace(event, request=replace(request, client=stream.client))

    # Out

    async def _answer(self, number: int, stream: Stream) -> None:
        started, ended = self._house.clock.monotonic(), "complete"
        stream.began = True
        try:
            if stream.guard is not None and stream.guard.account.pause:
                await self._house.pace.turn(stream.guard)
            await self._house.files.respond(_take(stream), stream.sink)
        except BaseException as error:
            ended = ending(error)
            self._fail(number, stream, error)
        finally:
            self._end(number, stream, started, ended)

    async def _decline(self, event: events.Declined, stream: Stream) -> None:
        started, ended, why = self._house.clock.monotonic(), "refused", str(event.error)
        stream.began = True
        try:
            await self._refuse(stream, event.error.status, f"{why[0].upper()}{why[1:]}.", event.accept)
        except BaseException as error:
            ended = ending(error)
            self._fail(event.stream, stream, error)
        finally:
            self._end(event.stream, stream, started, ended)

    async def _refuse(self, stream: Stream, status: int, detail: str, accept: str | None) -> None:
        plan = refuse(status, detail, accept)
        if stream.asked[0] == "HEAD":
            plan = replace(plan, parts=(), content=False)
        await self._house.transfers.send(plan, stream.sink)

    def _fail(self, number: int, stream: Stream, error: BaseException) -> None:
        """What has gone out must not look complete. The other streams go on. Raises what is a fault of ours."""
        sink = stream.sink
        if isinstance(error, OSError) and not sink.status and not sink.gone:  # a failing disk, and nothing has gone out
            sink.status = 500
            self._session.head(number, Plan(500), sink.date(), True)
            return
        ours = not isinstance(error, (Stalled, TooSlow, Drained, asyncio.CancelledError))
        self._session.reset(number, Code.INTERNAL_ERROR if ours else Code.CANCEL)
        if not isinstance(error, (TransferError, OSError, asyncio.CancelledError)):
            raise error

    def _owe(self, number: int) -> None:
        """A stream has its answer before its request's end: its client has a moment to come to that."""
        loop = self._house.loop
        self._owed = {each: until for each, until in self._owed.items() if self._session.owed(each)}  # few, by the wire
        self._owed[number] = loop.time() + _OWED_SECONDS
        if self._letting_go is None:  # one for the connection: a timer for each would outlive it, and whoever asks more
            self._letting_go = loop.call_at(self._owed[number], self._let_go)

    def _let_go(self) -> None:
        """The moment is over, of the first at least."""
        self._letting_go, now = None, self._house.loop.time()
        for number in [each for each, until in self._owed.items() if until <= now]:
            del self._owed[number]
            self._session.let_go(number)
        self._multiplex.push()
        if self._owed:
            self._letting_go = self._house.loop.call_at(min(self._owed.values()), self._let_go)

    def _end(self, number: int, stream: Stream, started: float, ended: str) -> None:
        house = self._house
        if stream.guard is not None:
            _settle(stream, stream.guard, ended)
        self._session.end(number)
        if self._session.owed(number):
            self._owe(number)
        self._multiplex.shut(stream.sink)
        del self._streams[number]
        house.budget.shared(0, -1)
        self._multiplex.push()
        house.record(entry(house.clock, stream.client, stream.asked, stream.sink, started, ended))
        if not self._streams:
            self._since = house.loop.time()
            self._set_deadline()
            self._rest()
        self._end_if_done()

    async def _finish(self, seconds: float = 0.0) -> None:
        """End what still runs. Who has been told so already has so many seconds to see it."""
        tasks = [stream.task for stream in self._streams.values() if stream.task is not None]
        if tasks and seconds and all(stream.sink.gone for stream in self._streams.values()):
            await asyncio.wait(tasks, timeout=seconds)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for number, stream in list(self._streams.items()):  # cancelled before they had begun
            self._session.reset(number, Code.CANCEL)
            self._end(number, stream, self._house.clock.monotonic(), Drained.reason)


def _settle(stream: Stream, guard: Guard, ended: str) -> None:
    """Charge or pay what a stream came to, for a client behind a proxy. The session knows only the proxy."""
    if ended == "complete":
        guard.finish()
    elif stream.sink.gone:
        guard.charge(costs.RESET)
    guard.pay(stream.sink.taken * costs.DELIVERED_BYTE)
    guard.close()


def _take(stream: Stream) -> Request:
    """The request, which is then its answerer's alone: it may let go of it while the answer flows."""
    request, stream.request = stream.request, None
    assert request is not None
    return request
