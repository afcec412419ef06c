"""When a connection gives way to others: always between two requests of HTTP/1, and for a turn only in debt."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from freight.flow.poller import Poller
from freight.http.client_address import NO_NETWORKS
from freight.model import Plan, Request
from freight.protocols import Sink
from freight.runtime.clock import SystemClock
from freight.server.connection import Connection
from freight.server.context import ServerContext
from freight.server.http2.connection import Http2Connection
from freight.server.socket_sink import SocketSink
from freight.server.turns import TurnScheduler
from freight.wire import costs
from freight.wire.accounting import MAX_DEBT, QUANTUM_IN_DEBT, ClientAccount, ConnectionAccount
from freight.wire.http1.parser import Limits
from support.raw_h2 import PREFACE, frame, settings

SECONDS = 20.0
REQUEST = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /%b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class CountingScheduler(TurnScheduler):
    """Counts the turns that connections wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = 0

    async def wait_turn(
        self, charges: ConnectionAccount, cost: float = 0.0, gone: Callable[[], bool] | None = None
    ) -> None:
        self.waits += 1
        await super().wait_turn(charges, cost, gone)


class CountingResponder:
    """Answers each request without waiting, and keeps the targets in order."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def respond(self, request: Request, sink: Sink, remember: object = None) -> None:
        self.asked.append(request.target)
        for segment in sink.segments(Plan(204, (), (), 0, content=False), None):
            assert isinstance(segment, bytes)
            sink.send(segment, False)


class NoObserver:
    """Keeps no connection."""

    def idle(self, connection: Connection) -> None: ...

    def busy(self, connection: Connection) -> None: ...

    def handshake_waits(self, connection: Connection, answered: bool) -> None: ...

    def handshake_resumed(self, connection: Connection) -> None: ...

    def handshake_done(self, connection: Connection) -> None: ...

    def closed(self, connection: Connection) -> None: ...


class Served:
    """A context for connections, and their clients."""

    def __init__(self) -> None:
        self.responder, self.turns = CountingResponder(), CountingScheduler()
        limits = SimpleNamespace(idle_seconds=SECONDS)
        transfers: Any = SimpleNamespace(limits=limits, patience_seconds=SECONDS)
        # What a connection of HTTP/1 asks while answers of its pipeline are not acknowledged.
        budget: Any = SimpleNamespace(can_keep_answer=lambda: True, answer_kept=lambda count=1: None)
        self.context = ServerContext(
            asyncio.get_running_loop(),
            *(self.responder, transfers, budget, SystemClock(), Limits(), lambda entry: None),
            turns=self.turns,
        )

    async def ask(self, *pipelines: bytes, account: ClientAccount | None = None) -> None:
        """Have pipelines answered, each on a connection of one client that has sent all before it is read."""
        clients, connections = list[socket.socket](), list[Connection]()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            for pipeline in pipelines:
                client = socket.create_connection(listening.getsockname(), 20)
                client.sendall(pipeline)
                client.shutdown(socket.SHUT_WR)
                clients.append(client)
                near, _ = listening.accept()
                near.setblocking(False)
                charges = ConnectionAccount(account or ClientAccount())
                connections.append(Connection(self.context, near, "127.0.0.1", NoObserver(), charges))
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(*(connection.run() for connection in connections))
        for client in clients:
            client.close()


def play(scene: Callable[[Served], Awaitable[None]]) -> None:
    async def run() -> None:
        await scene(Served())

    asyncio.run(run())


def pipeline(name: bytes, count: int) -> bytes:
    """Return ``count`` requests of one client, in one piece."""
    return REQUEST % name * (count - 1) + LAST % name


@pytest.mark.parametrize("count", [1, 2, 100])
def test_ordinary_requests_wait_for_no_turn(count: int) -> None:
    async def scene(served: Served) -> None:
        await served.ask(pipeline(b"a", count), pipeline(b"b", count))
        assert sorted(served.responder.asked) == ["/a"] * count + ["/b"] * count
        assert served.turns.waits == 0

    play(scene)


def test_the_same_requests_of_a_client_in_debt_wait_for_turns() -> None:
    async def scene(served: Served) -> None:
        account, count = ClientAccount(), 10
        account.charge(MAX_DEBT)
        await served.ask(pipeline(b"a", count), account=account)
        assert served.responder.asked == ["/a"] * count
        assert served.turns.waits >= count * costs.REQUEST // QUANTUM_IN_DEBT

    play(scene)


def test_a_connection_with_much_pipelined_work_gives_way_after_each_request() -> None:
    """Its requests could be answered one after another without end. Other connections come in between."""

    async def scene(served: Served) -> None:
        await served.ask(pipeline(b"a", 50), pipeline(b"b", 50))
        asked = served.responder.asked
        assert len(asked) == 100
        assert [one for one, other in pairwise(asked) if one == other] == []

    play(scene)


class EagerReader:
    """Returns a client's bytes, one part a read, without a wait."""

    evicted = peer_closed = False
    deadline = 0.0

    def __init__(self, parts: list[bytes], done: list[str], charges: ConnectionAccount) -> None:
        self.charges = charges
        self._parts = iter(parts)
        self._done = done

    async def receive_rest(self, handle: Callable[[bytes], bytes]) -> bytes | None:
        self._done.append("read")
        return next(self._parts, b"")

    def stop_waiting(self) -> None: ...


def test_a_connection_of_http2_gives_way_after_each_read_while_others_wait_for_turns() -> None:
    """The parts are cheap: all of them together are less than may be done without a turn."""
    reads, waiting = 50, 3

    async def scene(served: Served) -> None:
        done: list[str] = []
        charges = ConnectionAccount(ClientAccount())
        poller = Poller(asyncio.get_running_loop())
        transfers: Any = SimpleNamespace(limits=served.context.transfers.limits, poller=poller)
        budget: Any = SimpleNamespace(can_open_http2=lambda: True, http2_opened=lambda *count: None)
        context = replace(served.context, transfers=transfers, budget=budget)

        async def wait() -> None:
            while True:
                await served.turns.wait_turn(ConnectionAccount(ClientAccount()))
                done.append("turn")

        waits = [asyncio.get_running_loop().create_task(wait()) for _ in range(waiting)]
        await asyncio.sleep(0)
        near, far = socket.socketpair()
        with near, far:
            reader: Any = EagerReader([frame(200, 0, 0)] * reads, done, charges)
            state: Any = SimpleNamespace(note_busy=lambda: None, note_idle=lambda: None)
            connection = Http2Connection(
                context, SocketSink(near, SystemClock()), reader, "127.0.0.1", NO_NETWORKS, state
            )
            async with asyncio.timeout(SECONDS):
                await connection.run(PREFACE + settings())
            poller.close()
        for each in waits:
            each.cancel()
        assert done.count("read") == reads + 1
        assert charges.quantum_left > 0
        assert [one for one, other in pairwise(done) if one == other == "read"] == []

    play(scene)
