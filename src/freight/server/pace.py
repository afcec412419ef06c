"""Decide whose work is done next: turns for connections that need more than a little, pauses for clients in debt.

A connection may have a quantum of work done when its bytes come (:mod:`freight.guard`). For more it waits for a turn.
It also waits where other connections have used up the present step of the loop.

1. There is one turn in each step of the loop. Everything else has its time between two turns.
2. Turns go round the clients. A client with a hundred connections has as many turns as a client with one.
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

from freight.guard import QUANTUM, QUANTUM_IN_DEBT, Account, Guard

_PAUSE_SECONDS = 0.01  # the longest for one turn: a head of 16 KiB takes four milliseconds, and cannot be done in parts
_AGE = 0.005  # how much of its waiting time counts against what another connection owes, so that none waits for ever
_GONE_AT_ONCE = 4  # places of clients that have left, given up in one step
_STEP = 4000.0  # what all connections together have done without turns in one step: a dozen requests

_Place = tuple[float, int, Callable[[], bool]]


class Pace:
    """Give turns. Not thread-safe: it belongs to its ``loop``, by default the one that runs when it is first needed."""

    __slots__ = ("_done", "_due", "_known_loop", "_numbers", "_pausing", "_places", "_ready", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._known_loop = loop
        self._places: dict[Account, list[_Place]] = {}  # heaps: the connection that owes least is first
        self._ready: OrderedDict[Account, None] = OrderedDict()  # of those, the ones that may have a turn, next first
        self._pausing: list[tuple[float, int, Account]] = []  # a heap of the others, by the end of their pause
        self._numbers = count()
        self._due = False  # a turn is given in the next step
        self._timer: asyncio.TimerHandle | None = None  # for the end of the first pause
        self._done = 0.0  # what was noted in this step

    def __len__(self) -> int:
        """How many connections wait."""
        return sum(len(places) for places in self._places.values())

    @property
    def waited_for(self) -> bool:
        """Whether any connection waits."""
        return bool(self._places)

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        if self._known_loop is None:
            self._known_loop = asyncio.get_running_loop()
        return self._known_loop

    @property
    def spent(self) -> bool:
        """Whether the present step of the loop is used up: more work needs a turn."""
        return self._done > _STEP

    def note(self, cost: float) -> None:
        """Count what a connection had done in the present step."""
        if not cost:
            return
        if not self._done:
            self._loop.call_soon(self._begin_step)
        self._done += cost

    def _begin_step(self) -> None:
        self._done = 0.0

    async def turn(self, guard: Guard, cost: float = 0.0, gone: Callable[[], bool] | None = None) -> None:
        """Wait for a turn. ``cost`` is what is known of the work to be done.

        ``gone`` says whether the client has left. Then this returns as well, and another connection has the turn.
        """
        now = self._loop.time()
        guard.settle(now)
        if guard.left < 0.0:
            _pause(guard.account, now, -guard.left)
        waiter: asyncio.Future[None] = self._loop.create_future()

        def wake() -> bool:
            if waiter.done():
                return False
            waiter.set_result(None)
            return gone is None or not gone()

        self._join(guard.account, guard.owed + cost, wake)
        await waiter
        guard.left = QUANTUM_IN_DEBT if guard.account.pause else QUANTUM
        if cost > guard.left:
            _pause(guard.account, self._loop.time(), cost - guard.left)
            guard.left = cost

    async def begin(self, guard: Guard, cost: float) -> None:
        """Charge for a request. Wait for a turn where that is more than the connection may have done without."""
        guard.settle(self._loop.time())
        guard.charge(cost)
        if guard.left < 0.0:
            await self.turn(guard)

    def call(self, account: Account, newcomer: Callable[[], bool]) -> None:
        """Call ``newcomer`` when it is the turn of a new connection. It returns False if it has no use for the turn."""
        self._join(account, 0.0, newcomer)

    def _join(self, account: Account, owed: float, wake: Callable[[], bool]) -> None:
        now = self._loop.time()
        account.settle(now)  # before it is a client that waits
        places = self._places.get(account)
        if places is None:
            places = self._places[account] = []
            self._line_up(account, now)
        heappush(places, (owed + now * 1e6 * _AGE, next(self._numbers), wake))
        account.waiting = len(places)
        self._schedule()

    def _line_up(self, account: Account, now: float) -> None:
        if account.free_at <= now:
            self._ready[account] = None
        else:
            heappush(self._pausing, (account.free_at, next(self._numbers), account))

    def _schedule(self) -> None:
        """Have the next turn given: in the next step, or when the first pause ends."""
        if self._ready:
            if not self._due:
                self._due = True
                self._loop.call_soon(self._give)
        elif self._pausing and not self._due:
            until = self._pausing[0][0]
            if self._timer is not None:
                if self._timer.when() <= until:
                    return
                self._timer.cancel()
            self._timer = self._loop.call_at(until, self._end_pause)

    def _end_pause(self) -> None:
        self._timer = None
        self._call_rested(self._loop.time())
        self._schedule()

    def _call_rested(self, now: float) -> None:
        while self._pausing and self._pausing[0][0] <= now:
            self._line_up(heappop(self._pausing)[2], now)

    def _give(self) -> None:
        """Give one turn."""
        self._due, now = False, self._loop.time()
        self._call_rested(now)
        for _ in range(_GONE_AT_ONCE):
            if not self._ready:
                break
            account, _ = self._ready.popitem(last=False)
            if self._wake_first(account, now):
                break
        self._schedule()

    def _wake_first(self, account: Account, now: float) -> bool:
        """Give a client's turn to the first of its connections. Return False if that had no use for it."""
        places = self._places[account]
        woken = heappop(places)[2]()
        account.settle(now)
        account.waiting = len(places)
        if woken:
            _pause(account, now, QUANTUM_IN_DEBT)
        if places:
            self._line_up(account, now)
        else:
            del self._places[account]
        return woken


def _pause(account: Account, now: float, cost: float) -> None:
    """Let a client in debt pause for work of this cost."""
    factor = account.pause
    if factor:
        account.free_at = max(account.free_at, now) + min(cost * factor / 1e6, _PAUSE_SECONDS)
