"""The budget counts the growth of the process, and what clients leave behind is returned."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from freight.memory.budget import UNCOUNTED_GROWTH_DIVISOR, Budget
from freight.memory.costs import CONNECTION_COST
from freight.memory.division import LEAST_MEMORY
from freight.memory.heap import trim_heap_thoroughly
from freight.memory.process_growth import GrowthMonitor
from freight.sources.disk_pool import DiskPool

MEMORY = 20_000_000
LARGEST = 4 << 20


class Heap:
    """The process's memory, as a test sets it. A trim leaves ``least``; ``trims`` has True for each thorough one."""

    def __init__(self) -> None:
        self.bytes = self.least = 15 << 20
        self.trims: list[bool] = []

    def trim(self, thorough: bool) -> None:
        self.trims.append(thorough)
        self.bytes = self.least


@pytest.fixture
def heap(monkeypatch: pytest.MonkeyPatch) -> Heap:
    made = Heap()
    monkeypatch.setattr("freight.memory.process_growth.private_bytes", lambda: made.bytes)
    monkeypatch.setattr("freight.memory.process_growth.trim_heap", lambda: made.trim(False))
    monkeypatch.setattr("freight.memory.process_growth.trim_heap_thoroughly", lambda: made.trim(True))
    return made


def monitored(budget: Budget, steps: Callable[[GrowthMonitor], Any]) -> None:
    async def main() -> None:
        with closing(DiskPool()) as pool:
            async with asyncio.timeout(20):
                await steps(GrowthMonitor(pool, budget))

    asyncio.run(main())


def test_growth_beyond_the_cost_of_the_connections_is_spent(heap: Heap) -> None:
    budget = Budget(MEMORY, LARGEST)

    async def steps(monitor: GrowthMonitor) -> None:
        budget.connection_opened(100)
        before = budget.spent_bytes()
        heap.bytes += 100 * CONNECTION_COST
        await monitor.trim_if_due()
        assert budget.spent_bytes() - before < CONNECTION_COST * 100  # waiting costs more than that
        heap.bytes += 1_000_000
        await monitor.trim_if_due()
        assert budget.slack_bytes == pytest.approx(1_000_000, abs=200_000)

    monitored(budget, steps)


@pytest.mark.parametrize("memory", [LEAST_MEMORY, 1_000_000, MEMORY])
def test_however_much_the_process_grows_one_client_can_run(heap: Heap, memory: int) -> None:
    """The growth may have other causes than clients."""
    budget = Budget(memory, LARGEST)

    async def steps(monitor: GrowthMonitor) -> None:
        heap.bytes += 1 << 30
        heap.least = heap.bytes
        await monitor.trim_if_due()
        assert budget.slack_bytes <= memory - memory // UNCOUNTED_GROWTH_DIVISOR
        assert budget.can_open() and budget.can_run()

    monitored(budget, steps)


def test_excluded_growth_is_not_spent(heap: Heap) -> None:
    budget = Budget(MEMORY, LARGEST)

    async def steps(monitor: GrowthMonitor) -> None:
        heap.bytes += 5 << 20
        monitor.exclude(5 << 20)
        await monitor.trim_if_due()
        assert (budget.slack_bytes, heap.trims) == (0, [])

    monitored(budget, steps)


def test_slack_is_returned_once_it_stops_growing(heap: Heap) -> None:
    budget = Budget(MEMORY, LARGEST)

    async def steps(monitor: GrowthMonitor) -> None:
        heap.bytes += 1 << 20
        await monitor.trim_if_due()
        heap.bytes += 1 << 20
        await monitor.trim_if_due()
        assert heap.trims == []
        await monitor.trim_if_due()
        assert (heap.trims, budget.slack_bytes) == ([True], 0)

    monitored(budget, steps)


def test_slack_counts_from_the_least_that_the_process_ever_had(heap: Heap) -> None:
    budget = Budget(MEMORY, LARGEST)

    async def steps(monitor: GrowthMonitor) -> None:
        heap.bytes = heap.least = heap.least - (2 << 20)
        await monitor.trim_if_due()
        heap.bytes += 1 << 20
        await monitor.trim_if_due()
        await monitor.trim_if_due()
        assert (heap.trims, heap.bytes, budget.slack_bytes) == ([True], heap.least, 0)

    monitored(budget, steps)


def test_much_slack_is_returned_while_clients_are_still_leaving(heap: Heap) -> None:
    budget = Budget(MEMORY, LARGEST)

    async def steps(monitor: GrowthMonitor) -> None:
        for bytes_left in (1 << 20, 4 << 20):
            heap.bytes = heap.least + bytes_left
            await monitor.trim_if_due()
        assert (heap.trims, budget.slack_bytes) == ([True], 0)

    monitored(budget, steps)


def test_slack_that_cannot_be_returned_is_tried_twice(heap: Heap) -> None:
    """At the first trim, something of the clients that have left may still be in use."""
    budget = Budget(MEMORY, LARGEST)

    async def steps(monitor: GrowthMonitor) -> None:
        heap.bytes += 2 << 20
        heap.least = heap.bytes
        for _ in range(10):
            await monitor.trim_if_due()
        assert heap.trims == [True, True]

    monitored(budget, steps)


def test_slack_that_cannot_be_returned_is_not_tried_again_while_clients_come_and_go(heap: Heap) -> None:
    budget = Budget(MEMORY, LARGEST)

    async def steps(monitor: GrowthMonitor) -> None:
        heap.least = heap.bytes + (2 << 20)
        for number in range(20):
            heap.bytes = heap.least + number % 2 * (64 << 10)
            await monitor.trim_if_due()
        assert heap.trims == [True, True]

    monitored(budget, steps)


def test_slack_is_tried_again_when_half_of_the_connections_have_closed(heap: Heap) -> None:
    budget, idle = Budget(MEMORY, LARGEST), 15 << 20

    async def steps(monitor: GrowthMonitor) -> None:
        budget.connection_opened(20)
        heap.bytes, heap.least = idle + (2 << 20), idle + (1 << 20)
        for _ in range(3):
            await monitor.trim_if_due()
        assert heap.trims == [True, True]
        budget.connection_opened(-20)
        heap.least = idle
        for _ in range(3):
            await monitor.trim_if_due()
        assert (heap.trims, budget.slack_bytes) == ([True, True, True], 0)

    monitored(budget, steps)


def test_with_many_connections_the_trim_is_not_thorough(heap: Heap) -> None:
    budget = Budget(MEMORY, LARGEST)

    async def steps(monitor: GrowthMonitor) -> None:
        budget.connection_opened(501)
        heap.bytes += 6 << 20
        await monitor.trim_if_due()
        await monitor.trim_if_due()
        assert heap.trims == [False]

    monitored(budget, steps)


def test_a_thorough_trim_replaces_the_iterators_of_futures_that_cpython_keeps() -> None:
    """Each old one would hold a page of the heap."""
    loop = asyncio.new_event_loop()
    future = loop.create_future()

    def addresses() -> set[int]:
        return {id(each) for each in [future.__await__() for _ in range(255)]}

    old = addresses()
    assert addresses() == old  # CPython keeps 255
    trim_heap_thoroughly()
    assert not addresses() & old
    loop.close()
