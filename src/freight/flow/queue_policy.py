"""Decide which queued requests lose their place: when the queue is full, does not move, or the server stops.

**Rules.**

1. A full queue rejects requests of the client that has most of it. Others may join: each evicts that client's newest.
2. A queue moves while ordinary slots are granted, or clients acknowledge enough that some will be soon.
3. Of a queue that does not move, the newer half is rejected if connections cannot be accepted for want of memory
   (decision 009). The requests in the backlog of the listening socket may be small ones.

**Left out.** The gate decides which request gets a slot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from freight.errors import ClientDisconnected
from freight.fair_queue import FairQueue
from freight.flow.slot import Slot
from freight.memory.budget import Lane
from freight.model import RejectReason

_STALLED_SECONDS = 0.9  # one or two sweeps without progress, as a sweep takes place about once a second
_MOVING_BYTES_PER_SECOND = 1024
_SHED_DIVISOR = 2


class QueuedRequest:
    """A request that waits for ``slot`` since ``queued_at``. ``outcome`` is None with a slot, or why there is none."""

    __slots__ = ("outcome", "queued_at", "slot")

    def __init__(self, slot: Slot, outcome: asyncio.Future[RejectReason | None], queued_at: float) -> None:
        self.slot = slot
        self.outcome = outcome
        self.queued_at = queued_at

    def resolve(self, outcome: RejectReason | None) -> None:
        """End the wait, unless it has ended."""
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    def is_granted(self) -> bool:
        """Return whether the wait has ended with a slot."""
        outcome = self.outcome
        return outcome.done() and not outcome.cancelled() and outcome.exception() is None and outcome.result() is None

    def handle_events(self, events: int) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(ClientDisconnected("the client closed the connection while it was queued"))


class QueuePolicy:
    """Removes requests from the gate's ``queues``, and rejects them. ``now`` is the time of its loop, in seconds."""

    def __init__(self, queues: Mapping[Lane, FairQueue[QueuedRequest]], now: float) -> None:
        self._queues = queues
        self._moved_at = now
        self._checked_at = now

    def slot_granted(self, now: float) -> None:
        """Note that an ordinary slot was granted: the queue moves."""
        self._moved_at = now

    def note_progress(self, acknowledged_bytes: int, running: int, now: float) -> None:
        """Note what the clients of ``running`` transfers have acknowledged since the last call.

        Must be called about once a second, after a sweep: only then can a queue be found not to move.
        """
        seconds, self._checked_at = now - self._checked_at, now
        if acknowledged_bytes > _MOVING_BYTES_PER_SECOND * running * seconds:
            self._moved_at = now

    def evict_for(self, slot: Slot) -> bool:
        """Evict the newest request of the client with the longest queue, if this slot's client would have fewer.

        Return whether there is now space in the queue.
        """
        longest = max(self._queues.values(), key=lambda queue: queue.max_length)
        found = longest.longest()
        if found is None or longest.max_length <= self._queues[slot.lane].count(slot.key) + 1:
            return False
        longest.leave(*found)
        found[1].resolve(RejectReason.FULL)
        return True

    def shed(self) -> None:
        """Reject the newer half of the ordinary queue if it does not move."""
        if self._checked_at - self._moved_at < _STALLED_SECONDS:
            return
        queue = self._queues[Lane.ORDINARY]
        for _ in range(-(-len(queue) // _SHED_DIVISOR)):
            found = queue.newest()
            if found is None:
                return
            queue.leave(*found)
            found[1].resolve(RejectReason.CROWDED)

    def reject_all(self) -> None:
        """Reject every queued request, because the server stops."""
        for queue in self._queues.values():
            while found := queue.pop(lambda _: True):
                found[1].resolve(RejectReason.DRAINING)
