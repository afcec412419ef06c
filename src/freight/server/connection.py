"""One connection, from accept to close: read a head, respond, repeat. A linear coroutine."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from freight.core.client import canonical, true_client
from freight.core.decide import refuse
from freight.errors import ProtocolError, TransferError
from freight.guard import DEBT_FREE, ORDINARY, Guard, shared
from freight.heap import private_bytes
from freight.model import Request
from freight.server.house import NOTHING, Exchange, House, asked, ending, entry
from freight.server.inlet import Inlet, is_unheard
from freight.server.origin import NOT_PROXIED, wait_origin
from freight.server.sink import ClearSink
from freight.wire import costs
from freight.wire.events import Preface
from freight.wire.http1 import Inbound

if TYPE_CHECKING:  # loaded where they are used: the one with h2, the other with ssl
    from freight.server.streams import Streams
    from freight.server.tls import Tls

_LATE_SECONDS = 1.0
_LINGER_BYTES = 256 * 1024  # what a client may send before it sees that the connection has ended
_PLENTY = 4096  # bytes: more than a PROXY header has
_FIN_BYTES = 1  # our own end counts as a byte until it is acknowledged
_WHOLE = struct.pack("ii", 0, 0)  # struct linger: off. close(2) then leaves it to the kernel to send the rest
_NOT_SECURED = "not-secured"  # how the log says that there was no handshake


class Crowd(Protocol):
    """Who keeps all connections, and is told what each is about."""

    def idle(self, connection: Connection) -> None:
        """It waits for a request, or for more of one."""

    def busy(self, connection: Connection) -> None:
        """It has a whole request to answer."""

    def shaking(self, connection: Connection, answered: bool | None) -> None:
        """More of a handshake is waited for; ``answered``: the client has our answer. None: it has come."""

    def secured(self, connection: Connection) -> None:
        """It has shaken hands, where it had to."""

    def closed(self, connection: Connection) -> None:
        """It has closed its socket."""


class Connection:
    """Serves one accepted socket, which is non-blocking and belongs to it."""

    __slots__ = (
        "_asked",
        "_client",
        "_cost",
        "_crowd",
        "_guard",
        "_house",
        "_inlet",
        "_last",
        "_payer",
        "_peer",
        "_request",
        "_seen",
        "_sink",
        "_socket",
        "_streams",
        "_trusted",
        "idle_since",
        "task",
    )

    def __init__(self, house: House, connected: socket.socket, client: str, crowd: Crowd, guard: Guard) -> None:
        self._house = house
        self._socket = connected
        self._peer = self._client = canonical(client)  # whose connection it is; who the present request's client is
        self._trusted = house.trusted  # who may say so
        self._crowd = crowd
        self._guard = guard  # charged for the connection
        self._payer = guard  # charged for the present request,
        self._cost = 0.0  # this much when it has ended
        self._inlet = Inlet(connected, self._inbound(), house, guard)
        self._sink = ClearSink(connected, house.clock)
        self._request: Request | None = None  # read and not yet answered
        self._asked = NOTHING  # what the log says of it
        self._streams: Streams | None = None  # it speaks HTTP/2
        self._last: asyncio.TimerHandle | None = None  # ends the wait for a last request, while all drains
        self._seen = 0  # what the peer had taken when its time was last over
        self.idle_since = house.loop.time()
        self.task: asyncio.Task[None] | None = None  # the loop holds only weak references to tasks

    def exchanges(self) -> Iterator[Exchange]:
        """What is being answered, or was last."""
        if self._streams is not None:
            return self._streams.exchanges()
        return iter((Exchange(self._client, self._asked[1], self._sink),))

    @property
    def sink(self) -> ClearSink:
        """Its way out."""
        return self._sink

    async def run(self) -> None:
        """Serve it to its end and close it."""
        abortive = True  # unless all that was promised has gone out
        try:
            self._rest()
            if (not self._house.proxy_protocol or await self._begin()) and await self._secure(self._house.tls):
                while await self._read_request():
                    self._crowd.busy(self)
                    await self._respond()
                    # What it has asked by now could be answered at once, and so on without end: others have turns too.
                    await asyncio.sleep(0)
                    self._rest()
                    if self._sink.closes:
                        break
                    if self._inlet.draining:
                        # The head of that answer was sent before: its client may have asked again by now, or soon does.
                        self._await_last(self._sink.taken)
                if not self._inlet.evicted:
                    unasked = self._last is not None and not self._sink.closes  # it has had half of the time
                    await self._linger(self._house.linger_seconds / (2 if unasked else 1))
            # What the kernel would go on to hold for who never takes it is nobody's any more once this is closed.
            abortive = self._sink.taken - self._sink.acknowledged() > _FIN_BYTES
        except (TransferError, OSError, asyncio.CancelledError):
            pass  # told by the record of the exchange
        finally:
            if self._last is not None:
                self._last.cancel()
            if self._inlet.evicted and not self._sink.taken and self._guard.arrival <= costs.ACCEPTED:
                self._guard.forgive()
            self._guard.close()
            if abortive and self._sink.taken and is_unheard(self._socket):
                self._guard.account.charge(costs.ACCEPTED + costs.REQUEST)  # the answer was of no use to anybody
            self._close(abortive)
            self._crowd.closed(self)

    async def _begin(self) -> bool:
        """Learn whose connection it is. False where that cannot be told: no answer then, as it may not be HTTP."""
        house, inlet = self._house, self._inlet
        if inlet.over:
            return False
        started = house.clock.monotonic()
        inlet.allow(house.head_seconds)
        try:
            # Byte by byte where TLS follows: what stands behind the header is OpenSSL's to read.
            most = _PLENTY if house.tls is None else 1
            origin = await wait_origin(self._peer, house.trusted, partial(inlet.receive, most))
        except ProtocolError:
            self._record(started, NOT_PROXIED)
            return False
        if origin is None:
            return False
        self._peer, self._trusted = origin.client, origin.trusted
        self._guard.move(house.account(self._peer))
        if self._guard.account.pause:
            await house.pace.turn(self._guard)
        inlet.inbound = self._inbound()
        inlet.inbound.feed(origin.ahead)
        return True

    def _inbound(self) -> Inbound:
        return Inbound(self._peer, self._house.limits, "http" if self._house.tls is None else "https")

    async def _secure(self, tls: Tls | None) -> bool:
        """Shake hands, where TLS is spoken. False where that came to nothing: who then speaks HTTP in clear is told."""
        if tls is None:
            return True
        if self._inlet.over:
            return False
        started = self._house.clock.monotonic()
        self._inlet.allow(self._house.head_seconds)
        self._inlet.close()
        stream = self._socket = tls.wrap(self._socket)
        self._sink = tls.sink(stream, self._house.clock)
        self._inlet.turn_to(stream)
        answered = False
        try:
            while not self._inlet.evicted:
                self._crowd.shaking(self, tls.answered(stream))
                if not await self._inlet.wait_readable():
                    break
                self._crowd.shaking(self, None)
                if self._guard.left < 0.0:
                    await self._house.pace.turn(self._guard)
                secured = await tls.step(stream)
                if not answered and (answered := secured or tls.answered(stream)):
                    self._guard.arrive(costs.HANDSHAKE)  # most of it is the key exchange
                if secured:
                    self._crowd.secured(self)
                    return True
        except ConnectionAbortedError:
            self._record(started, _NOT_SECURED)
        except ConnectionRefusedError:
            self._socket = socket.socket(fileno=stream.detach())
            self._socket.setblocking(False)
            self._inlet.turn_to(self._socket)
            self._sink = ClearSink(self._socket, self._house.clock)
            await self._refuse(ProtocolError(400, "plain HTTP was sent to a port that speaks HTTPS; use https://"))
            await self._linger(self._house.linger_seconds)
        return False

    async def _respond(self) -> None:
        started, ended = self._house.clock.monotonic(), "complete"
        try:
            await self._house.files.respond(self._take_request(), self._sink)
        except BaseException as error:
            ended = ending(error)
            if self._sink.status or not isinstance(error, OSError):
                raise
            # A failing disk, before anything has gone out.
            await self._send_refusal(500, "The server could not read this.")
        finally:
            self._settle(ended)
            self._record(started, ended)

    def abort(self) -> None:
        """End it now. A body that is under way ends by reset: what has gone out must not look complete."""
        if self.task is not None:
            self.task.cancel()

    def expire(self, now: float) -> None:
        """Give up waiting for bytes when their time is over, unless the client is still taking the last answer's."""
        if not self._inlet.overdue(now):
            return
        taken = self._sink.acknowledged()
        if taken < self._sink.taken and taken != self._seen:
            self._inlet.deadline = now + self._house.idle_seconds
        else:
            self._inlet.give_up()
        self._seen = taken

    def evict(self) -> None:
        """Make room for others: to be called while it is idle."""
        if self._sink.held():
            self.abort()  # a reset drops what is queued, where a close would leave it to the kernel
        else:
            self._inlet.evicted = True
            self._inlet.give_up()

    @property
    def has_spoken(self) -> bool:
        """Whether anything of a request has been read."""
        return self._sink.taken > 0 or self._streams is not None or not self._inlet.inbound.idle

    @property
    def has_done(self) -> bool:
        """Whether it ends, and its client's kernel has all of it, our end included: only its own end is waited for."""
        sink = self._sink
        return sink.closes and 0 < sink.taken == sink.acknowledged() and not sink.held()

    def has_come(self) -> bool:
        """Whether there are bytes to be read, or the end."""
        try:
            socket.socket.recv(self._socket, 1, socket.MSG_PEEK)  # not TLS's own, which knows no flags
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True

    def release(self) -> None:
        """Give the budget back what the kernel held for it. To be called when it has closed."""
        self._house.budget.forget(self._sink)

    def _rest(self) -> None:
        self.idle_since = self._house.loop.time()
        self._crowd.idle(self)

    def drain(self, grace_seconds: float) -> None:
        """Let the present exchange be the last, or one that begins so soon; close at once when there is none."""
        self._inlet.drain(grace_seconds)
        if self._streams is not None:
            self._streams.drain()  # whatever is asked behind that may be asked anew elsewhere
            return
        self._sink.refuse_next()
        if self._inlet.inbound.idle and self._inlet.over:
            self._inlet.give_up()

    def _await_last(self, taken: int) -> None:
        """Let one more request begin: its answer will say that the connection ends (RFC 9112 section 9.6).

        Until then no client can know it, and what it has sent by the time that we close has no answer. ``taken`` is how
        far the client has come with the last answer, in bytes of the connection.
        """
        seconds = self._inlet.begin_within(self._house.linger_seconds / 2)
        self._last = self._house.loop.call_later(seconds, self._give_up_last, taken)

    def _give_up_last(self, seen: int) -> None:
        taken = self._sink.acknowledged()
        if taken != seen:
            self._await_last(taken)  # it is still taking the last answer
        elif self._inlet.inbound.idle:
            self._inlet.give_up()

    async def _read_request(self) -> bool:
        """Read the next request's head. False at the end, however it comes."""
        self._client = self._peer
        if self._sink.multiplexed:
            self._inlet.allow(self._house.head_seconds)
            await self._multiplex(await self._inlet.receive())
            return False
        try:
            head = await self._inlet.read_head()
        except ProtocolError as error:
            await self._refuse(error)
            return False
        if isinstance(head, Preface):
            await self._multiplex(head.ahead)
            return False
        if head is None:
            return False
        request = head.request
        if self._trusted:
            self._client = true_client(self._peer, request.fields, self._trusted)
            request = replace(request, client=self._client)
        payer = self._payer = self._guard if self._client == self._peer else Guard(self._house.account(self._client))
        cost = costs.REQUEST + self._inlet.inbound.head_bytes * costs.HEAD_BYTE
        if head.content != 0:
            cost += costs.CONTENT
        if cost <= ORDINARY and payer.account.debt <= DEBT_FREE:
            self._cost = shared(cost)  # and no turn: between two requests of a connection others have theirs anyway
        elif await self._charge(payer, cost):
            self._cost = 0.0
        else:
            return False
        self._request = request
        self._asked = asked(request)
        self._sink.begin(request.version, head.keep_alive and not self._inlet.draining)
        return True

    async def _charge(self, payer: Guard, cost: float) -> bool:
        """Charge for a request that is expensive, or whose client is in debt; wait for a turn. False: it is over."""
        if payer is not self._guard and payer.account.pause:
            payer.left = 0.0  # each request of a client in debt waits, whatever connection it comes by
        await self._house.pace.begin(payer, cost)
        if payer.overdrawn or (payer is not self._guard and payer.account.exhausted):
            await self._refuse(ProtocolError(429, "too much work was asked for"))
            return False
        return not self._inlet.evicted  # while it waited

    def _settle(self, ended: str) -> None:
        """Pay for a request as far as it was of use: for an answer to its end, and for delivered bytes."""
        payer = self._payer
        if ended == "complete":
            payer.finish(self._cost)
        else:
            payer.charge(self._cost)
        if payer.pending or payer.owed:
            payer.pay(max(0, self._sink.taken - self._sink.body_at) * costs.DELIVERED_BYTE)
        if payer is not self._guard:
            payer.close()

    async def _multiplex(self, ahead: bytes | None) -> None:
        """Speak HTTP/2 from here on. A thread imports it: what it needs takes longer than a turn of the loop may."""
        house = self._house
        self._guard.arrive(costs.HTTP2)
        if not _loaded:
            before = private_bytes()
            _, first = await house.transfers.pool.run(_import_streams)
            if first:
                house.pardon(private_bytes() - before)
        self._streams = _import_streams()[0](
            house,
            self._sink,
            self._inlet,
            self._peer,
            self._trusted,
            self._guard,
            lambda: self._crowd.busy(self),
            self._rest,
        )
        # One that came just before we handed over may ask what it has to ask; then it is told to go elsewhere.
        late = house.loop.call_later(_LATE_SECONDS, self._streams.drain) if self._inlet.draining else None
        try:
            await self._streams.run(ahead)
        finally:
            if late is not None:
                late.cancel()

    def _take_request(self) -> Request:
        """The request, which is then its answerer's alone: it may let go of it while the answer flows."""
        request, self._request = self._request, None
        assert request is not None
        return request

    async def _refuse(self, error: ProtocolError) -> None:
        """Answer what never became a request. The connection ends behind it: nobody knows where the next one begins."""
        self._asked = (self._inlet.inbound.method or "-", "-", (1, 1), "")
        self._sink.begin((1, 1), False)
        started, ended = self._house.clock.monotonic(), "refused"
        try:
            await self._send_refusal(error.status, f"{str(error)[0].upper()}{str(error)[1:]}.")
        except BaseException as failure:
            ended = ending(failure)
            raise
        finally:
            self._record(started, ended)

    async def _send_refusal(self, status: int, detail: str) -> None:
        plan = refuse(status, detail, self._inlet.inbound.accept, close=True)
        if self._asked[0] == "HEAD":
            plan = replace(plan, parts=(), content=False)
        await self._house.transfers.send(plan, self._sink)

    def _record(self, started: float, ended: str) -> None:
        self._house.record(entry(self._house.clock, self._client, self._asked, self._sink, started, ended))
        self._asked = NOTHING  # thousands may be idle from here on

    async def _linger(self, seconds: float) -> None:
        """Say that no more comes, and let the client finish sending: a close with bytes unread would be a reset.

        That reset would take away the end of the answer from a client that has not read it yet (RFC 9112 section 9.6).
        """
        self._sink.finish()
        self._inlet.allow(seconds)
        left = _LINGER_BYTES
        while data := await self._inlet.receive():
            left -= len(data)
            if left < 0 or self._house.loop.time() > self._inlet.deadline:
                return
            self._guard.settle(self._house.loop.time())
            if self._guard.left < 0.0 and not self._inlet.deserted:  # or what may come is there already, and is little
                await self._house.pace.turn(self._guard)
            else:
                await asyncio.sleep(0)  # the next bytes may be there already, without end

    def _close(self, abortive: bool) -> None:
        """The listening socket has seen to it that an end is abortive, unless somebody says otherwise."""
        if not abortive:
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _WHOLE)
            except OSError:
                pass  # the peer was first
        self._inlet.close()
        self._socket.close()


_loaded = False


def _import_streams() -> tuple[type[Streams], bool]:
    """What speaks HTTP/2, and whether this has loaded it."""
    global _loaded
    from freight.server.streams import Streams

    first, _loaded = not _loaded, True
    return Streams, first
