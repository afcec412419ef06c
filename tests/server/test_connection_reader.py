"""A connection's reader never waits for ever."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace

from freight.server.connection_reader import ConnectionReader
from freight.wire.accounting import ConnectionAccount
from freight.wire.http1.parser import Limits, RequestParser

PATIENCE_SECONDS = 20.0


def test_a_stop_while_the_loop_reports_bytes_that_were_read_before_ends_the_wait() -> None:
    """The loop reports the same bytes twice. The reader takes them before the second report, which wakes it in vain."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair()
        with near, far:
            near.setblocking(False)
            timeouts = SimpleNamespace(
                loop=loop,
                idle_seconds=PATIENCE_SECONDS,
                keep_alive_seconds=PATIENCE_SECONDS,
                head_seconds=PATIENCE_SECONDS,
            )
            reader = ConnectionReader(near, RequestParser("127.0.0.1", Limits(), "http"), timeouts, ConnectionAccount())

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
