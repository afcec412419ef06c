"""An event loop with a manual clock, and a budget, a gate and transfers on it."""

# ruff: noqa: ASYNC110 - other tasks change the conditions, and each iteration is one step of the loop
from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any

from freight.flow.counters import Counters
from freight.flow.gate import Gate
from freight.flow.limits import QueueLimits, TransferLimits
from freight.flow.slot import Slot
from freight.flow.transfers import Transfers
from freight.memory.budget import Budget
from freight.model import Plan


class Timer:
    """A call that is scheduled on the manual clock."""

    def __init__(self, when: float, call: Callable[[], object]) -> None:
        self._when = when
        self.call: Callable[[], object] | None = call

    def when(self) -> float:
        return self._when

    def cancel(self) -> None:
        self.call = None


class SteppedLoop:
    """The running loop with a clock that only :meth:`advance` moves."""

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
        """Times of the scheduled calls."""
        return sorted(when for when, _, timer in self._timers if timer.call is not None)

    def advance(self, seconds: float) -> None:
        """Advance the clock, and make each call that becomes due at its own time."""
        until = self.seconds + seconds
        while self._timers and self._timers[0][0] <= until:
            when, _, timer = heappop(self._timers)
            self.seconds = max(self.seconds, when)
            if timer.call is not None:
                timer.call()
        self.seconds = until

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


async def run_steps(number: int = 10) -> None:
    """Run ``number`` steps of the loop. The default lets every ready task run."""
    for _ in range(number):
        await asyncio.sleep(0)


class Harness:
    """A budget, a gate and transfers on the running loop with a manual clock."""

    def __init__(self, pool: Any = None, memory_bytes: int = 64 << 20, **limits: Any) -> None:
        """``limits`` are fields of the limits of transfers or of the queue."""
        self.loop: Any = SteppedLoop()
        self.pool = pool
        self.budget = Budget(memory_bytes, 4 << 20)
        self.counters = Counters()
        of_queue = {name: limits.pop(name) for name in ("size", "timeout_seconds", "max_per_client") if name in limits}
        self.transfers = Transfers(self.loop, pool, self.budget, self.counters, TransferLimits(**limits))
        self.gate = Gate(self.loop, self.budget, self.transfers.poller, self.counters, QueueLimits(**of_queue))

    async def transfer(self, reader: Any, plan: Plan, sink: Any, client: str = "192.0.2.1") -> None:
        """Wait for a slot and transfer, as an exchange does."""
        async with self.gate.slot(client, plan.length, reader.fileno() is None, sink) as slot:
            assert isinstance(slot, Slot)
            await self.transfers.transfer(reader, plan, sink, slot)

    async def job_submitted(self) -> None:
        """Wait until the pool has a job."""
        while not self.pool.jobs:
            await asyncio.sleep(0)
