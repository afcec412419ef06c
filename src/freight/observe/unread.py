"""Answers on their way to those who look at the server: few bytes of them are held, whoever does not read.

A look at a busy server is a megabyte or more. Those who have asked longest ago and have not taken their answers make
room for others: their connections are reset, as for a client that stalls, only sooner.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from freight.model import Plan
from freight.ports import Sink

UNREAD_BYTES = 4 << 20
"""The most that is held of answers that are on their way, in bytes; one that is larger is held alone."""

_AT_ONCE = 16


class Unread:
    """Sends plans by ``send``, each in the task that asks for it."""

    def __init__(self, send: Callable[[Plan, Sink], Awaitable[None]], most_bytes: int = UNREAD_BYTES) -> None:
        self._send = send
        self._most_bytes = most_bytes
        self._bytes = 0
        self._answers: OrderedDict[asyncio.Task[object], None] = OrderedDict()  # those not ended, the oldest first
        self._turn = asyncio.Lock()

    async def send(self, plan: Plan, sink: Sink) -> None:
        """Send a plan without spans. Raises a TransferError, or is cancelled to make room."""
        task = asyncio.current_task()
        assert task is not None
        size = sum(len(part) for part in plan.parts if isinstance(part, bytes))
        async with self._turn:  # one after another: a crowd may have been told the same in one turn of the loop
            while self._bytes and self._bytes + size > self._most_bytes:
                self._end_oldest()
                await asyncio.sleep(0)
            self._answers[task] = None
            self._bytes += size
        try:
            await self._send(plan, sink)
        finally:
            self._answers.pop(task, None)
            self._bytes -= size

    def make_room(self) -> None:
        """End some of the oldest: others want their connections."""
        for _ in range(_AT_ONCE):
            self._end_oldest()

    def _end_oldest(self) -> None:
        if self._answers:
            task, _ = self._answers.popitem(last=False)
            task.cancel()


class Shared:
    """Has one answer made for all who ask for it before it is begun; ``make`` makes it."""

    def __init__(self, make: Callable[[], Awaitable[bytes]]) -> None:
        self._make = make
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[bytes] | None = None

    async def wait(self) -> bytes:
        """What is made from now on, be it for others too."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._run())
        return await asyncio.shield(self._next)

    async def _run(self) -> bytes:
        async with self._turn:
            self._next = None  # who asks from now on is not to be told what was before
            return await self._make()
