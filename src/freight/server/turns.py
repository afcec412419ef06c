"""Decide whose work is done next: turns for connections that need much work, pauses for clients in debt.

A quantum of work is done for a connection when its bytes arrive (:mod:`freight.wire.accounting`). For more work the
connection waits for a turn. It also waits if other connections have used up the present step of the loop.

1. There is one turn in each step of the loop. Everything else runs between two turns.
2. Turns are given round-robin by client. A client with a hundred connections has as many turns as a client with one.
3. After a turn a client in debt pauses for several times what the turn cost. All its connections share that pause.
4. Of a client's connections the one that owes least goes first. A small request from an attacker's address waits for a
   pause or two, and not for the attacker's other connections.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from freight.wire.accounting import QUANTUM, QUANTUM_IN_DEBT, ClientAccount, ConnectionAccount

_MAX_PAUSE_SECONDS = 0.01  # at most, for one turn: a head of 16 KiB takes 4 ms, and is parsed in one piece
_AGING = 0.0015  # the part of a connection's waiting time that offsets what it owes, so that none waits for ever
_MAX_ORDER_COST = 8000.0  # what it owes beyond this does not count, so it goes before newcomers after 5 s
_NEWCOMER_COST = 500.0  # a new connection counts as owing this: a kept one that owes less goes first
_SKIPPED_PER_STEP = 4  # entries of clients that have left, in one step
_UNTIMED_COST = 500.0  # what earlier steps may have left: a call at the end of a step takes 6 us, with an epoll_wait(2)
_STEP_COST_MAX = 4000.0  # of what all connections do without turns in one step: a dozen requests

_Entry = tuple[float, int, Callable[[], bool]]


class TurnScheduler:
    """Gives turns. It belongs to ``loop``, by default the one that runs when it is first needed."""

    __slots__ = ("_given_loop", "_numbers", "_pausing", "_queues", "_ready", "_step_cost", "_timer", "_turn_scheduled")

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._given_loop = loop
        self._queues: dict[ClientAccount, list[_Entry]] = {}  # heaps: the connection that owes least comes first
        self._ready: OrderedDict[ClientAccount, None] = OrderedDict()  # clients that may have a turn, in order
        self._pausing: list[tuple[float, int, ClientAccount]] = []  # a heap, by the end of the pause
        self._numbers = count()
        self._turn_scheduled = False  # for the next step
        self._timer: asyncio.TimerHandle | None = None  # for the end of the soonest pause
        self._step_cost = 0.0  # recorded in this step

    def __len__(self) -> int:
        """Return how many connections wait."""
        return sum(len(queue) for queue in self._queues.values())

    @property
    def has_waiting(self) -> bool:
        """Whether any connection waits."""
        return bool(self._queues)

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        if self._given_loop is None:
            self._given_loop = asyncio.get_running_loop()
        return self._given_loop

    @property
    def step_exhausted(self) -> bool:
        """Whether the present step of the loop is used up, so that more work needs a turn."""
        return self._step_cost > _STEP_COST_MAX

    def record(self, cost: float) -> None:
        """Record the cost of work that was done for a connection without a turn."""
        if not cost:
            return
        if self._step_cost <= _UNTIMED_COST < self._step_cost + cost:
            self._loop.call_soon(self._begin_step)
        self._step_cost += cost

    def _begin_step(self) -> None:
        self._step_cost = 0.0

    async def wait_turn(
        self, charges: ConnectionAccount, cost: float = 0.0, gone: Callable[[], bool] | None = None
    ) -> None:
        """Wait for a turn. ``cost`` is the part of the work's cost that is known.

        ``gone`` returns whether the client has left. If it has, this returns and another connection has the turn.
        """
        now = self._loop.time()
        charges.settle(now)
        if charges.quantum_left < 0.0:
            _pause(charges.account, now, -charges.quantum_left)
        waiter: asyncio.Future[None] = self._loop.create_future()

        def wake() -> bool:
            if waiter.done():
                return False
            waiter.set_result(None)
            return gone is None or not gone()

        self._add(charges.account, charges.owed + cost, wake)
        await waiter
        charges.quantum_left = QUANTUM_IN_DEBT if charges.account.pause_factor else QUANTUM
        if cost > charges.quantum_left:
            _pause(charges.account, self._loop.time(), cost - charges.quantum_left)
            charges.quantum_left = cost

    async def charge_request(self, charges: ConnectionAccount, cost: float) -> None:
        """Charge for a request. Wait for a turn if that uses up the connection's quantum."""
        charges.settle(self._loop.time())
        charges.charge(cost)
        if charges.quantum_left < 0.0:
            await self.wait_turn(charges)

    def call_on_turn(self, account: ClientAccount, start: Callable[[], bool]) -> None:
        """Call ``start`` when it is the turn of a client's new connection. It returns whether it used the turn."""
        self._add(account, _NEWCOMER_COST, start)

    def _add(self, account: ClientAccount, owed: float, wake: Callable[[], bool]) -> None:
        now = self._loop.time()
        account.settle(now)  # before waiting_connections changes what time pays
        queue = self._queues.get(account)
        if queue is None:
            queue = self._queues[account] = []
            self._enqueue(account, now)
        heappush(queue, (min(owed, _MAX_ORDER_COST) + now * 1e6 * _AGING, next(self._numbers), wake))
        account.waiting_connections = len(queue)
        self._schedule()

    def _enqueue(self, account: ClientAccount, now: float) -> None:
        if account.paused_until <= now:
            self._ready[account] = None
        else:
            heappush(self._pausing, (account.paused_until, next(self._numbers), account))

    def _schedule(self) -> None:
        """Schedule the next turn: for the next step, or for the end of the soonest pause."""
        if self._ready:
            if not self._turn_scheduled:
                self._turn_scheduled = True
                self._loop.call_soon(self._give_turn)
        elif self._pausing and not self._turn_scheduled:
            until = self._pausing[0][0]
            if self._timer is not None:
                if self._timer.when() <= until:
                    return
                self._timer.cancel()
            self._timer = self._loop.call_at(until, self._end_pause)

    def _end_pause(self) -> None:
        self._timer = None
        self._end_pauses(self._loop.time())
        self._schedule()

    def _end_pauses(self, now: float) -> None:
        while self._pausing and self._pausing[0][0] <= now:
            self._enqueue(heappop(self._pausing)[2], now)

    def _give_turn(self) -> None:
        self._turn_scheduled, now = False, self._loop.time()
        self._end_pauses(now)
        for _ in range(_SKIPPED_PER_STEP):
            if not self._ready:
                break
            account, _ = self._ready.popitem(last=False)
            if self._wake_first(account, now):
                break
        self._schedule()

    def _wake_first(self, account: ClientAccount, now: float) -> bool:
        """Give a client's turn to the first of its connections. Return False if the turn was not used."""
        queue = self._queues[account]
        woken = heappop(queue)[2]()
        account.settle(now)
        account.waiting_connections = len(queue)
        if woken:
            _pause(account, now, QUANTUM_IN_DEBT)
        if queue:
            self._enqueue(account, now)
        else:
            del self._queues[account]
        return woken


def _pause(account: ClientAccount, now: float, cost: float) -> None:
    """Make a client in debt pause for work of this cost."""
    factor = account.pause_factor
    if factor:
        account.paused_until = max(account.paused_until, now) + min(cost * factor / 1e6, _MAX_PAUSE_SECONDS)
