"""When a connection waits for others: between two requests of HTTP/1 always, for a turn of the pace only in debt."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from freight.core.client import NOBODY
from freight.flow.rounds import Rounds
from freight.guard import DEBT_MOST, QUANTUM_IN_DEBT, Account, Guard
from freight.model import Plan, Request
from freight.ports import Sink
from freight.running import SystemClock
from freight.server.connection import Connection
from freight.server.house import House
from freight.server.pace import Pace
from freight.server.sink import ClearSink
from freight.server.streams import Streams
from freight.wire import costs
from freight.wire.http1 import Limits
from speaking import PREFACE, frame, settings

SECONDS = 20.0
REQUEST = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /%b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class CountingPace(Pace):
    """Counts the turns that connections wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = 0

    async def turn(self, guard: Guard, cost: float = 0.0, gone: Callable[[], bool] | None = None) -> None:
        self.waits += 1
        await super().turn(guard, cost, gone)


class Files:
    """Answers each request without waiting, and keeps the targets in order."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def respond(self, request: Request, sink: Sink) -> None:
        self.asked.append(request.target)
        for segment in sink.segments(Plan(204, (), (), 0, content=False), None):
            assert isinstance(segment, bytes)
            sink.send(segment, False)


class Crowd:
    """Keeps no connection."""

    def idle(self, connection: Connection) -> None: ...

    def busy(self, connection: Connection) -> None: ...

    def shaking(self, connection: Connection, answered: bool | None) -> None: ...

    def secured(self, connection: Connection) -> None: ...

    def closed(self, connection: Connection) -> None: ...


class Served:
    """A house for connections, and their clients."""

    def __init__(self) -> None:
        self.files, self.pace = Files(), CountingPace()
        terms = SimpleNamespace(idle_seconds=SECONDS)
        transfers: Any = SimpleNamespace(terms=terms)
        budget: Any = None  # which a connection that is not multiplexed never asks
        self.house = House(
            asyncio.get_running_loop(),
            *(self.files, transfers, budget, SystemClock(), Limits(), lambda entry: None),
            pace=self.pace,
        )

    async def ask(self, *pipelines: bytes, account: Account | None = None) -> None:
        """Have these answered, each by a connection of one client that has sent all before it is read."""
        clients, connections = list[socket.socket](), list[Connection]()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            for pipeline in pipelines:
                client = socket.create_connection(listening.getsockname())
                client.sendall(pipeline)
                client.shutdown(socket.SHUT_WR)
                clients.append(client)
                near, _ = listening.accept()
                near.setblocking(False)
                guard = Guard(account or Account())
                connections.append(Connection(self.house, near, "127.0.0.1", Crowd(), guard))
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(*(connection.run() for connection in connections))
        for client in clients:
            client.close()


def play(scene: Callable[[Served], Awaitable[None]]) -> None:
    async def run() -> None:
        await scene(Served())

    asyncio.run(run())


def pipeline(name: bytes, count: int) -> bytes:
    """So many requests of one client, in one piece."""
    return REQUEST % name * (count - 1) + LAST % name


@pytest.mark.parametrize("count", [1, 2, 100])
def test_ordinary_requests_wait_for_no_turn(count: int) -> None:
    async def scene(served: Served) -> None:
        await served.ask(pipeline(b"a", count), pipeline(b"b", count))
        assert sorted(served.files.asked) == ["/a"] * count + ["/b"] * count
        assert served.pace.waits == 0

    play(scene)


def test_the_same_requests_of_a_client_in_debt_wait_for_turns() -> None:
    async def scene(served: Served) -> None:
        account, count = Account(), 10
        account.charge(DEBT_MOST)
        await served.ask(pipeline(b"a", count), account=account)
        assert served.files.asked == ["/a"] * count
        assert served.pace.waits >= count * costs.REQUEST // QUANTUM_IN_DEBT

    play(scene)


def test_a_connection_with_much_pipelined_work_gives_way_after_each_request() -> None:
    """What it has sent could be answered at once, and so on without end: others have their turns in between."""

    async def scene(served: Served) -> None:
        await served.ask(pipeline(b"a", 50), pipeline(b"b", 50))
        asked = served.files.asked
        assert len(asked) == 100
        assert [one for one, other in pairwise(asked) if one == other] == []

    play(scene)


class Poured:
    """A client's bytes, a part a read, none of which has to be waited for."""

    evicted = deserted = False
    deadline = 0.0

    def __init__(self, parts: list[bytes], done: list[str]) -> None:
        self._parts = iter(parts)
        self._done = done

    async def receive(self) -> bytes | None:
        self._done.append("read")
        return next(self._parts, b"")

    def give_up(self) -> None: ...


def test_a_connection_of_http2_gives_way_after_each_read_while_others_wait_for_turns() -> None:
    """The parts are cheap: all of them together are less than may be done without a turn."""
    reads, waiting = 50, 3

    async def scene(served: Served) -> None:
        done: list[str] = []
        guard = Guard(Account())
        rounds = Rounds(asyncio.get_running_loop())
        transfers: Any = SimpleNamespace(terms=served.house.transfers.terms, rounds=rounds)
        budget: Any = SimpleNamespace(can_share=lambda stream: True, shared=lambda *counts: None)
        house = replace(served.house, transfers=transfers, budget=budget)

        async def wait() -> None:
            while True:
                await served.pace.turn(Guard(Account()))
                done.append("turn")

        waits = [asyncio.get_running_loop().create_task(wait()) for _ in range(waiting)]
        await asyncio.sleep(0)
        near, far = socket.socketpair()
        with near, far:
            inlet: Any = Poured([frame(200, 0, 0)] * reads, done)
            way = ClearSink(near, SystemClock())
            streams = Streams(house, way, inlet, "127.0.0.1", NOBODY, guard, lambda: None, lambda: None)
            async with asyncio.timeout(SECONDS):
                await streams.run(PREFACE + settings())
            rounds.close()
        for each in waits:
            each.cancel()
        assert done.count("read") == reads + 1
        assert guard.left > 0
        assert [one for one, other in pairwise(done) if one == other == "read"] == []

    play(scene)
