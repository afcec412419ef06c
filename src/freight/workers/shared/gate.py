"""One gate for several workers: each admits its own clients, and no slot is granted twice.

**Rules.** A slot is taken under the lock of the shared state. A slot that becomes free belongs to the queue whose first
request has waited longest, in whichever worker that is. The worker that freed the slot notifies that worker through its
eventfd(2). If the slot is still free after 20 ms, it takes the slot for its own queue: the other worker may be stopped,
or its client gone.

**Left out.** Turns go round the clients of one worker; a client with connections to several has a turn in each.
"""

from __future__ import annotations

import asyncio
import os
from functools import partial

from freight.fair_queue import Key
from freight.flow.counters import Counters
from freight.flow.gate import Gate
from freight.flow.limits import QueueLimits
from freight.flow.poller import Poller
from freight.flow.slot import Slot
from freight.memory.budget import RECLAIM_LIMIT, Lane
from freight.model import RejectReason
from freight.workers.shared.budget import SharedBudget
from freight.workers.shared.state import SINCE, Column, hash_slots_of

_OFFER_SECONDS = 0.02  # how long a free slot is left to another worker
_NANOSECONDS = 1e9


class SharedGate(Gate):
    """The gate of one worker: the one that ``budget`` belongs to."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        budget: SharedBudget,
        poller: Poller,
        counters: Counters,
        limits: QueueLimits,
    ) -> None:
        super().__init__(loop, budget, poller, counters, limits)
        state, number = budget.state, budget.number
        self._state = state
        self._number = number
        self._eventfd = state.eventfd(number)
        self._own_row = state.row(number)
        self._other_rows = state.others(number)
        self._own_slots = state.hash_slots(number)
        self._other_slots = [state.hash_slots(at) for at in range(state.worker_count) if at != number]
        self._offered_at: dict[Lane, float] = {}  # when a free slot was first left to another worker
        self._timer: asyncio.TimerHandle | None = None
        loop.add_reader(self._eventfd, self._notified)

    def take_slot(self, slot: Slot) -> bool:
        with self._state:
            if self._queues[slot.lane] or not self._others_since(slot.lane):
                return super().take_slot(slot)
            if self._has_slot_for(slot):  # it belongs to a request that waits in another worker
                self._state.notify(self._number, SINCE[slot.lane])
            return False

    def admit_waiting(self) -> None:
        with self._state:
            super().admit_waiting()
            self._publish()

    def give_back(self, slot: Slot) -> None:
        super().give_back(slot)
        if slot.lane is Lane.ORDINARY:
            self._count_running(slot.key, -1)
        self._state.notify(self._number, Column.WAITING)

    def note_progress(self, acknowledged_bytes: int) -> None:
        super().note_progress(acknowledged_bytes)
        self._state.notify(self._number, Column.WAITING)  # about once a second, in case a notice was missed

    def close(self) -> None:
        """Stop listening for notices of other workers."""
        self._loop.remove_reader(self._eventfd)
        if self._timer is not None:
            self._timer.cancel()

    def grant(self, slot: Slot) -> None:
        super().grant(slot)
        if slot.lane is Lane.ORDINARY:
            self._count_running(slot.key, 1)

    def _count_running(self, key: Key, step: int) -> None:
        for at in set(hash_slots_of(key)):
            self._own_slots[at] += step

    def _running_of(self, key: Key) -> int:
        # The smaller number counts fewer other clients.
        others = min(sum(slots[at] for slots in self._other_slots) for at in hash_slots_of(key))
        return super()._running_of(key) + others

    def _queue_rejection(self) -> RejectReason | None:
        others = sum(row[Column.WAITING] for row in self._other_rows)
        if not self._draining and self.waiting + others >= self.limits.size:
            return RejectReason.FULL
        return super()._queue_rejection()

    def _count_queued(self, count: int) -> None:
        super()._count_queued(count)
        self._publish()
        if count > 0:
            self._set_timer()  # another worker may leave a free slot to this one

    def _is_next(self, lane: Lane) -> bool:
        others_since = self._others_since(lane)
        if not others_since or self._since(lane) <= others_since:
            self._offered_at.pop(lane, None)
            return True
        now = self._loop.time()
        if now - self._offered_at.setdefault(lane, now) >= _OFFER_SECONDS:
            return True
        self._state.notify(self._number, SINCE[lane])
        self._set_timer()
        return False

    def _publish(self) -> None:
        for lane, column in SINCE.items():
            self._own_row[column] = self._since(lane)

    def _since(self, lane: Lane) -> int:
        """Return when the oldest request that its client may run was queued, in nanoseconds; 0 if there is none."""
        found = self._queues[lane].oldest(partial(self._is_allowed, lane))
        return int(found[1].queued_at * _NANOSECONDS) if found else 0

    def _others_since(self, lane: Lane) -> int:
        """Return the earliest such time in the other workers, or 0."""
        column = SINCE[lane]
        return min([row[column] for row in self._other_rows if row[column]], default=0)

    def _set_timer(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(_OFFER_SECONDS, self._timeout)

    def _timeout(self) -> None:
        self._timer = None
        self.admit_waiting()

    def _notified(self) -> None:
        """Look for slots that became free elsewhere, and for loans of this worker that the others need."""
        try:
            os.eventfd_read(self._eventfd)
        except BlockingIOError:
            return
        lent = self._budget.lent
        if any(row[Column.WAITING] for row in self._other_rows):
            self._budget.reclaim(RECLAIM_LIMIT)
        self.admit_waiting()
        if self._budget.lent < lent:
            self._state.notify(self._number, Column.WAITING)
