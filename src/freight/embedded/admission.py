"""Admit the answers of an application while their memory fits into its budget, queue the others, reject the rest.

**Rules.**

1. An answer has a fixed cost in bytes: what the process and the application's server hold for a client that does not
   read. The sum of the costs never exceeds the budget.
2. Queued requests are admitted round-robin by client (:mod:`freight.fair_queue`).
3. An eighth of the budget is kept for small answers. They have a queue of their own.
4. A full queue rejects requests of the client that has most of it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from freight.fair_queue import FairQueue, Key
from freight.flow.retry_after import SlotReleaseRate, retry_after
from freight.model import Rejected, RejectReason, WaitReason

SMALL_BYTES = 1024 * 1024
"""The longest small answer, in bytes."""

_SMALL_SHARE = 8
_DEFAULT_WAIT_SECONDS = 10.0  # the estimated wait while no answer has ever ended


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    cost: int
    outcome: asyncio.Future[RejectReason | None]


class _Lane:
    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.queue: FairQueue[_Waiting] = FairQueue()


class Admission:
    """Admits answers to ``memory_bytes``. Use it on one event loop only."""

    def __init__(self, memory_bytes: int, queue_size: int, queue_timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue_size = queue_size
        self._queue_timeout = queue_timeout
        self._small, self._large = _Lane(memory_bytes), _Lane(memory_bytes - memory_bytes // _SMALL_SHARE)
        self._released = SlotReleaseRate(self._loop.time())
        self.used_bytes = 0
        """What the running answers may use."""
        self.running = 0
        """How many answers run."""

    @property
    def waiting(self) -> int:
        """How many requests are queued."""
        return len(self._small.queue) + len(self._large.queue)

    async def admit(
        self, key: Key, cost: int, length: int | None, on_wait: Callable[[], object] = int
    ) -> Callable[[], None] | Rejected:
        """Return the function that ends the answer, to be called once; or why it was rejected. May wait.

        ``length`` is that of the answer in bytes, None if unknown. ``on_wait`` is called before it waits. It may be
        cancelled.
        """
        lane = self._small if length is not None and length <= SMALL_BYTES else self._large
        began = self._loop.time()
        if lane.queue or not self._fits(lane, cost):
            reason = await self._wait(lane, key, cost, on_wait)
            if reason is not None:
                return self._reject(lane, key, reason, self._loop.time() - began)
        else:
            self._start(cost)
        return lambda: self._end(cost)

    async def _wait(self, lane: _Lane, key: Key, cost: int, on_wait: Callable[[], object]) -> RejectReason | None:
        if not self._queue_size or (self.waiting >= self._queue_size and not self._evict_for(lane, key)):
            return RejectReason.FULL
        request = _Waiting(cost, self._loop.create_future())
        lane.queue.join(key, request)
        on_wait()
        try:
            async with asyncio.timeout(self._queue_timeout):
                return await request.outcome
        except TimeoutError:
            if _is_granted(request):
                return None
            return RejectReason.LATE
        except asyncio.CancelledError:
            if _is_granted(request):
                self._end(cost)
            raise
        finally:
            if lane.queue.leave(key, request):
                self._admit_waiting()

    def _evict_for(self, lane: _Lane, key: Key) -> bool:
        """Evict the newest request of the client with the longest queue, if this client would have fewer."""
        queue = max(self._small.queue, self._large.queue, key=lambda each: each.max_length)
        found = queue.longest()
        if found is None or queue.max_length <= lane.queue.count(key) + 1:
            return False
        queue.leave(*found)
        if not found[1].outcome.done():
            found[1].outcome.set_result(RejectReason.FULL)
        return True

    def _fits(self, lane: _Lane, cost: int) -> bool:
        return self.used_bytes + cost <= lane.limit or not self.running

    def _start(self, cost: int) -> None:
        self.used_bytes += cost
        self.running += 1

    def _end(self, cost: int) -> None:
        self.used_bytes -= cost
        self.running -= 1
        self._released.add(self._loop.time())
        self._admit_waiting()

    def _admit_waiting(self) -> None:
        for lane in (self._large, self._small):
            while (first := next(lane.queue.in_order(1), None)) is not None:
                if not self._fits(lane, first[1].cost):
                    break
                lane.queue.pop(lambda _: True)
                if not first[1].outcome.done():
                    self._start(first[1].cost)
                    first[1].outcome.set_result(None)

    def _reject(self, lane: _Lane, key: Key, reason: RejectReason, waited_seconds: float) -> Rejected:
        position = lane.queue.position(key) + 1
        rate = self._released.per_second(self._loop.time()) or position / _DEFAULT_WAIT_SECONDS
        return Rejected(
            reason,
            retry_after(rate, position, random.random()),
            WaitReason.MEMORY,
            running=self.running,
            waiting=self.waiting,
            waited_seconds=waited_seconds,
        )


def _is_granted(request: _Waiting) -> bool:
    outcome = request.outcome
    return outcome.done() and not outcome.cancelled() and outcome.result() is None
