"""The flowing: one answer's head and body from a reader to a sink, never more in hand than the kernel takes at once.

Two roads. A reader with a descriptor is *pumped*: a callback per readiness hands the kernel the next bytes, by
``sendfile`` where the wire allows it. A producer is *relayed*: a coroutine asks it for a piece in the pool, sends it,
and only then asks for the next, so that a slow client slows its producer and nothing piles up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from freight.core.line import Key
from freight.disk import NOBODY, DiskPool, Work
from freight.flow.budget import Budget
from freight.flow.gate import Slot, Terms
from freight.flow.meter import Meter, reason_of
from freight.flow.pump import MARK_MIN, Pump
from freight.flow.rates import Rates
from freight.flow.rounds import Rounds
from freight.flow.waiting import Waiting, Writer
from freight.flow.warm import Warmer
from freight.model import Plan, Span
from freight.ports import Reader, Sink

_SWEEP_AT_ONCE = 1000  # transfers looked at before the loop gets its turn back: a millisecond or two
_HASTE = 4  # while others wait, patience is shorter by this,
_LENT_SECONDS = 10.0  # and no longer than this with a client that keeps what it was lent


class Transfers:
    """Runs the transfers of one event loop, and ends those whose client stalls or is too slow.

    ``pool`` is where producers and cold disks may block; ``rates`` are others than those of the terms, if given.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pool: DiskPool,
        budget: Budget,
        meter: Meter,
        terms: Terms,
        rates: Rates | None = None,
    ) -> None:
        self.terms = terms
        self.rounds = Rounds(loop)
        self.rates = rates or Rates(terms.rate, terms.client_rate)
        self._loop = loop
        self.pool = pool
        self._budget = budget
        self._meter = meter
        self._warmer = Warmer(loop, pool)

    def change(self, terms: Terms) -> None:
        """Other terms from now on, for who runs too."""
        self.terms = terms
        self.rates.change(terms.rate, terms.client_rate, self._loop.time())

    async def transfer(self, reader: Reader, plan: Plan, sink: Sink, slot: Slot) -> None:
        """Send a plan whose spans ``reader`` has. Returns when the kernel has all of it.

        Raises a :class:`~freight.errors.TransferError` when it cannot be finished: the connection is then to be ended
        abortively, as what has gone out must not look complete.
        """
        segments = sink.segments(plan, reader.size)
        fd, began, reason, made = reader.fileno(), self._loop.time(), None, 0
        pump = None if fd is None else Pump(fd, reader, segments, sink, slot, self._budget, self._warmer, self.rates)
        del plan  # thousands of these frames wait at once, each for hours: let them hold little
        self.rates.join(slot.key, began)
        try:
            if pump is None:
                made = await self._relay(reader, segments, sink, slot.key)
                reader.check()
            else:
                del segments
                await self._pump(pump)
        except BaseException as error:
            reason = reason_of(error)
            raise
        finally:
            self.rates.leave(slot.key)
            disk, moved = (pump.disk_seconds, pump.moved) if pump else (0.0, 0)
            seconds = max(0.0, self._loop.time() - began - disk)
            self._meter.ended(reason, moved + made, moved if sink.zero_copy else 0, seconds, disk)

    async def _pump(self, pump: Pump) -> None:
        if not pump.start():
            try:
                await pump.begin(self._loop, self.rounds)
            finally:
                pump.leave()

    async def send(self, plan: Plan, sink: Sink) -> None:
        """Send a plan without spans. Raises as :meth:`transfer` does."""
        await self._relay(None, sink.segments(plan, None), sink, NOBODY)

    async def sweep(self, wanted: int) -> int:
        """Look once at all transfers, and end those whose client has taken nothing, or too little, for too long.

        ``wanted``: so many others wait for a slot. For each of them one is let go with less patience. How many bytes
        all have taken since the last look.
        """
        now, terms, taken, stuck = self._loop.time(), self.terms, 0, 0
        for count, waiting in enumerate(self.rounds):
            if isinstance(waiting, Waiting) and waiting.waits:  # some have ended while others had a turn
                sink, before = waiting.sink, waiting.seen
                if sink.account.over:
                    self._budget.note(sink, sink.held())
                error = waiting.judge(now, self._patience(sink, wanted), terms.least_rate)
                taken += max(0, waiting.seen - before) if before >= 0 else 0
                stuck += sink.account.over if waiting.seen == before else 0
                if error is not None:
                    waiting.end(error)
                    wanted = max(0, wanted - 1)
            if count % _SWEEP_AT_ONCE == _SWEEP_AT_ONCE - 1:
                await asyncio.sleep(0)
        self._budget.stuck = min(stuck, self._budget.lent)
        return taken

    def _patience(self, sink: Sink, wanted: int) -> float:
        """How long a client may take nothing, in seconds."""
        patience = self.terms.idle_seconds
        if not wanted:
            return patience
        return min(patience / _HASTE, _LENT_SECONDS if sink.account.over else patience)

    def close(self) -> None:
        """Give back what the transfers share. None may run any more."""
        self.rounds.close()

    async def _relay(self, reader: Reader | None, segments: Iterator[bytes | Span], sink: Sink, client: Key) -> int:
        """How many bytes the reader has made."""
        sink.bound(MARK_MIN)
        made = 0
        for segment in segments:
            if isinstance(segment, bytes):
                await self._write(segment, sink)
                continue
            assert reader is not None  # only a plan with spans has any
            while piece := await self._make(reader, client):
                await self._write(sink.piece(piece), sink)
                made += len(piece)
        return made

    async def _make(self, reader: Reader, client: Key) -> bytes:
        """The producer's next piece."""
        job = self.pool.submit(reader.read, work=Work.LISTING, device=reader.device, client=client)
        return await asyncio.wrap_future(job, loop=self._loop)

    async def _write(self, data: bytes, sink: Sink) -> None:
        writer = Writer(data, sink, self._budget)
        if not writer.start():
            try:
                await writer.begin(self._loop, self.rounds)
            finally:
                writer.leave()
