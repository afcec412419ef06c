"""Which client's work is done next, on a loop whose clock the test sets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from freight.server.turns import TurnScheduler
from freight.wire.accounting import (
    MAX_DEBT,
    MAX_PAUSE_FACTOR,
    QUANTUM,
    QUANTUM_IN_DEBT,
    ClientAccount,
    ConnectionAccount,
)
from support.stepped_loop import SteppedLoop, run_steps

Scene = Callable[[TurnScheduler, SteppedLoop, list[str]], Awaitable[None]]


def play(scene: Scene) -> list[str]:
    """Return what was done, in order."""
    done: list[str] = []

    async def run() -> None:
        loop = SteppedLoop()
        await scene(TurnScheduler(loop), loop, done)  # type: ignore[arg-type]

    asyncio.run(asyncio.wait_for(run(), 20))
    return done


def in_debt() -> ClientAccount:
    account = ClientAccount()
    account.charge(MAX_DEBT)
    return account


def worker(
    pace: TurnScheduler, name: str, done: list[str], charges: ConnectionAccount, quanta: int = 3
) -> asyncio.Task[None]:
    """Play a connection that has ``quanta`` of work done."""

    async def work() -> None:
        for _ in range(quanta):
            await pace.wait_turn(charges)
            charges.charge(charges.quantum_left)
            done.append(name)

    return asyncio.get_running_loop().create_task(work())


async def accept(pace: TurnScheduler, account: ClientAccount) -> None:
    """Play a client that connects: wait for the turn in which its connection begins."""
    called = asyncio.get_running_loop().create_future()
    pace.call_on_turn(account, lambda: called.set_result(None) or True)
    await called


async def ask_in_two_parts(pace: TurnScheduler, account: ClientAccount) -> None:
    """Play a client that connects again and again, each time for expensive work in two parts."""
    while True:
        await accept(pace, account)
        charges = ConnectionAccount(account)
        for cost in (700.0, 2000.0):
            await pace.wait_turn(charges, cost)
            charges.charge(cost)
            account.charge(cost)  # more than time pays


def test_turns_are_given_round_robin_by_client_however_many_connections_a_client_has() -> None:
    async def scene(pace: TurnScheduler, loop: SteppedLoop, done: list[str]) -> None:
        greedy = ClientAccount()
        for _ in range(20):
            worker(pace, "greedy", done, ConnectionAccount(greedy))
        worker(pace, "one", done, ConnectionAccount())
        await run_steps(200)

    assert play(scene)[:7].count("one") == 3


def test_there_is_one_turn_in_each_step_of_the_loop() -> None:
    async def scene(pace: TurnScheduler, loop: SteppedLoop, done: list[str]) -> None:
        for _ in range(5):
            worker(pace, "", done, ConnectionAccount(), quanta=50)
        await run_steps(3)
        for _ in range(50):
            before = len(done)
            await asyncio.sleep(0)
            assert len(done) - before <= 1

    assert len(play(scene)) > 20


def test_a_client_in_debt_pauses_for_several_times_its_work_and_others_do_not_wait_for_that() -> None:
    async def scene(pace: TurnScheduler, loop: SteppedLoop, done: list[str]) -> None:
        account = in_debt()
        for _ in range(10):
            worker(pace, "in debt", done, ConnectionAccount(account), quanta=1000)
        worker(pace, "honest", done, ConnectionAccount(), quanta=100)
        await run_steps(300)
        assert done.count("honest") == 100 and done.count("in debt") == 1
        for _ in range(1000):
            loop.advance(0.001)
            account.charge(1000.0)  # more than time pays
            await run_steps(5)

    seconds = play(scene).count("in debt") * QUANTUM_IN_DEBT / 1e6
    assert 0.8 / (1 + MAX_PAUSE_FACTOR) < seconds <= 1.05 / MAX_PAUSE_FACTOR


def test_of_a_clients_connections_the_one_that_owes_least_goes_first() -> None:
    async def scene(pace: TurnScheduler, loop: SteppedLoop, done: list[str]) -> None:
        account = in_debt()
        for number in range(10):
            charges = ConnectionAccount(account)
            charges.charge(10_000.0 * (10 - number))
            worker(pace, "harmful", done, charges)
        await run_steps()
        worker(pace, "honest", done, ConnectionAccount(account), quanta=1)
        await run_steps()
        for _ in range(20):
            loop.advance(0.01)
            await run_steps()

    assert play(scene)[:3].index("honest") <= 2


def test_no_connection_waits_for_ever_for_those_that_owe_less() -> None:
    async def scene(pace: TurnScheduler, loop: SteppedLoop, done: list[str]) -> None:
        account = in_debt()
        charges = ConnectionAccount(account)
        charges.charge(50_000.0)
        worker(pace, "old", done, charges, quanta=1)
        for _ in range(2000):
            worker(pace, "new", done, ConnectionAccount(account), quanta=1)
            loop.advance(0.01)
            await run_steps(3)

    assert "old" in play(scene)


def test_a_connection_that_owes_nothing_goes_before_a_hundred_that_have_waited_and_owe_a_little() -> None:
    """So it is when a flood has just begun: what its first connections owe is a few milliseconds each."""

    async def scene(pace: TurnScheduler, loop: SteppedLoop, done: list[str]) -> None:
        account = in_debt()
        for _ in range(100):
            charges = ConnectionAccount(account)
            charges.charge(3_000.0)
            worker(pace, "flood", done, charges, quanta=1)
        for _ in range(150):  # the pause for what they have had done is a second
            loop.advance(0.01)
            await run_steps(3)
        assert 20 < len(done) < 80
        worker(pace, "honest", done, ConnectionAccount(account), quanta=1)
        for _ in range(4):
            loop.advance(0.01)
            await run_steps(3)
        assert "honest" in done

    play(scene)


def test_a_kept_connection_that_owes_a_little_goes_before_new_connections_that_come_without_end() -> None:
    async def scene(pace: TurnScheduler, loop: SteppedLoop, done: list[str]) -> None:
        account = in_debt()

        def start() -> bool:
            done.append("new")
            pace.call_on_turn(account, start)
            return True

        pace.call_on_turn(account, start)
        charges = ConnectionAccount(account)
        charges.owed = 400.0
        worker(pace, "kept", done, charges, quanta=1)
        for _ in range(4):
            loop.advance(0.01)
            await run_steps(3)

    assert "kept" in play(scene)[:2]


def test_expensive_heads_of_connections_that_come_again_do_not_keep_newcomers_waiting() -> None:
    """Ten connections each ask for 2,700 microseconds in two parts, are ended, and come again.

    Their second part waits for more than 0.2 seconds, and must not be as old as it is expensive by then.
    """
    waits: list[float] = []

    async def scene(pace: TurnScheduler, loop: SteppedLoop, done: list[str]) -> None:
        account = in_debt()

        async def ask() -> None:
            began = loop.time()
            await accept(pace, account)
            waits.append(loop.time() - began)

        now = asyncio.get_running_loop()
        tasks = [now.create_task(ask_in_two_parts(pace, account)) for _ in range(10)]
        for step in range(3000):
            if step % 10 == 0:
                tasks.append(now.create_task(ask()))
            loop.advance(0.001)
            await run_steps(10)
        for task in tasks:
            task.cancel()

    play(scene)
    assert len(waits) > 280
    assert sorted(waits)[len(waits) * 99 // 100] < 0.05


def test_work_beyond_a_turn_makes_the_pause_longer() -> None:
    async def scene(pace: TurnScheduler, loop: SteppedLoop, done: list[str]) -> None:
        account = in_debt()
        charges = ConnectionAccount(account)
        await pace.wait_turn(charges)
        charges.charge(charges.quantum_left + 1000.0)
        waits = asyncio.get_running_loop().create_task(pace.wait_turn(charges))
        await run_steps()
        rest = (QUANTUM_IN_DEBT + 1000.0) * MAX_PAUSE_FACTOR / 1e6
        loop.advance(0.9 * rest)
        await run_steps()
        assert not waits.done()
        loop.advance(0.2 * rest)
        await run_steps()
        assert waits.done()

    play(scene)


@pytest.mark.parametrize("debt", [False, True])
def test_a_turn_lets_a_known_cost_be_done_at_once(debt: bool) -> None:
    async def scene(pace: TurnScheduler, loop: SteppedLoop, done: list[str]) -> None:
        charges = ConnectionAccount(in_debt() if debt else ClientAccount())
        await pace.wait_turn(charges, 5000.0)
        assert charges.quantum_left == 5000.0
        await asyncio.wait_for(pace.wait_turn(charges), 5) if not debt else None
        assert debt or charges.quantum_left == QUANTUM

    play(scene)


def test_a_client_that_has_left_uses_no_turn() -> None:
    async def scene(pace: TurnScheduler, loop: SteppedLoop, done: list[str]) -> None:
        account = in_debt()
        left = [ConnectionAccount(account) for _ in range(50)]
        waits = [asyncio.get_running_loop().create_task(pace.wait_turn(charges, gone=lambda: True)) for charges in left]
        await run_steps()
        worker(pace, "there", done, ConnectionAccount(account), quanta=1)
        await run_steps(50)
        assert all(each.done() for each in waits)

    assert play(scene) == ["there"]


def test_a_cancelled_wait_leaves_its_place() -> None:
    async def scene(pace: TurnScheduler, loop: SteppedLoop, done: list[str]) -> None:
        account = in_debt()
        waits = [worker(pace, "cancelled", done, ConnectionAccount(account)) for _ in range(50)]
        await run_steps(2)
        for each in waits:
            each.cancel()
        worker(pace, "there", done, ConnectionAccount(account), quanta=1)
        await run_steps(60)
        for _ in range(10):
            loop.advance(0.01)
            await run_steps(60)
        assert not len(pace)

    assert [each for each in play(scene) if each == "there"] == ["there"]


def test_much_work_in_one_step_makes_more_work_wait_for_turns() -> None:
    async def scene(pace: TurnScheduler, loop: SteppedLoop, done: list[str]) -> None:
        for _ in range(3):
            pace.record(1000.0)
        assert not pace.step_exhausted
        pace.record(2000.0)
        assert pace.step_exhausted
        await run_steps(2)
        assert not pace.step_exhausted

    play(scene)
