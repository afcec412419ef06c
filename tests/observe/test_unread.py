"""Pending answers of the admin listener: their bytes are limited, and the oldest are aborted first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from freight.model import Plan
from freight.observe.unread import PendingAnswers, SharedResult

SINK: Any = None  # not used


class StalledClients:
    """Clients that do not read: each answer starts, and none ends before ``go``."""

    def __init__(self, max_bytes: int) -> None:
        self.started: list[int] = []
        self.go = asyncio.Event()
        self.pending = PendingAnswers(self._send, max_bytes)
        self.tasks: list[asyncio.Task[None]] = []

    async def _send(self, plan: Plan, _: Any) -> None:
        self.started.append(len(self.started))
        await self.go.wait()

    async def ask(self, size: int) -> None:
        """Request one more answer of ``size`` bytes."""
        plan = Plan(200, (), (bytes(size),), size)
        self.tasks.append(asyncio.create_task(self.pending.send(plan, SINK)))
        for _ in range(10):
            await asyncio.sleep(0)

    def aborted(self) -> list[int]:
        """Return the answers that were aborted, by number."""
        return [number for number, task in enumerate(self.tasks) if task.cancelled()]

    async def finish(self) -> None:
        self.go.set()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.mark.parametrize(
    ("sizes", "aborted"),
    [
        ([40, 40], []),
        ([40, 40, 40], [0]),
        ([40, 40, 90], [0, 1]),
        ([500], []),  # larger than the limit: held alone
        ([40, 500, 40], [0, 1]),
        ([0] * 5, []),
    ],
)
async def test_the_oldest_answers_are_aborted_at_the_limit(sizes: list[int], aborted: list[int]) -> None:
    stalled = StalledClients(100)
    for size in sizes:
        await stalled.ask(size)
    assert stalled.started == list(range(len(sizes)))
    assert stalled.aborted() == aborted
    await stalled.finish()
    await stalled.ask(100)  # answers that have ended do not count
    await stalled.finish()
    assert stalled.aborted() == aborted


async def test_small_answers_are_aborted_too_when_connections_wait() -> None:
    stalled = StalledClients(100)
    for _ in range(20):
        await stalled.ask(1)
    stalled.pending.abort_oldest()
    await asyncio.sleep(0)
    assert stalled.aborted() == list(range(16))
    await stalled.finish()


async def test_one_result_is_shared_by_all_that_asked_before_it_was_started() -> None:
    """A task that asks while a result is made gets the next one, which is newer than its call."""
    made: list[asyncio.Future[bytes]] = []

    async def make() -> bytes:
        made.append(asyncio.get_running_loop().create_future())
        return await made[-1]

    shared = SharedResult(make)
    first = [asyncio.create_task(shared.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    second = [asyncio.create_task(shared.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert len(made) == 1
    second.pop().cancel()  # a cancelled task does not cancel the others
    made[0].set_result(b"first")
    assert await asyncio.gather(*first) == [b"first"] * 3
    for _ in range(3):
        await asyncio.sleep(0)
    made[1].set_result(b"second")
    assert await asyncio.gather(*second) == [b"second"] * 2
    assert len(made) == 2


async def test_a_failure_is_raised_in_all_tasks_that_share_it_and_in_no_other() -> None:
    results = iter([OSError("no"), b"yes"])

    async def make() -> bytes:
        found = next(results)
        if isinstance(found, OSError):
            raise found
        return found

    shared = SharedResult(make)
    failed = await asyncio.gather(shared.wait(), shared.wait(), return_exceptions=True)
    assert [type(each) for each in failed] == [OSError, OSError]
    assert await shared.wait() == b"yes"
