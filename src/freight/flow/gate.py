"""Who may run: a slot, a place in the line, or a refusal. Every transfer with a body passes here.

A slot is a window of the budget. When none is free a request waits in line, at most ``queue`` of them and each at most
``max_wait_seconds``; turns go round the clients (:mod:`freight.core.line`), so that one with sixty-four connections
gets as many as one with one. Answers up to EXPRESS_BYTES have slots and a line of their own: they never stand behind
huge ones, and the huge ones' slots are not theirs to take while anybody waits for one.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from types import TracebackType

from freight.core.client import client_key
from freight.core.line import Key, Line
from freight.core.retry import Freed, retry_after
from freight.errors import PeerGone
from freight.flow.budget import FLOOR_SHARE, Budget
from freight.flow.meter import Meter
from freight.flow.rounds import GONE, Rounds
from freight.model import Refusal, Refused, WaitReason
from freight.ports import Sink

EXPRESS_BYTES = 1024 * 1024
"""The longest answer that goes by the express lane, in bytes."""

_UNKNOWN_SECONDS = 10.0  # what a wait is reckoned at before any slot has come free
_STANDS_SECONDS = 0.9  # a line that moves is not shortened: the time of one look or two at all who run,
_STANDS_BYTES = 1024  # nor one that will, as those who run take so much a second, each on the average
_SHORTENED_SHARE = 2
_SECOND = 1_000_000_000
_DRAINED_SECONDS = 5  # what comes instead of this server, another node or its successor, is there soon


@dataclass(frozen=True, slots=True)
class Terms:
    """What the operator allows; each can change while the server runs.

    ``queue``: how many may wait; ``max_wait_seconds``: how long; ``per_client``: how many of one client run at once,
    None: as many as there is room for. ``idle_seconds`` and ``least_rate`` (bytes a second) bound how slow a download
    may be; ``rate`` and ``client_rate`` (bytes a second; None: no bound) how fast all, and one client's, may be.
    """

    queue: int = 1000
    max_wait_seconds: float = 30.0
    per_client: int | None = None
    idle_seconds: float = 60.0
    least_rate: float = 0.0
    rate: float | None = None
    client_rate: float | None = None


class Lane(Enum):
    """Which slots an answer may have."""

    ORDINARY = "ordinary"
    EXPRESS = "express"


def lane_of(length: int | None, produced: bool) -> Lane:
    """The lane of an answer: ``length`` bytes long (None: unknown), or made by a producer, such as a listing."""
    return Lane.EXPRESS if produced or (length is not None and length <= EXPRESS_BYTES) else Lane.ORDINARY


Place = tuple[Lane, bool]
"""A line: whose slots are waited for, and whether a producer's memory is too."""

PLACES: tuple[Place, ...] = ((Lane.ORDINARY, False), (Lane.EXPRESS, False), (Lane.EXPRESS, True))


class Slot:
    """One transfer's leave to run: whose it is, and how long it has waited. Only the gate makes and ends it."""

    __slots__ = ("key", "lane", "produced", "sink", "waited_seconds")

    def __init__(self, key: Key, lane: Lane, sink: Sink, produced: bool) -> None:
        self.key = key
        self.lane = lane
        self.sink = sink
        self.produced = produced
        self.waited_seconds = 0.0


class _Ticket:
    """A place in the line. ``turn`` is set to None with a slot, to a reason where there is none to be had."""

    __slots__ = ("since", "slot", "turn")

    def __init__(self, slot: Slot, turn: asyncio.Future[Refusal | None], since: float) -> None:
        self.slot = slot
        self.turn = turn
        self.since = since

    def tell(self, outcome: Refusal | None) -> None:
        """End the wait, unless it has ended."""
        if not self.turn.done():
            self.turn.set_result(outcome)

    def ready(self, events: int) -> None:
        """As a waiter of the rounds: the client has closed its end, so it waits no more."""
        if not self.turn.done():
            self.turn.set_exception(PeerGone("the client went away while it waited"))


class Admission:
    """An async context manager: entering gives a :class:`Slot`, or :class:`~freight.model.Refused`; it may wait.

    Leaving gives the slot back, however that comes. Entering raises PeerGone when the client goes away meanwhile.
    """

    __slots__ = ("_gate", "_slot", "_taken")

    def __init__(self, gate: Gate, slot: Slot) -> None:
        self._gate = gate
        self._slot = slot
        self._taken = False

    async def __aenter__(self) -> Slot | Refused:
        if not self._gate.take_slot(self._slot):
            refused = await self._gate.wait_slot(self._slot)
            if refused is not None:
                return refused
        self._taken = True
        return self._slot

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        if self._taken:
            self._taken = False
            self._gate.give_back(self._slot)


@dataclass(frozen=True, slots=True)
class GateCounts:
    """What the gate is doing: slots of ``slots``, who runs in which lane, who waits and for how long at most.

    ``waiting_by_reason`` has every reason.
    """

    slots: int
    running: int
    express_running: int
    waiting: int
    oldest_wait_seconds: float
    waiting_by_reason: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Waiter:
    """One request that waits, by its way out: for how long, at which place (from 1) in its line, and why."""

    sink: Sink
    seconds: float
    place: int
    reason: WaitReason


class Gate:
    """Hands out the slots of a budget. ``rounds`` watch over those who wait, ``meter`` counts."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, budget: Budget, rounds: Rounds, meter: Meter, terms: Terms
    ) -> None:
        self.terms = terms
        self._loop = loop
        self._budget = budget
        self._rounds = rounds
        self._meter = meter
        # Those who need a producer's memory besides have a line of their own: it is not to hold up the small answers.
        self._lines: dict[Place, Line[_Ticket]] = {place: Line() for place in PLACES}
        self._running = dict.fromkeys(Lane, 0)
        self._of_client: dict[Key, int] = {}  # ordinary slots
        self._freed = {lane: Freed(loop.time()) for lane in Lane}
        self._draining = False
        self._moved_at = loop.time()  # when an ordinary slot was last given, or bytes flowed
        self._looked_at = loop.time()  # how much has flowed
        self._stands = False  # for _STANDS_SECONDS neither has been seen
        self._lacking: dict[Place, WaitReason | None] = dict.fromkeys(PLACES)  # why there was no slot at the last look
        self._waiters = self._since_sum = 0  # how many wait, and the sum of when they began to, in nanoseconds
        self.crowded = False  # more connections stand outside than there is memory for

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return sum(len(line) for line in self._lines.values())

    def slot(self, client: str, length: int | None, produced: bool, sink: Sink) -> Admission:
        """A slot for an answer to ``client``, ``length`` bytes long (None: unknown), to be entered.

        ``produced``: it is made by a producer as it goes.
        """
        return Admission(self, Slot(client_key(client), lane_of(length, produced), sink, produced))

    def take_slot(self, slot: Slot) -> bool:
        """Take a slot if one is free and nobody who waits may have it."""
        if not self._may_run(slot):
            return False
        if self._line(slot):
            self.call_next()
            if not self._may_run(slot):
                return False
        self._take(slot)
        return True

    async def wait_slot(self, slot: Slot) -> Refused | None:
        """Wait in line for a slot; None when it has been taken."""
        line, now = self._line(slot), self._loop.time()
        why = self._cannot_wait()
        if why is not None and not (why is Refusal.FULL and self._make_place(slot)):
            return self._refuse(slot, why)
        ticket = _Ticket(slot, self._loop.create_future(), now)
        self._rounds.watch(slot.sink.fileno(), ticket, GONE)
        line.join(slot.key, ticket)
        self._queue(1)
        self._waiters, self._since_sum = self._waiters + 1, self._since_sum + _nanoseconds(now)
        timer = self._loop.call_later(self.terms.max_wait_seconds, ticket.tell, Refusal.LATE)
        try:
            why = await ticket.turn
        except BaseException:
            if _granted(ticket.turn):  # cancelled between its turn and the waking
                self.give_back(slot)
            raise
        finally:
            timer.cancel()
            self._rounds.forget(slot.sink.fileno())
            line.leave(slot.key, ticket)
            self._queue(-1)
            self._waiters, self._since_sum = self._waiters - 1, self._since_sum - _nanoseconds(now)
            slot.waited_seconds = self._loop.time() - now
            self._meter.waited(slot.waited_seconds)
        return None if why is None else self._refuse(slot, why)

    def give_back(self, slot: Slot) -> None:
        """A transfer has ended: its slot is the next one's."""
        self._running[slot.lane] -= 1
        if slot.lane is Lane.ORDINARY:
            left = self._of_client[slot.key] - 1
            if left:
                self._of_client[slot.key] = left
            else:
                del self._of_client[slot.key]
        self._budget.withdraw(slot.sink, express=slot.lane is Lane.EXPRESS, produced=slot.produced)
        self._freed[slot.lane] = self._freed[slot.lane].free(self._loop.time())
        self.call_next()

    def call_next(self) -> None:
        """Give slots to who waits, while there are any: to be called whenever room may have come free."""
        for place, line in list(self._lines.items()):
            while line and self._has_room(*place) and self._is_turn(place):
                found = line.pop(partial(self._is_allowed, place[0]))
                if found is None:
                    break
                _, ticket = found
                if ticket.turn.done():
                    continue
                self._take(ticket.slot)
                ticket.tell(None)
                self._lines[place] = self._lines.pop(place)  # of lines that want the same slots each has its turn

    def progressed(self, taken_bytes: int) -> None:
        """Clients have taken so many bytes since the last time: where that is enough, the line moves in time.

        To be called about once a second: a line is seen to stand only here, when all have been looked at.
        """
        now = self._loop.time()
        seconds, self._looked_at = now - self._looked_at, now
        if taken_bytes > _STANDS_BYTES * sum(self._running.values()) * seconds:
            self._moved_at = now
        self._stands = now - self._moved_at >= _STANDS_SECONDS

    def shorten(self) -> None:
        """Send some of the line away where it does not move, and there is no memory for a longer one.

        Those who came last are told to come back: behind them, outside, may stand who wants something small.
        """
        line = self._lines[Lane.ORDINARY, False]
        if not self._stands:
            return
        for _ in range(-(-len(line) // _SHORTENED_SHARE)):
            found = line.newest()
            if found is None:
                return
            line.leave(*found)
            found[1].tell(Refusal.CROWDED)

    def drain(self) -> None:
        """Let nobody wait any more: who does is told to come back, or to go elsewhere."""
        self._draining = True
        for line in self._lines.values():
            while found := line.pop(lambda _: True):
                found[1].tell(Refusal.DRAINING)

    def statistics(self) -> GateCounts:
        """What the gate is doing at this moment."""
        now = self._loop.time()
        oldest = [found[1].since for line in self._lines.values() if (found := line.oldest())]
        reasons = dict.fromkeys((each.value for each in WaitReason), 0)
        for place, line in self._lines.items():
            bound = place[0] is Lane.ORDINARY and self.terms.per_client is not None
            for key, count in line.counts() if bound else (("", len(line)),):
                reasons[self._reason(place, key).value] += count
        return GateCounts(
            slots=self._budget.slots,
            running=sum(self._running.values()),
            express_running=self._running[Lane.EXPRESS],
            waiting=self.waiting,
            oldest_wait_seconds=max((now - since for since in oldest), default=0.0),
            waiting_by_reason=reasons,
        )

    def waiting_seconds(self) -> float:
        """How long all that still wait have waited, summed."""
        return max(0, self._waiters * _nanoseconds(self._loop.time()) - self._since_sum) / _SECOND

    def waiters(self, most: int) -> list[Waiter]:
        """Those that wait, ``most`` of each line, in the order of their turns."""
        now = self._loop.time()
        return [
            Waiter(ticket.slot.sink, now - ticket.since, number, self._reason(place, key))
            for place in PLACES
            for number, (key, ticket) in enumerate(self._lines[place].turns(most), 1)
        ]

    def _queue(self, count: int) -> None:
        """So many more, or fewer, stand in line."""
        self._budget.queued(count)

    def _is_turn(self, place: Place) -> bool:
        """Whether a slot that is free is for one of this line, and not for another worker's."""
        return True

    def _line(self, slot: Slot) -> Line[_Ticket]:
        return self._lines[slot.lane, slot.produced]

    def _may_run(self, slot: Slot) -> bool:
        """Whether a slot may be had now, whoever waits in its own line."""
        return self._is_allowed(slot.lane, slot.key) and self._has_room(slot.lane, slot.produced)

    def _is_allowed(self, lane: Lane, key: Key) -> bool:
        """Whether a client may have one more slot."""
        most = self.terms.per_client
        return lane is Lane.EXPRESS or most is None or self._running_of(key) < most

    def _running_of(self, key: Key) -> int:
        """How many ordinary slots a client has."""
        return self._of_client.get(key, 0)

    def _has_room(self, lane: Lane, produced: bool) -> bool:
        """Whether there is a slot for anybody. Asked once for a whole line: it may look at hundreds of loans."""
        lacking = self._lacking[lane, produced] = self._lacks(lane, produced)
        return lacking is None

    def _lacks(self, lane: Lane, produced: bool) -> WaitReason | None:
        """Why there is no slot for anybody; None: there is one."""
        budget = self._budget
        express_running = budget.express
        express = lane is Lane.EXPRESS and express_running < budget.express_slots
        if not express:
            if lane is Lane.EXPRESS and self._lines[Lane.ORDINARY, False]:
                return WaitReason.EXPRESS
            if budget.running - min(express_running, budget.express_slots) >= budget.slots:
                return WaitReason.SLOTS
            kept = self.crowded and budget.running - express_running >= budget.slots // FLOOR_SHARE
            if kept and lane is Lane.ORDINARY:
                return WaitReason.CONNECTIONS  # what comes free is for connections that wait outside
        if budget.can_run(express=express, produced=produced):
            return None
        return WaitReason.LISTINGS if produced and budget.can_run(express=express) else WaitReason.MEMORY

    def _reason(self, place: Place, key: Key) -> WaitReason:
        """Why a request of this client has no slot, as it was when that was last looked at."""
        if not self._is_allowed(place[0], key):
            return WaitReason.PER_CLIENT
        return self._lacking[place] or WaitReason.TURN

    def _take(self, slot: Slot) -> None:
        self._running[slot.lane] += 1
        if slot.lane is Lane.ORDINARY:
            self._of_client[slot.key] = self._of_client.get(slot.key, 0) + 1
            self._moved_at, self._stands = self._loop.time(), False
        self._budget.promise(slot.sink, express=slot.lane is Lane.EXPRESS, produced=slot.produced)

    def _cannot_wait(self) -> Refusal | None:
        if self._draining:
            return Refusal.DRAINING
        if self.waiting >= self.terms.queue:
            return Refusal.FULL
        return None

    def _make_place(self, slot: Slot) -> bool:
        """Send away who came last of the client with the most in line, where this one's has fewer with itself.

        So a line is full for whoever fills it, and not for others.
        """
        line = max(self._lines.values(), key=lambda line: line.depth)
        found = line.deepest()
        if found is None or line.depth <= self._line(slot).count(slot.key) + 1:
            return False
        line.leave(*found)
        found[1].tell(Refusal.FULL)
        return True

    def _refuse(self, slot: Slot, why: Refusal) -> Refused:
        reason = None
        if why is Refusal.CROWDED:
            reason = WaitReason.CONNECTIONS
        elif why is not Refusal.DRAINING:
            reason = self._reason((slot.lane, slot.produced), slot.key)
        self._meter.refused(why, reason)
        return Refused(
            why,
            self._retry_seconds(slot, why),
            reason,
            running=self._running_of(slot.key) if reason is WaitReason.PER_CLIENT else self._budget.running,
            most=self.terms.per_client or 0,
            waiting=self._budget.waiting,
            waited_seconds=slot.waited_seconds,
        )

    def _retry_seconds(self, slot: Slot, why: Refusal) -> int:
        if why is Refusal.DRAINING:
            return _DRAINED_SECONDS
        place = self._line(slot).place(slot.key) + 1
        rate = self._freed[slot.lane].per_second(self._loop.time())
        # Before any slot has come free the rate is not low, it is unknown.
        return retry_after(rate or place / _UNKNOWN_SECONDS, place, random.random())


def _granted(turn: asyncio.Future[Refusal | None]) -> bool:
    return turn.done() and not turn.cancelled() and turn.exception() is None and turn.result() is None


def _nanoseconds(seconds: float) -> int:
    """Whole numbers, as their sums are exact whoever comes and goes."""
    return int(seconds * _SECOND)
