"""A producer asks for more memory from its thread; the budget decides on the loop, and gets all back."""

from __future__ import annotations

import asyncio

from freight.flow.producing import ProducerMemory
from freight.memory.budget import Budget


async def test_a_producer_gets_memory_while_there_is_some_and_returns_it() -> None:
    budget, loop = Budget(64 << 20, 1 << 22), asyncio.get_running_loop()
    memory = ProducerMemory(loop, budget)
    granted = []
    while bytes_ := await asyncio.to_thread(memory.ask):
        granted.append(bytes_)
        assert budget.producers == len(granted)
    assert set(granted) == {budget.division.producer_cost} and len(granted) > 8
    memory.release()
    assert budget.producers == 0


async def test_a_producer_whose_transfer_has_ended_gets_no_more() -> None:
    budget = Budget(64 << 20, 1 << 22)
    memory = ProducerMemory(asyncio.get_running_loop(), budget)
    memory.release()
    assert await asyncio.to_thread(memory.ask) == 0
    assert budget.producers == 0


def test_a_producer_that_outlives_the_loop_gets_no_more() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    assert ProducerMemory(loop, Budget(64 << 20, 1 << 22)).ask() == 0
