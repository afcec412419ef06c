"""The flowing: one answer's head and body from a reader to a sink, never more in hand than the kernel takes at once.

Two roads. A reader with a descriptor is *pumped*: a callback per readiness hands the kernel the next bytes, by
``sendfile`` where the wire allows it. A producer is *relayed*: a coroutine asks it for a piece in the pool, sends it,
and only then asks for the next, so that a slow client slows its producer and nothing piles up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Executor

from freight.errors import Stalled
from freight.flow.budget import WINDOW_MIN
from freight.flow.gate import Slot
from freight.flow.pump import Pump, Writer
from freight.flow.rounds import Rounds
from freight.flow.warm import Warmer
from freight.model import Plan, Span
from freight.ports import Reader, Sink

_SWEEP_AT_ONCE = 1000  # transfers looked at before the loop gets its turn back: a millisecond or two


class Transfers:
    """Runs the transfers of one event loop, and ends those whose client stands still.

    ``idle_seconds``: how long a client may take nothing. ``pool`` is where producers and cold disks may block.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, pool: Executor, idle_seconds: float) -> None:
        self._loop = loop
        self._pool = pool
        self._idle_seconds = idle_seconds
        self._rounds = Rounds(loop)
        self._warmer = Warmer(loop, pool)

    async def transfer(self, reader: Reader, plan: Plan, sink: Sink, slot: Slot) -> None:
        """Send a plan whose spans ``reader`` has. Returns when the kernel has all of it.

        Raises a :class:`~freight.errors.TransferError` when it cannot be finished: the connection is then to be ended
        abortively, as what has gone out must not look complete.
        """
        segments = sink.segments(plan, reader.size)
        fd = reader.fileno()
        if fd is None:
            await self._relay(reader, segments, sink)
            reader.check()
            return
        pump = Pump(fd, reader, segments, sink, slot, self._warmer)
        del plan, segments  # thousands of these frames wait at once, each for hours: let them hold little
        if not pump.start():
            try:
                await pump.begin(self._loop, self._rounds)
            finally:
                pump.leave()

    async def send(self, plan: Plan, sink: Sink) -> None:
        """Send a plan without spans. Raises as :meth:`transfer` does."""
        await self._relay(None, sink.segments(plan, None), sink)

    async def sweep(self) -> None:
        """Look once at all transfers and end those whose client has taken nothing for too long."""
        now = self._loop.time()
        for count, waiting in enumerate(self._rounds):
            if waiting.stands_still(now, self._idle_seconds):
                waiting.end(Stalled("the client took nothing for the idle timeout"))
            if count % _SWEEP_AT_ONCE == _SWEEP_AT_ONCE - 1:
                await asyncio.sleep(0)

    def close(self) -> None:
        """Give back what the transfers share. None may run any more."""
        self._rounds.close()

    async def _relay(self, reader: Reader | None, segments: Iterator[bytes | Span], sink: Sink) -> None:
        sink.bound(WINDOW_MIN)
        for segment in segments:
            if isinstance(segment, bytes):
                await self._write(segment, sink)
                continue
            assert reader is not None  # only a plan with spans has any
            while piece := await self._loop.run_in_executor(self._pool, reader.read):
                await self._write(sink.piece(piece), sink)

    async def _write(self, data: bytes, sink: Sink) -> None:
        writer = Writer(data, sink)
        if not writer.start():
            try:
                await writer.begin(self._loop, self._rounds)
            finally:
                writer.leave()
