"""A connection's reader never waits for ever."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace

from freight.server.connection_reader import ConnectionReader
from freight.wire.accounting import ConnectionAccount
from freight.wire.http1.parser import Limits, RequestParser

PATIENCE_SECONDS = 20.0


def reader_of(connected: socket.socket) -> ConnectionReader:
    """Return a reader of a socket for the running loop."""
    connected.setblocking(False)
    seconds = dict.fromkeys(("idle_seconds", "keep_alive_seconds", "head_seconds"), PATIENCE_SECONDS)
    timeouts = SimpleNamespace(loop=asyncio.get_running_loop(), **seconds)
    return ConnectionReader(connected, RequestParser("127.0.0.1", Limits(), "http"), timeouts, ConnectionAccount())


def test_a_socket_is_not_watched_while_nothing_waits_for_its_bytes_and_is_again_at_the_next_wait() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair()
        with near, far:
            reader = reader_of(near)
            task = loop.create_task(reader.receive())
            await asyncio.sleep(0)
            reader.stop_watching()  # not while the reader waits
            far.send(b"1")
            assert await asyncio.wait_for(task, PATIENCE_SECONDS) == b"1"
            reader.stop_watching()
            assert not loop.remove_reader(near)
            far.send(b"2")
            assert await asyncio.wait_for(reader.receive(), PATIENCE_SECONDS) == b"2"
            reader.close()

    asyncio.run(scenario())


def test_a_stop_while_the_loop_reports_bytes_that_were_read_before_ends_the_wait() -> None:
    """The loop reports the same bytes twice. The reader takes them before the second report, which wakes it in vain."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair()
        with near, far:
            reader = reader_of(near)

            async def read() -> bytes | None:
                assert await reader.receive() == b"1"
                loop.call_soon(reader.stop_waiting)  # after the second report, and before the task that it wakes
                return await reader.receive()

            task = loop.create_task(read())
            await asyncio.sleep(0)
            far.send(b"1")
            assert await asyncio.wait_for(task, PATIENCE_SECONDS) is None
            reader.close()

    asyncio.run(scenario())
