"""Whose work is done next, on a loop whose clock is put forward by hand."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "flow"))

from stepped import SteppedLoop, turns

from freight.guard import DEBT_MOST, PAUSE_MOST, QUANTUM, QUANTUM_IN_DEBT, Account, Guard
from freight.server.pace import Pace

Scene = Callable[[Pace, SteppedLoop, list[str]], Awaitable[None]]


def play(scene: Scene) -> list[str]:
    """What was done, in order."""
    done: list[str] = []

    async def run() -> None:
        loop = SteppedLoop()
        await scene(Pace(loop), loop, done)  # type: ignore[arg-type]

    asyncio.run(asyncio.wait_for(run(), 20))
    return done


def in_debt() -> Account:
    account = Account()
    account.charge(DEBT_MOST)
    return account


def worker(pace: Pace, name: str, done: list[str], guard: Guard, quanta: int = 3) -> asyncio.Task[None]:
    """A connection that has so many quanta of work done."""

    async def work() -> None:
        for _ in range(quanta):
            await pace.turn(guard)
            guard.charge(guard.left)
            done.append(name)

    return asyncio.get_running_loop().create_task(work())


def test_turns_go_round_the_clients_whatever_number_of_connections_they_have() -> None:
    async def scene(pace: Pace, loop: SteppedLoop, done: list[str]) -> None:
        crowd = Account()
        for _ in range(20):
            worker(pace, "crowd", done, Guard(crowd))
        worker(pace, "one", done, Guard())
        await turns(200)

    assert play(scene)[:7].count("one") == 3


def test_there_is_one_turn_in_each_step_of_the_loop() -> None:
    async def scene(pace: Pace, loop: SteppedLoop, done: list[str]) -> None:
        for _ in range(5):
            worker(pace, "", done, Guard(), quanta=50)
        await turns(3)
        for _ in range(50):
            before = len(done)
            await asyncio.sleep(0)
            assert len(done) - before <= 1

    assert len(play(scene)) > 20


def test_a_client_in_debt_rests_for_several_times_its_work_and_others_do_not_wait_for_that() -> None:
    async def scene(pace: Pace, loop: SteppedLoop, done: list[str]) -> None:
        account = in_debt()
        for _ in range(10):
            worker(pace, "in debt", done, Guard(account), quanta=1000)
        worker(pace, "honest", done, Guard(), quanta=100)
        await turns(300)
        assert done.count("honest") == 100 and done.count("in debt") == 1
        for _ in range(1000):
            loop.put_forward(0.001)
            account.charge(1000.0)  # more than time pays
            await turns(5)

    seconds = play(scene).count("in debt") * QUANTUM_IN_DEBT / 1e6
    assert 0.8 / (1 + PAUSE_MOST) < seconds <= 1.05 / PAUSE_MOST


def test_of_a_clients_connections_the_one_goes_first_that_owes_least() -> None:
    async def scene(pace: Pace, loop: SteppedLoop, done: list[str]) -> None:
        account = in_debt()
        for number in range(10):
            guard = Guard(account)
            guard.charge(10_000.0 * (10 - number))
            worker(pace, "harmful", done, guard)
        await turns()
        worker(pace, "honest", done, Guard(account), quanta=1)
        await turns()
        for _ in range(20):
            loop.put_forward(0.01)
            await turns()

    assert play(scene)[:3].index("honest") <= 2


def test_nobody_waits_for_ever_behind_those_who_owe_less() -> None:
    async def scene(pace: Pace, loop: SteppedLoop, done: list[str]) -> None:
        account = in_debt()
        guard = Guard(account)
        guard.charge(50_000.0)
        worker(pace, "old", done, guard, quanta=1)
        for _ in range(2000):
            worker(pace, "new", done, Guard(account), quanta=1)
            loop.put_forward(0.01)
            await turns(3)

    assert "old" in play(scene)


def test_expensive_heads_of_connections_that_come_again_do_not_keep_newcomers_waiting() -> None:
    """Ten connections each ask for 2,700 microseconds in two parts, are ended, and come again.

    Their second part waits for more than 0.2 seconds, and must not be as old as it is expensive by then.
    """
    waits: list[float] = []

    async def scene(pace: Pace, loop: SteppedLoop, done: list[str]) -> None:
        account = in_debt()
        now = asyncio.get_running_loop()

        async def accepted() -> None:
            called = now.create_future()
            pace.call(account, lambda: called.set_result(None) or True)
            await called

        async def harm() -> None:
            while True:
                await accepted()
                guard = Guard(account)
                for cost in (700.0, 2000.0):
                    await pace.turn(guard, cost)
                    guard.charge(cost)
                    account.charge(cost)  # more than time pays

        async def ask() -> None:
            began = loop.time()
            await accepted()
            waits.append(loop.time() - began)

        tasks = [now.create_task(harm()) for _ in range(10)]
        for step in range(3000):
            if step % 10 == 0:
                tasks.append(now.create_task(ask()))
            loop.put_forward(0.001)
            await turns(10)
        for task in tasks:
            task.cancel()

    play(scene)
    assert len(waits) > 280
    assert sorted(waits)[len(waits) * 99 // 100] < 0.05


def test_what_was_done_beyond_a_turn_is_rested_for_too() -> None:
    async def scene(pace: Pace, loop: SteppedLoop, done: list[str]) -> None:
        account = in_debt()
        guard = Guard(account)
        await pace.turn(guard)
        guard.charge(guard.left + 1000.0)
        waits = asyncio.get_running_loop().create_task(pace.turn(guard))
        await turns()
        rest = (QUANTUM_IN_DEBT + 1000.0) * PAUSE_MOST / 1e6
        loop.put_forward(0.9 * rest)
        await turns()
        assert not waits.done()
        loop.put_forward(0.2 * rest)
        await turns()
        assert waits.done()

    play(scene)


@pytest.mark.parametrize("debt", [False, True])
def test_a_turn_lets_a_known_cost_be_done_at_once(debt: bool) -> None:
    async def scene(pace: Pace, loop: SteppedLoop, done: list[str]) -> None:
        guard = Guard(in_debt() if debt else Account())
        await pace.turn(guard, 5000.0)
        assert guard.left == 5000.0
        await asyncio.wait_for(pace.turn(guard), 5) if not debt else None
        assert debt or guard.left == QUANTUM

    play(scene)


def test_who_is_gone_uses_no_turn() -> None:
    async def scene(pace: Pace, loop: SteppedLoop, done: list[str]) -> None:
        account = in_debt()
        left = [Guard(account) for _ in range(50)]
        waits = [asyncio.get_running_loop().create_task(pace.turn(guard, gone=lambda: True)) for guard in left]
        await turns()
        worker(pace, "there", done, Guard(account), quanta=1)
        await turns(50)
        assert all(each.done() for each in waits)

    assert play(scene) == ["there"]


def test_who_is_cancelled_leaves_its_place() -> None:
    async def scene(pace: Pace, loop: SteppedLoop, done: list[str]) -> None:
        account = in_debt()
        waits = [worker(pace, "cancelled", done, Guard(account)) for _ in range(50)]
        await turns(2)
        for each in waits:
            each.cancel()
        worker(pace, "there", done, Guard(account), quanta=1)
        await turns(60)
        for _ in range(10):
            loop.put_forward(0.01)
            await turns(60)
        assert not len(pace)

    assert [each for each in play(scene) if each == "there"] == ["there"]


def test_much_work_in_one_step_makes_what_is_more_wait_for_turns() -> None:
    async def scene(pace: Pace, loop: SteppedLoop, done: list[str]) -> None:
        for _ in range(3):
            pace.note(1000.0)
        assert not pace.spent
        pace.note(2000.0)
        assert pace.spent
        await turns(2)
        assert not pace.spent

    play(scene)
