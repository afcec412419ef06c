"""Pending answers of the admin listener: a limit on the bytes held for clients that do not read them.

The status of a busy server is a megabyte or more. If the limit is reached, the oldest answers are aborted in favour of
new ones, as for a client that stalls, only sooner.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from freight.model import Plan
from freight.protocols import Sink

PENDING_BYTES = 4 << 20
"""The most bytes of pending answers together. A larger answer is held alone."""

_ABORTED_AT_ONCE = 16


class PendingAnswers:
    """Sends plans by ``send``, each in the task that calls :meth:`send`."""

    def __init__(self, send: Callable[[Plan, Sink], Awaitable[None]], max_bytes: int = PENDING_BYTES) -> None:
        self._send = send
        self._max_bytes = max_bytes
        self._bytes = 0
        self._pending: OrderedDict[asyncio.Task[object], None] = OrderedDict()  # oldest first
        self._admitting = asyncio.Lock()

    async def send(self, plan: Plan, sink: Sink) -> None:
        """Send a plan without spans. Raises a TransferError, or CancelledError if it is aborted for a newer answer."""
        task = asyncio.current_task()
        assert task is not None
        size = sum(len(part) for part in plan.parts if isinstance(part, bytes))
        async with self._admitting:  # one at a time: many answers may become ready in one turn of the loop
            while self._bytes and self._bytes + size > self._max_bytes:
                self._abort_oldest()
                await asyncio.sleep(0)
            self._pending[task] = None
            self._bytes += size
        try:
            await self._send(plan, sink)
        finally:
            self._pending.pop(task, None)
            self._bytes -= size

    def abort_oldest(self) -> None:
        """Abort the 16 oldest answers, because other connections wait for their memory."""
        for _ in range(_ABORTED_AT_ONCE):
            self._abort_oldest()

    def _abort_oldest(self) -> None:
        if self._pending:
            task, _ = self._pending.popitem(last=False)
            task.cancel()


class SharedResult:
    """Makes one result, by ``make``, for all tasks that wait for it when it is started."""

    def __init__(self, make: Callable[[], Awaitable[bytes]]) -> None:
        self._make = make
        self._making = asyncio.Lock()
        self._next: asyncio.Task[bytes] | None = None

    async def wait(self) -> bytes:
        """Return a result that is not older than this call. Other tasks may get the same."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._run())
        return await asyncio.shield(self._next)

    async def _run(self) -> bytes:
        async with self._making:
            self._next = None  # a task that asks from now on must not get older data
            return await self._make()
