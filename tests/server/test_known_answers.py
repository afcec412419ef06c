"""What answers a known head is called by the loop, and not by the connection's task: neither hangs, nothing leaks."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import freight
from freight.errors import Stalled
from freight.model import Entry, Plan
from freight.runtime.clock import SystemClock
from freight.server.connection import Connection
from freight.server.context import ServerContext
from freight.server.known_heads import KnownHead
from freight.server.tls.sockets import RECORD_BYTES, TlsSocket
from freight.wire.accounting import ConnectionAccount
from freight.wire.http1.parser import Limits
from freight.wire.http1.repeats import split_range
from support.certificates import unverified_context
from support.servers import Client

SECONDS = 20.0
REQUEST = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"


class Observer:
    """Knows whether the connection is idle."""

    is_idle = False

    def idle(self, connection: Connection) -> None:
        self.is_idle = True

    def busy(self, connection: Connection) -> None:
        self.is_idle = False

    def answered(self, connection: Connection) -> None: ...

    def handshake_waits(self, connection: Connection, answered: bool) -> None: ...

    def handshake_resumed(self, connection: Connection) -> None: ...

    def handshake_done(self, connection: Connection) -> None: ...

    def closed(self, connection: Connection) -> None: ...


class Answer:
    """An answer that never ends, and what it holds. ``sent`` is called when it has begun."""

    def __init__(self, sent: Callable[[], None]) -> None:
        self.plan = Plan(200, (), (), 0)
        self.held = 0
        self._sent = sent

    def send(self, *_: object) -> Coroutine[Any, Any, bool] | bool:
        self.held += 1
        self._sent()
        return self._finish()

    async def _finish(self) -> bool:
        try:
            await asyncio.sleep(2 * SECONDS)
        finally:
            self.held -= 1
        return True


async def serve(answer: Answer, connections: list[Connection]) -> list[Entry]:
    """Have the answer asked for once, on a connection that is added to the list. Return what was logged."""
    logged = list[Entry]()
    transfers: Any = SimpleNamespace(limits=SimpleNamespace(idle_seconds=SECONDS), patience_seconds=SECONDS)
    budget: Any = SimpleNamespace()
    loop, clock = asyncio.get_running_loop(), SystemClock()
    responder: Any = None
    context = ServerContext(loop, responder, transfers, budget, clock, Limits(), logged.append)
    ranged = split_range(REQUEST)
    assert ranged is not None
    context.known_heads.add(ranged.key, KnownHead(answer, b"", 1.0, "/a", (1, 1), None))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname(), SECONDS)
        near, _ = listening.accept()
    with client:
        near.setblocking(False)
        connection = Connection(context, near, "127.0.0.1", Observer(), ConnectionAccount())
        connections.append(connection)
        connection.task = loop.create_task(connection.run())
        await asyncio.sleep(0)  # from here on it waits for the request
        client.sendall(REQUEST)
        await asyncio.wait_for(connection.task, SECONDS)
    return logged


def test_an_answer_that_is_aborted_before_the_task_sends_it_is_logged_and_holds_nothing() -> None:
    connections = list[Connection]()
    answer = Answer(lambda: connections[0].abort(Stalled.reason))
    (entry,) = asyncio.run(serve(answer, connections))
    assert (entry.target, entry.ended) == ("/a", Stalled.reason)
    assert answer.held == 0


def test_a_connection_whose_answer_has_begun_is_not_idle() -> None:
    """An idle one may be evicted."""
    connections, idle = list[Connection](), list[bool]()

    def note() -> None:
        asyncio.get_running_loop().call_soon(look)

    def look() -> None:
        connection = connections[0]
        idle.append(connection._observer.is_idle)  # type: ignore[attr-defined]
        connection.abort(Stalled.reason)

    asyncio.run(serve(Answer(note), connections))
    assert idle == [False]


def test_an_error_ends_the_connection() -> None:
    def fail() -> None:
        raise RuntimeError("a fault of the server")

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(str(context["exception"])))
        await serve(Answer(fail), [])

    reported: list[str] = []
    asyncio.run(run())
    assert reported == ["a fault of the server"]


@pytest.mark.parametrize("size", [14, 100_000])
def test_bytes_that_tls_has_encrypted_but_not_sent_are_those_of_the_answer_that_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """When the host has no memory for TCP, the kernel may refuse a record. OpenSSL keeps it, and sends it first."""
    file, content = tmp_path / "a.bin", os.urandom(200_000)
    file.write_bytes(content)
    kept, refuses = list[bytes](), False
    send_records = TlsSocket.send_records

    def refuse_once(self: TlsSocket, data: memoryview, pending: int) -> tuple[int, int]:
        if pending:
            record = kept.pop()
            if len(data) < pending:
                raise ConnectionResetError("bad write retry")
            return send_records(self, memoryview(record + bytes(data[pending:])), 0)
        if refuses and file.exists():
            file.unlink()
            kept.append(bytes(data[:RECORD_BYTES]))
            return 0, len(kept[0])
        return send_records(self, data, 0)

    monkeypatch.setattr(TlsSocket, "send_records", refuse_once)
    with (
        freight.Server(tmp_path, tls_self_signed=True, port=0) as server,
        Client("127.0.0.1", server.port, tls=unverified_context()) as client,
    ):
        for number in range(4):
            refuses = number == 3
            client.get("/a.bin", f"Range: bytes=7-{6 + size}")
            assert client.read_response().content == content[7 : 7 + size]
        assert not file.exists() and not kept
        client.get("/a.bin", f"Range: bytes=7-{6 + size}")
        assert client.read_response().status == 404
