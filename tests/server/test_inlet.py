"""The way in of a connection: nobody waits for ever."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace

from freight.guard import Guard
from freight.server.inlet import Inlet
from freight.wire.http1 import Inbound, Limits

PATIENCE_SECONDS = 20.0


def test_who_gives_up_while_the_loop_tells_of_bytes_that_were_taken_waits_no_longer() -> None:
    """The loop sees the same bytes twice. The reader takes them before the second call, which then wakes it in vain."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair()
        with near, far:
            near.setblocking(False)
            patience = SimpleNamespace(loop=loop, idle_seconds=PATIENCE_SECONDS, head_seconds=PATIENCE_SECONDS)
            inlet = Inlet(near, Inbound("127.0.0.1", Limits(), "http"), patience, Guard())

            async def read() -> bytes | None:
                assert await inlet.receive() == b"1"
                loop.call_soon(inlet.give_up)  # behind the loop's second call, before what that wakes
                return await inlet.receive()

            reader = loop.create_task(read())
            await asyncio.sleep(0)
            far.send(b"1")
            assert await asyncio.wait_for(reader, PATIENCE_SECONDS) is None
            inlet.close()

    asyncio.run(scenario())
