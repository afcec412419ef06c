"""Whose turn it is: everyone's who is ready, one after another."""

# ruff: noqa: ASYNC110 - the conditions are other tasks' doing, and each look is one turn of the loop
from __future__ import annotations

import asyncio
import select
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from stepped import SteppedLoop

from freight.flow.rounds import FAILED, GONE, Rounds

Run = Callable[[Callable[[], Any]], None]


class Waiter:
    """Waits for one end of a socket pair, which can always take bytes."""

    def __init__(self, rounds: Rounds, call: Callable[[Waiter, int], None]) -> None:
        self.own, self.peer = socket.socketpair()
        self.rounds = rounds
        self.call = call
        self.fd = self.own.fileno()
        rounds.watch(self.fd, self)

    def ready(self, events: int) -> None:
        self.call(self, events)

    def end(self, error: Exception | None) -> None:
        self.rounds.forget(self.fd)
        self.own.close()
        self.peer.close()


@pytest.fixture
def ended() -> Iterator[ExitStack]:
    """Closes what enters it."""
    with ExitStack() as stack:
        yield stack


def crowd(rounds: Rounds, ended: ExitStack, count: int, call: Callable[[Waiter, int], None]) -> list[Waiter]:
    ended.callback(rounds.close)
    waiters = [Waiter(rounds, call) for _ in range(count)]
    for waiter in waiters:
        ended.callback(lambda waiter=waiter: waiter.own.fileno() >= 0 and waiter.end(None))
    return waiters


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("seconds", [0.0, 0.002, 0.01])
@pytest.mark.parametrize("count", [2, 7, 8, 9, 16, 50])
def test_all_who_are_ready_are_served_alike_however_long_each_takes(
    run: Run, ended: ExitStack, monkeypatch: pytest.MonkeyPatch, count: int, seconds: float
) -> None:
    """Round robin, also where a turn is over before all that were reported have been served."""
    clock = [0.0]
    monkeypatch.setattr("freight.flow.rounds.monotonic", lambda: clock[0])
    served: Counter[int] = Counter()

    def serve(waiter: Waiter, events: int) -> None:
        served[waiter.fd] += 1
        clock[0] += seconds

    async def main() -> None:
        waiters = crowd(Rounds(asyncio.get_running_loop()), ended, count, serve)
        while served.total() < 20 * count:
            await asyncio.sleep(0)
        counts = [served[waiter.fd] for waiter in waiters]
        assert max(counts) - min(counts) <= 1
        ended.close()

    run(main)


def test_the_loop_gets_its_turn_between_two_of_ours(run: Run, ended: ExitStack) -> None:
    """A turn of the loop serves a bounded number, however many are ready; a new request waits no longer than that."""
    served: list[int] = []

    async def main() -> None:
        crowd(Rounds(asyncio.get_running_loop()), ended, 200, lambda waiter, _: served.append(waiter.fd))
        await turns(1)
        for _ in range(20):
            before = len(served)
            await turns(1)
            assert len(served) - before <= 32
        ended.close()

    run(main)


@pytest.mark.parametrize(("busy", "calls"), [(0.0, 1), (0.0015, 7), (0.003, 15), (0.05, 20)])
def test_one_that_is_ready_again_has_a_whole_and_longer_turn_where_the_loop_is_busy(
    run: Run, ended: ExitStack, monkeypatch: pytest.MonkeyPatch, busy: float, calls: int
) -> None:
    """A call takes 0.2 ms, and every step of the loop as long as it is ``busy``: a turn comes after two of them."""
    clock = [0.0]
    monkeypatch.setattr("freight.flow.rounds.monotonic", lambda: clock[0])
    in_turns: list[int] = []

    async def main() -> None:
        def serve(waiter: Waiter, events: int) -> None:
            in_turns[-1] += 1
            clock[0] += 0.0002

        crowd(Rounds(asyncio.get_running_loop()), ended, 1, serve)
        in_turns.append(0)
        while len(in_turns) < 400:
            await turns(1)
            clock[0] += busy
            if in_turns[-1]:
                in_turns.append(0)
        ended.close()

    run(main)
    assert in_turns[-2] == pytest.approx(calls, abs=1)


def test_who_pauses_is_not_called_until_it_resumes(run: Run, ended: ExitStack) -> None:
    served: list[int] = []

    async def main() -> None:
        rounds = Rounds(asyncio.get_running_loop())
        (waiter,) = crowd(rounds, ended, 1, lambda waiter, _: served.append(waiter.fd))
        rounds.pause(waiter.fd)
        await turns(10)
        assert served == []
        rounds.resume(waiter.fd)
        while not served:
            await asyncio.sleep(0)
        ended.close()

    run(main)


def test_a_failure_is_told_even_in_a_pause(run: Run, ended: ExitStack) -> None:
    told: list[int] = []

    def call(waiter: Waiter, events: int) -> None:
        told.append(events)
        waiter.end(None)

    async def main() -> None:
        rounds = Rounds(asyncio.get_running_loop())
        (waiter,) = crowd(rounds, ended, 1, call)
        rounds.pause(waiter.fd)
        waiter.peer.close()
        while not told:
            await asyncio.sleep(0)
        assert told[0] & FAILED
        assert len(rounds) == 0
        ended.close()

    run(main)


def test_who_was_ended_by_another_in_the_same_turn_is_not_called(run: Run, ended: ExitStack) -> None:
    called: list[int] = []

    async def main() -> None:
        def call(waiter: Waiter, events: int) -> None:
            called.append(waiter.fd)
            for other in waiters:
                if other is not waiter and other.own.fileno() >= 0:
                    other.end(None)

        waiters = crowd(Rounds(asyncio.get_running_loop()), ended, 5, call)
        while len(called) < 20:
            await asyncio.sleep(0)
        assert len(set(called)) == 1
        ended.close()

    run(main)


def test_a_socket_that_is_full_is_not_ready_and_becomes_so_when_it_is_read(run: Run, ended: ExitStack) -> None:
    served: list[int] = []

    def fill(waiter: Waiter, events: int) -> None:
        assert events == select.EPOLLOUT
        served.append(waiter.fd)
        waiter.own.setblocking(False)
        try:
            while True:
                waiter.own.send(bytes(65536))
        except BlockingIOError:
            pass

    async def main() -> None:
        (waiter,) = crowd(Rounds(asyncio.get_running_loop()), ended, 1, fill)
        while not served:
            await asyncio.sleep(0)
        await turns(20)
        assert len(served) == 1
        waiter.peer.setblocking(False)
        try:
            while waiter.peer.recv(1 << 20):
                pass
        except BlockingIOError:
            pass
        while len(served) < 2:
            await asyncio.sleep(0)
        ended.close()

    run(main)


def test_who_rests_is_called_again_when_its_time_is_over_and_not_before(run: Run, ended: ExitStack) -> None:
    served: list[int] = []

    async def main() -> None:
        loop: Any = SteppedLoop()
        rounds = Rounds(loop)
        waiters = crowd(rounds, ended, 3, lambda waiter, _: served.append(waiter.fd))
        for waiter, seconds in zip(waiters, [3.0, 1.0, 2.0], strict=True):
            rounds.rest(waiter.fd, seconds)
        for step, woken in [(0.9, set()), (0.2, {1}), (1.0, {1, 2}), (1.0, {0, 1, 2})]:
            loop.put_forward(step)
            served.clear()
            await turns(20)
            assert set(served) == {waiters[each].fd for each in woken}
        assert loop.timers == []
        ended.close()

    run(main)


def test_a_failure_is_told_even_while_one_rests(run: Run, ended: ExitStack) -> None:
    told: list[int] = []

    def call(waiter: Waiter, events: int) -> None:
        told.append(events)
        waiter.end(None)

    async def main() -> None:
        loop: Any = SteppedLoop()
        rounds = Rounds(loop)
        (waiter,) = crowd(rounds, ended, 1, call)
        rounds.rest(waiter.fd, 1.0)
        waiter.peer.close()
        while not told:
            await asyncio.sleep(0)
        assert told[0] & FAILED
        loop.put_forward(2.0)  # its time comes, and nobody is there
        ended.close()

    run(main)


def test_who_comes_with_the_descriptor_of_one_that_rested_is_not_woken_by_its_timer(run: Run, ended: ExitStack) -> None:
    served: list[int] = []

    class Late:
        def ready(self, events: int) -> None:
            served.append(events)

    async def main() -> None:
        loop: Any = SteppedLoop()
        rounds = Rounds(loop)
        (waiter,) = crowd(rounds, ended, 1, lambda waiter, _: None)
        rounds.rest(waiter.fd, 1.0)
        rounds.forget(waiter.fd)
        rounds.watch(waiter.fd, Late())
        rounds.pause(waiter.fd)
        loop.put_forward(2.0)
        await turns(20)
        assert served == []
        rounds.resume(waiter.fd)
        await turns(20)
        assert served
        ended.close()

    run(main)


def test_who_watches_for_the_peers_end_is_told_of_nothing_else(run: Run, ended: ExitStack) -> None:
    told: list[int] = []

    async def main() -> None:
        rounds = Rounds(asyncio.get_running_loop())
        (waiter,) = crowd(rounds, ended, 1, lambda _, events: told.append(events))
        rounds.forget(waiter.fd)
        rounds.watch(waiter.fd, waiter, GONE)
        waiter.peer.send(b"more of what was asked")
        await turns(20)
        assert told == []
        waiter.peer.shutdown(socket.SHUT_WR)
        while not told:
            await asyncio.sleep(0)
        assert told[0] & GONE
        ended.close()

    run(main)


class Shared:
    """Watches parts of a socket: what it was told to."""

    def __init__(self) -> None:
        self.watched: dict[int, int] = {}

    def register(self, fd: int, eventmask: int) -> None:
        self.watched[fd] = eventmask

    modify = register

    def unregister(self, fd: int) -> None:
        del self.watched[fd]


class Part:
    """Waits for a part of a socket."""

    def __init__(self) -> None:
        self.events: list[int] = []

    def ready(self, events: int) -> None:
        self.events.append(events)


def test_a_part_of_a_socket_is_waited_for_as_a_socket_is(run: Run) -> None:
    async def main() -> None:
        rounds, shared, part = Rounds(asyncio.get_running_loop()), Shared(), Part()
        one, other = rounds.share(shared), rounds.share(shared)
        assert one != other and max(one, other) < -1  # no descriptor, nor what a closed socket has
        rounds.watch(one, part)
        assert shared.watched == {one: select.EPOLLOUT} and list(rounds) == [part]
        rounds.rest(one, 0.01)
        assert shared.watched == {one: 0}
        while not shared.watched[one]:
            await asyncio.sleep(0)
        rounds.tell(one, FAILED)
        rounds.tell(other, FAILED)  # nobody waits for it
        assert part.events == [FAILED]
        rounds.forget(one)
        rounds.unshare(one)
        assert not shared.watched and not list(rounds)
        rounds.close()

    run(main)
