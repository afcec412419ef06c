"""Grant slots to bodies from a source, queue requests that must wait for one, and reject those that cannot.

**Goal.** No client is starved by another one's many connections, and no small answer by large ones.

**Invariant.** A slot is granted to one transfer and returned once, whatever ends the transfer. No request is queued
that could run.

**Rules.**

1. A slot reserves a window of the budget. At most ``limits.size`` requests wait, each for ``limits.timeout_seconds``.
2. Slots go round-robin to the clients that wait (:mod:`freight.fair_queue`), so that a client with 64 connections gets
   as many as a client with one.
3. Answers of up to EXPRESS_BYTES have slots and a queue of their own (decision 009). They also use ordinary slots,
   but only while no larger answer waits for one. Listings share the express slots. They have a queue of their own,
   because they also wait for a producer's memory.
4. Over HTTP/1, an answer of one call to a known head (:mod:`freight.repeats`) may be sent without a slot, if no request
   waits and the memory is free: nothing else runs until what the kernel holds is recorded.

**Left out.** The budget decides how many slots there are, and :mod:`freight.flow.queue_policy` which requests leave a
queue without one. There are no priorities for clients.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from functools import partial
from types import TracebackType

from freight.fair_queue import FairQueue, Key
from freight.flow.counters import Counters
from freight.flow.limits import QueueLimits
from freight.flow.poller import GONE, Poller
from freight.flow.queue_policy import QueuedRequest, QueuePolicy
from freight.flow.retry_after import SlotReleaseRate, retry_after
from freight.flow.slot import Slot, lane_of
from freight.memory.budget import ADMISSION_FLOOR_DIVISOR, Budget, Lane
from freight.model import AdmissionStats, Rejected, RejectReason, WaitReason
from freight.protocols import Sink

_DEFAULT_WAIT_SECONDS = 10.0  # the estimated wait while no slot has ever been returned
_NANOSECONDS = 1_000_000_000
_DRAINING_RETRY_SECONDS = 5  # another node, or this server's successor, serves soon


class Admission:
    """An async context manager. Entering may wait, and gives a :class:`Slot` or :class:`~freight.model.Rejected`.

    Leaving returns the slot. Entering raises ClientDisconnected when the client closes the connection meanwhile.
    """

    __slots__ = ("_gate", "_granted", "_slot")

    def __init__(self, gate: Gate, slot: Slot) -> None:
        self._gate = gate
        self._slot = slot
        self._granted = False

    async def __aenter__(self) -> Slot | Rejected:
        if not self._gate.take_slot(self._slot):
            rejected = await self._gate.wait_for_slot(self._slot)
            if rejected is not None:
                return rejected
        self._granted = True
        return self._slot

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        if self._granted:
            self._gate.give_back(self._slot)


@dataclass(frozen=True, slots=True)
class QueuedRequestInfo:
    """One queued request: for how long, at which position of its queue (from 1), and why."""

    sink: Sink
    seconds: float
    position: int
    reason: WaitReason


class Gate:
    """Grants the slots of ``budget``. ``poller`` notices clients that disconnect while they wait.

    ``accept_blocked``: whether connections wait in the backlog, because there is no memory to accept them.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        budget: Budget,
        poller: Poller,
        counters: Counters,
        limits: QueueLimits,
    ) -> None:
        self.limits = limits
        self.accept_blocked = False
        self._loop = loop
        self._budget = budget
        self._poller = poller
        self._counters = counters
        self._queues: dict[Lane, FairQueue[QueuedRequest]] = {lane: FairQueue() for lane in Lane}
        self._policy = QueuePolicy(self._queues, loop.time())
        self._running = dict.fromkeys(Lane, 0)
        self._running_by_client: dict[Key, int] = {}  # in ordinary slots
        express = SlotReleaseRate(loop.time())
        self._releases = {Lane.ORDINARY: SlotReleaseRate(loop.time()), Lane.EXPRESS: express, Lane.LISTING: express}
        self._draining = False
        # Why no slot was free when one was last looked for.
        self._missing: dict[Lane, WaitReason | None] = dict.fromkeys(Lane)
        # How many requests wait, and the sum of their ``queued_at``, in nanoseconds: whole numbers add up exactly.
        self._queued_count = self._queued_at_sum = 0

    @property
    def waiting(self) -> int:
        """How many requests are queued."""
        return sum(len(queue) for queue in self._queues.values())

    def slot(self, client: Key, length: int | None, produced: bool, sink: Sink) -> Admission:
        """Return the admission of an answer, to be entered.

        ``client`` is the key of the request's client. ``length`` is in bytes, or None if unknown. ``produced``: a
        producer makes the body.
        """
        return Admission(self, Slot(client, lane_of(length, produced), sink))

    def take_slot(self, slot: Slot) -> bool:
        """Take a slot if one is free that no queued request may have. Return whether it was taken."""
        if not self._has_slot_for(slot):
            return False
        if self._queues[slot.lane]:
            self.admit_waiting()
            if not self._has_slot_for(slot):
                return False
        self.grant(slot)
        return True

    def may_send(self, sink: Sink, cost: int) -> bool:
        """Return whether an answer of the express lane may be sent without a slot, which takes ``cost`` bytes at most.

        The sink must have nothing queued. The caller sends at once and records what the kernel then holds, before
        anything else runs. While a request waits, what is free is for that one.
        """
        return self._budget.can_lend(sink, cost) and not self._budget.waiting

    async def wait_for_slot(self, slot: Slot) -> Rejected | None:
        """Queue for a slot. Return None when it has been granted."""
        queue, now = self._queues[slot.lane], self._loop.time()
        rejection = self._queue_rejection()
        if rejection is not None and not (rejection is RejectReason.FULL and self._policy.evict_for(slot)):
            return self._reject(slot, rejection)
        request = QueuedRequest(slot, self._loop.create_future(), now)
        self._poller.register(slot.sink.fileno(), request, GONE)
        queue.join(slot.key, request)
        self._count_queued(1)
        self._queued_count, self._queued_at_sum = self._queued_count + 1, self._queued_at_sum + _nanoseconds(now)
        timer = self._loop.call_later(self.limits.timeout_seconds, request.resolve, RejectReason.LATE)
        try:
            rejection = await request.outcome
        except BaseException:
            if request.is_granted():  # cancelled after the grant and before this task ran
                self.give_back(slot)
            raise
        finally:
            timer.cancel()
            self._poller.unregister(slot.sink.fileno())
            queue.leave(slot.key, request)
            self._count_queued(-1)
            self._queued_count, self._queued_at_sum = self._queued_count - 1, self._queued_at_sum - _nanoseconds(now)
            slot.waited_seconds = self._loop.time() - now
            self._counters.request_waited(slot.waited_seconds)
        return None if rejection is None else self._reject(slot, rejection)

    def give_back(self, slot: Slot) -> None:
        """Return the slot of a transfer that has ended, and grant it to the next request."""
        self._running[slot.lane] -= 1
        if slot.lane is Lane.ORDINARY:
            left = self._running_by_client[slot.key] - 1
            if left:
                self._running_by_client[slot.key] = left
            else:
                del self._running_by_client[slot.key]
        self._releases[slot.lane].add(self._loop.time())
        self._budget.release(slot.sink, slot.lane)
        self.admit_waiting()

    def admit_waiting(self) -> None:
        """Grant free slots to queued requests. Must be called whenever memory may have become free."""
        for lane, queue in list(self._queues.items()):
            while queue and self._has_free_slot(lane) and self._is_next(lane):
                found = queue.pop(partial(self._is_allowed, lane))
                if found is None:
                    break
                _, request = found
                if request.outcome.done():
                    continue
                self.grant(request.slot)
                request.resolve(None)
                self._queues[lane] = self._queues.pop(lane)  # queues that wait for the same slots take turns

    def note_progress(self, acknowledged_bytes: int) -> None:
        """Note what all clients have acknowledged since the last call. To be called after each sweep."""
        self._policy.note_progress(acknowledged_bytes, sum(self._running.values()), self._loop.time())

    def set_accept_blocked(self, blocked: bool) -> None:
        """Record whether connections wait in the backlog for want of memory. If so, shed a queue that does not move."""
        self.accept_blocked = blocked
        if blocked:
            self.shed_queue()
        else:
            self.admit_waiting()

    def shed_queue(self) -> None:
        """Reject a part of the queue if it does not move."""
        self._policy.shed()

    def drain(self) -> None:
        """Reject queued requests, and from now on those that would have to queue."""
        self._draining = True
        self._policy.reject_all()

    def statistics(self) -> AdmissionStats:
        """Return the state of this moment."""
        now = self._loop.time()
        oldest = [found[1].queued_at for queue in self._queues.values() if (found := queue.oldest())]
        reasons = dict.fromkeys((each.value for each in WaitReason), 0)
        for lane, queue in self._queues.items():
            by_client = lane is Lane.ORDINARY and self.limits.max_per_client is not None
            for key, count in queue.counts() if by_client else (("", len(queue)),):
                reasons[self._wait_reason(lane, key).value] += count
        return AdmissionStats(
            slots=self._budget.division.slots,
            running=sum(self._running.values()),
            express_running=self._running[Lane.EXPRESS] + self._running[Lane.LISTING],
            waiting=self.waiting,
            oldest_wait_seconds=max((now - queued_at for queued_at in oldest), default=0.0),
            waiting_by_reason=reasons,
        )

    def waiting_seconds(self) -> float:
        """Return how long all queued requests together have waited, in seconds."""
        return max(0, self._queued_count * _nanoseconds(self._loop.time()) - self._queued_at_sum) / _NANOSECONDS

    def queued_requests(self, most: int) -> list[QueuedRequestInfo]:
        """Return the first ``most`` requests of each queue, in the order of their turns."""
        now = self._loop.time()
        return [
            QueuedRequestInfo(request.slot.sink, now - request.queued_at, position, self._wait_reason(lane, key))
            for lane in Lane
            for position, (key, request) in enumerate(self._queues[lane].in_order(most), 1)
        ]

    def _count_queued(self, change: int) -> None:
        self._budget.request_queued(change)

    def _is_next(self, lane: Lane) -> bool:
        """Return whether a free slot is for this lane's queue, and not for another worker's."""
        return True

    def _has_slot_for(self, slot: Slot) -> bool:
        """Return whether this slot could be granted now, ignoring the requests of its own queue."""
        return self._is_allowed(slot.lane, slot.key) and self._has_free_slot(slot.lane)

    def _is_allowed(self, lane: Lane, key: Key) -> bool:
        """Return whether max_per_client allows the client one more slot."""
        most = self.limits.max_per_client
        return lane is not Lane.ORDINARY or most is None or self._running_of(key) < most

    def _running_of(self, key: Key) -> int:
        """Return how many ordinary slots a client has."""
        return self._running_by_client.get(key, 0)

    def _has_free_slot(self, lane: Lane) -> bool:
        """Return whether some client could have a slot. Ask once for a queue: it may take hundreds of system calls."""
        missing = self._missing[lane] = self._missing_resource(lane)
        return missing is None

    def _missing_resource(self, lane: Lane) -> WaitReason | None:
        """Return why no client could have a slot, or None."""
        budget = self._budget
        express_running = budget.express
        if lane is Lane.ORDINARY or express_running >= budget.division.express_slots:
            if lane is not Lane.ORDINARY and self._queues[Lane.ORDINARY]:
                return WaitReason.EXPRESS
            if budget.running - min(express_running, budget.division.express_slots) >= budget.division.slots:
                return WaitReason.SLOTS
            floor_reached = budget.running - express_running >= budget.division.slots // ADMISSION_FLOOR_DIVISOR
            if lane is Lane.ORDINARY and self.accept_blocked and floor_reached:
                return WaitReason.CONNECTIONS  # memory that becomes free is for connections in the backlog
        if budget.can_run(lane):
            return None
        return WaitReason.LISTINGS if lane is Lane.LISTING and budget.can_run(Lane.EXPRESS) else WaitReason.MEMORY

    def _wait_reason(self, lane: Lane, key: Key) -> WaitReason:
        """Return why a request of this client has no slot, as of the last time that slots were looked for."""
        if not self._is_allowed(lane, key):
            return WaitReason.PER_CLIENT
        return self._missing[lane] or WaitReason.TURN

    def grant(self, slot: Slot) -> None:
        """Grant a slot. The caller must have found that one is free, and nothing must have run since."""
        self._running[slot.lane] += 1
        if slot.lane is Lane.ORDINARY:
            self._running_by_client[slot.key] = self._running_by_client.get(slot.key, 0) + 1
            self._policy.slot_granted(self._loop.time())
        self._budget.reserve(slot.sink, slot.lane)

    def _queue_rejection(self) -> RejectReason | None:
        """Return why no request may join a queue, or None."""
        if self._draining:
            return RejectReason.DRAINING
        if self.waiting >= self.limits.size:
            return RejectReason.FULL
        return None

    def _reject(self, slot: Slot, reason: RejectReason) -> Rejected:
        missing = None
        if reason is RejectReason.CROWDED:
            missing = WaitReason.CONNECTIONS
        elif reason is not RejectReason.DRAINING:
            missing = self._wait_reason(slot.lane, slot.key)
        self._counters.request_rejected(reason, missing)
        return Rejected(
            reason,
            self._retry_after_seconds(slot, reason),
            missing,
            running=self._running_of(slot.key) if missing is WaitReason.PER_CLIENT else self._budget.running,
            most=self.limits.max_per_client or 0,
            waiting=self._budget.waiting,
            waited_seconds=slot.waited_seconds,
        )

    def _retry_after_seconds(self, slot: Slot, reason: RejectReason) -> int:
        if reason is RejectReason.DRAINING:
            return _DRAINING_RETRY_SECONDS
        position = self._queues[slot.lane].position(slot.key) + 1
        # 0.0 means that the rate is unknown, and not that it is low.
        rate = self._releases[slot.lane].per_second(self._loop.time()) or position / _DEFAULT_WAIT_SECONDS
        return retry_after(rate, position, random.random())


def _nanoseconds(seconds: float) -> int:
    return int(seconds * _NANOSECONDS)
