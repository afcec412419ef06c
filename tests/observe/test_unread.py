"""Answers on their way to those who look: few bytes of them are held, and the oldest make room."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from freight.model import Plan
from freight.observe.unread import Shared, Unread

NOBODY: Any = None  # a sink that is not looked at


class Stuck:
    """Clients that do not read: each answer begins, and none ends before ``go``."""

    def __init__(self, most_bytes: int) -> None:
        self.begun: list[int] = []
        self.go = asyncio.Event()
        self.unread = Unread(self._send, most_bytes)
        self.tasks: list[asyncio.Task[None]] = []

    async def _send(self, plan: Plan, _: Any) -> None:
        self.begun.append(len(self.begun))
        await self.go.wait()

    async def ask(self, size: int) -> None:
        """One more asks for an answer of so many bytes."""
        plan = Plan(200, (), (bytes(size),), size)
        self.tasks.append(asyncio.create_task(self.unread.send(plan, NOBODY)))
        for _ in range(10):
            await asyncio.sleep(0)

    def ended(self) -> list[int]:
        """Who was ended to make room."""
        return [number for number, task in enumerate(self.tasks) if task.cancelled()]

    async def finish(self) -> None:
        self.go.set()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.mark.parametrize(
    ("sizes", "ended"),
    [
        ([40, 40], []),
        ([40, 40, 40], [0]),
        ([40, 40, 90], [0, 1]),
        ([500], []),  # one that is larger than all may be is held alone
        ([40, 500, 40], [0, 1]),
        ([0] * 5, []),
    ],
)
def test_the_oldest_make_room(sizes: list[int], ended: list[int]) -> None:
    async def run() -> None:
        stuck = Stuck(100)
        for size in sizes:
            await stuck.ask(size)
        assert stuck.begun == list(range(len(sizes)))
        assert stuck.ended() == ended
        await stuck.finish()
        await stuck.ask(100)  # nothing is counted of what has ended
        await stuck.finish()
        assert stuck.ended() == ended

    asyncio.run(run())


def test_small_answers_make_room_too_where_connections_are_wanted() -> None:
    async def run() -> None:
        stuck = Stuck(100)
        for _ in range(20):
            await stuck.ask(1)
        stuck.unread.make_room()
        await asyncio.sleep(0)
        assert stuck.ended() == list(range(16))
        await stuck.finish()

    asyncio.run(run())


def test_one_answer_is_for_all_who_asked_before_it_was_begun() -> None:
    """And who asks while one is made is told what is true after that."""
    made: list[asyncio.Future[bytes]] = []

    async def make() -> bytes:
        made.append(asyncio.get_running_loop().create_future())
        return await made[-1]

    async def run() -> None:
        shared = Shared(make)
        first = [asyncio.create_task(shared.wait()) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        second = [asyncio.create_task(shared.wait()) for _ in range(3)]
        await asyncio.sleep(0)
        assert len(made) == 1
        second.pop().cancel()  # one that goes takes nothing from the others
        made[0].set_result(b"first")
        assert await asyncio.gather(*first) == [b"first"] * 3
        for _ in range(3):
            await asyncio.sleep(0)
        made[1].set_result(b"second")
        assert await asyncio.gather(*second) == [b"second"] * 2
        assert len(made) == 2

    asyncio.run(run())


def test_a_look_that_fails_fails_for_all_who_asked_and_for_no_other() -> None:
    looks = iter([OSError("no"), b"yes"])

    async def make() -> bytes:
        found = next(looks)
        if isinstance(found, OSError):
            raise found
        return found

    async def run() -> None:
        shared = Shared(make)
        failed = await asyncio.gather(shared.wait(), shared.wait(), return_exceptions=True)
        assert [type(each) for each in failed] == [OSError, OSError]
        assert await shared.wait() == b"yes"

    asyncio.run(run())
