"""What the process has really grown by is spent, and what a crowd has left goes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from freight.disk import DiskPool
from freight.flow.budget import LEAST_MEMORY, UNGROWN_SHARE, Budget
from freight.flow.costs import CONNECTION_COST
from freight.flow.footprint import Footprint
from freight.heap import give_back

Run = Callable[[Callable[[], Any]], None]
MEMORY = 20_000_000
LARGEST = 4 << 20


class Heap:
    """The process's memory, as it is told to be; giving back leaves ``least``."""

    def __init__(self) -> None:
        self.bytes = self.least = 15 << 20
        self.asked: list[bool] = []

    def give_back(self, thorough: bool) -> None:
        self.asked.append(thorough)
        self.bytes = self.least


@pytest.fixture
def heap(monkeypatch: pytest.MonkeyPatch) -> Heap:
    made = Heap()
    monkeypatch.setattr("freight.flow.footprint.private_bytes", lambda: made.bytes)
    monkeypatch.setattr("freight.flow.footprint.give_back", made.give_back)
    return made


def looks(run: Run, budget: Budget, steps: Callable[[Footprint], Any]) -> None:
    async def main() -> None:
        with closing(DiskPool()) as pool:
            await steps(Footprint(asyncio.get_running_loop(), pool, budget))

    run(main)


def test_what_the_process_has_beyond_the_cost_of_its_connections_is_spent(run: Run, heap: Heap) -> None:
    budget = Budget(MEMORY, LARGEST)

    async def steps(footprint: Footprint) -> None:
        budget.opened(100)
        before = budget.spent_bytes()
        heap.bytes += 100 * CONNECTION_COST
        await footprint.look()
        assert budget.spent_bytes() - before < CONNECTION_COST * 100  # waiting costs more than that
        heap.bytes += 1_000_000
        await footprint.look()
        assert budget.slack_bytes == pytest.approx(1_000_000, abs=200_000)

    looks(run, budget, steps)


@pytest.mark.parametrize("memory", [LEAST_MEMORY, 1_000_000, MEMORY])
def test_however_much_it_grows_somebody_can_run(run: Run, heap: Heap, memory: int) -> None:
    """It may be no client's."""
    budget = Budget(memory, LARGEST)

    async def steps(footprint: Footprint) -> None:
        heap.bytes += 1 << 30
        heap.least = heap.bytes
        await footprint.look()
        assert budget.slack_bytes <= memory - memory // UNGROWN_SHARE
        assert budget.can_open() and budget.can_run()

    looks(run, budget, steps)


def test_what_is_pardoned_is_of_no_client(run: Run, heap: Heap) -> None:
    budget = Budget(MEMORY, LARGEST)

    async def steps(footprint: Footprint) -> None:
        heap.bytes += 5 << 20
        footprint.pardon(5 << 20)
        await footprint.look()
        assert (budget.slack_bytes, heap.asked) == (0, [])

    looks(run, budget, steps)


def test_what_a_crowd_has_left_goes_back_once_nobody_leaves_any_more(run: Run, heap: Heap) -> None:
    budget = Budget(MEMORY, LARGEST)

    async def steps(footprint: Footprint) -> None:
        heap.bytes += 1 << 20
        await footprint.look()
        heap.bytes += 1 << 20
        await footprint.look()
        assert heap.asked == []
        await footprint.look()
        assert (heap.asked, budget.slack_bytes) == ([True], 0)

    looks(run, budget, steps)


def test_a_crowd_is_not_forgiven_what_was_only_needed_to_start(run: Run, heap: Heap) -> None:
    budget = Budget(MEMORY, LARGEST)

    async def steps(footprint: Footprint) -> None:
        heap.bytes = heap.least = heap.least - (2 << 20)
        await footprint.look()
        heap.bytes += 1 << 20
        await footprint.look()
        await footprint.look()
        assert (heap.asked, heap.bytes, budget.slack_bytes) == ([True], heap.least, 0)

    looks(run, budget, steps)


def test_where_much_has_been_left_it_goes_back_while_some_are_leaving_still(run: Run, heap: Heap) -> None:
    budget = Budget(MEMORY, LARGEST)

    async def steps(footprint: Footprint) -> None:
        for bytes_left in (1 << 20, 4 << 20):
            heap.bytes = heap.least + bytes_left
            await footprint.look()
        assert (heap.asked, budget.slack_bytes) == ([True], 0)

    looks(run, budget, steps)


def test_what_does_not_go_back_is_not_asked_for_again_and_again(run: Run, heap: Heap) -> None:
    """Twice: at the first time something of the crowd may still have been on its way out."""
    budget = Budget(MEMORY, LARGEST)

    async def steps(footprint: Footprint) -> None:
        heap.bytes += 2 << 20
        heap.least = heap.bytes
        for _ in range(10):
            await footprint.look()
        assert heap.asked == [True, True]

    looks(run, budget, steps)


def test_what_does_not_go_back_is_not_asked_for_again_while_others_come_and_go(run: Run, heap: Heap) -> None:
    budget = Budget(MEMORY, LARGEST)

    async def steps(footprint: Footprint) -> None:
        heap.least = heap.bytes + (2 << 20)
        for number in range(20):
            heap.bytes = heap.least + number % 2 * (64 << 10)
            await footprint.look()
        assert heap.asked == [True, True]

    looks(run, budget, steps)


def test_what_did_not_go_back_is_asked_for_once_more_when_those_who_kept_it_have_left(run: Run, heap: Heap) -> None:
    budget, idle = Budget(MEMORY, LARGEST), 15 << 20

    async def steps(footprint: Footprint) -> None:
        budget.opened(20)
        heap.bytes, heap.least = idle + (2 << 20), idle + (1 << 20)
        for _ in range(3):
            await footprint.look()
        assert heap.asked == [True, True]
        budget.opened(-20)
        heap.least = idle
        for _ in range(3):
            await footprint.look()
        assert (heap.asked, budget.slack_bytes) == ([True, True, True], 0)

    looks(run, budget, steps)


def test_in_a_crowd_the_walk_is_short(run: Run, heap: Heap) -> None:
    budget = Budget(MEMORY, LARGEST)

    async def steps(footprint: Footprint) -> None:
        budget.opened(501)
        heap.bytes += 6 << 20
        await footprint.look()
        await footprint.look()
        assert heap.asked == [False]

    looks(run, budget, steps)


def test_iterators_of_futures_that_a_crowd_has_left_do_not_stay_where_the_crowd_was() -> None:
    """Each would hold a page of the heap."""
    loop = asyncio.new_event_loop()
    future = loop.create_future()

    def addresses() -> set[int]:
        return {id(each) for each in [future.__await__() for _ in range(255)]}

    crowd = addresses()
    assert addresses() == crowd  # CPython keeps so many
    give_back(thorough=True)
    assert not addresses() & crowd
    loop.close()
