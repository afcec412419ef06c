"""A loop whose clock is put forward by hand, and the flow as it is put together on it."""

# ruff: noqa: ASYNC110 - the conditions are other tasks' doing, and each look is one turn of the loop
from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any

from freight.flow.budget import Budget
from freight.flow.gate import Gate, Slot, Terms
from freight.flow.meter import Meter
from freight.flow.transfer import Transfers
from freight.model import Plan


class Timer:
    """A call that is due at a time of the stepped clock."""

    def __init__(self, when: float, call: Callable[[], object]) -> None:
        self._when = when
        self.call: Callable[[], object] | None = call

    def when(self) -> float:
        return self._when

    def cancel(self) -> None:
        self.call = None


class SteppedLoop:
    """The running loop, with a clock that stands still until it is put forward."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._order = count()
        self._timers: list[tuple[float, int, Timer]] = []
        self.seconds = 0.0

    def time(self) -> float:
        return self.seconds

    def call_at(self, when: float, call: Callable[..., object], *arguments: Any) -> Timer:
        timer = Timer(when, lambda: call(*arguments))
        heappush(self._timers, (when, next(self._order), timer))
        return timer

    def call_later(self, seconds: float, call: Callable[..., object], *arguments: Any) -> Timer:
        return self.call_at(self.seconds + seconds, call, *arguments)

    @property
    def timers(self) -> list[float]:
        """When something is due."""
        return sorted(when for when, _, timer in self._timers if timer.call is not None)

    def put_forward(self, seconds: float) -> None:
        """Let time pass, and call what is due on the way, each at its time."""
        until = self.seconds + seconds
        while self._timers and self._timers[0][0] <= until:
            when, _, timer = heappop(self._timers)
            self.seconds = max(self.seconds, when)
            if timer.call is not None:
                timer.call()
        self.seconds = until

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


async def turns(number: int = 10) -> None:
    """Let the loop turn: enough for whoever is ready to have been served."""
    for _ in range(number):
        await asyncio.sleep(0)


class House:
    """Budget, gate and transfers of the running loop, with a stepped clock."""

    def __init__(self, pool: Any = None, memory_bytes: int = 64 << 20, **terms: Any) -> None:
        self.loop: Any = SteppedLoop()
        self.pool = pool
        self.budget = Budget(memory_bytes, 4 << 20)
        self.meter = Meter()
        terms = {"idle_seconds": 60.0} | terms
        self.transfers = Transfers(self.loop, pool, self.budget, self.meter, Terms(**terms))
        self.gate = Gate(self.loop, self.budget, self.transfers.rounds, self.meter, Terms(**terms))

    async def transfer(self, reader: Any, plan: Plan, sink: Any, client: str = "192.0.2.1") -> None:
        """Admit and transfer, as an exchange does."""
        async with self.gate.slot(client, plan.length, reader.fileno() is None, sink) as slot:
            assert isinstance(slot, Slot)
            await self.transfers.transfer(reader, plan, sink, slot)

    async def asked(self) -> None:
        """Wait until the pool has something to do."""
        while not self.pool.jobs:
            await asyncio.sleep(0)
