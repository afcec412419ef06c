"""Checks of passwords: work is counted, never timed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from freight.access import passwords
from freight.access.passwords import QUEUE, THREADS, PasswordChecks
from freight.threads import OutOfThreads

STORED = b"hash of right"


class Library:
    """A fake of the library: counts checks, and holds them while it is closed."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.calls: list[tuple[bytes, bytes]] = []
        self.running = self.most_running = 0
        self.gate = threading.Event()
        self._lock = threading.Lock()
        if is_open:
            self.gate.set()

    def verify(self, password: bytes, stored: bytes) -> bool:
        with self._lock:
            self.calls.append((password, stored))
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        assert self.gate.wait(30)
        with self._lock:
            self.running -= 1
        return stored == b"hash of " + password


def run(library: Library, scenario: Callable[[PasswordChecks], Coroutine[Any, Any, None]]) -> None:
    async def inside() -> None:
        try:
            async with asyncio.timeout(30):
                await scenario(PasswordChecks(library.verify))
        finally:
            library.gate.set()

    asyncio.run(inside())


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens in a thread. The scenario has a time limit."""
    while True:
        if condition():
            return
        await asyncio.sleep(0.001)


async def check(
    checks: PasswordChecks, client: str, user: str, password: bytes, *, decoy: bool = False, stored: bytes = STORED
) -> bool | None:
    return await checks.check(client, checks.digest(user, password, stored), password, stored, decoy=decoy)


def test_a_right_password_is_remembered_and_a_wrong_one_is_not() -> None:
    async def scenario(checks: PasswordChecks) -> None:
        assert await check(checks, "a", "alice", b"right") is True
        assert await check(checks, "a", "alice", b"wrong") is False
        assert checks.is_known(checks.digest("alice", b"right", STORED))
        assert not checks.is_known(checks.digest("alice", b"wrong", STORED))
        assert not checks.is_known(checks.digest("bob", b"right", STORED))
        assert not checks.is_known(checks.digest("alice", b"right", b"another hash"))
        checks.forget()
        assert not checks.is_known(checks.digest("alice", b"right", STORED))

    run(Library(), scenario)


def test_an_unknown_user_costs_the_same_work_and_is_never_right() -> None:
    library = Library()

    async def scenario(checks: PasswordChecks) -> None:
        assert await check(checks, "a", "nobody", b"right", decoy=True) is False
        assert await check(checks, "a", "nobody", b"right", decoy=True) is False
        assert not checks.is_known(checks.digest("nobody", b"right", STORED))
        assert library.calls == [(b"right", STORED)] * 2

    run(library, scenario)


def test_one_password_in_many_requests_at_once_is_checked_once() -> None:
    library = Library()

    async def scenario(checks: PasswordChecks) -> None:
        assert await asyncio.gather(*(check(checks, "a", "alice", b"right") for _ in range(50))) == [True] * 50
        assert len(library.calls) == 1

    run(library, scenario)


def test_few_checks_run_at_once_some_wait_and_no_more() -> None:
    library = Library(is_open=False)

    async def scenario(checks: PasswordChecks) -> None:
        tasks = [asyncio.create_task(check(checks, "a", "alice", b"%d" % n)) for n in range(THREADS + QUEUE)]
        await until(lambda: len(checks) == QUEUE and library.running == THREADS)
        assert await check(checks, "b", "alice", b"right") is None
        library.gate.set()
        assert await asyncio.gather(*tasks) == [False] * len(tasks)
        assert await check(checks, "b", "alice", b"right") is True
        assert library.most_running == THREADS

    run(library, scenario)


def test_waiting_checks_are_done_for_each_client_in_turn() -> None:
    library = Library(is_open=False)

    async def scenario(checks: PasswordChecks) -> None:
        tasks = [asyncio.create_task(check(checks, "flood", "alice", b"f%d" % n)) for n in range(THREADS + 10)]
        await until(lambda: len(checks) == 10 and library.running == THREADS)
        tasks.append(asyncio.create_task(check(checks, "person", "alice", b"right")))
        await until(lambda: len(checks) == 11)
        library.gate.set()
        await asyncio.gather(*tasks)
        order = [password for password, _ in library.calls]
        assert order.index(b"right") <= THREADS + 1 + THREADS

    run(library, scenario)


def test_a_request_that_ends_while_its_password_is_checked_leaves_nothing() -> None:
    library = Library(is_open=False)

    async def scenario(checks: PasswordChecks) -> None:
        task = asyncio.create_task(check(checks, "a", "alice", b"right"))
        await until(lambda: library.running == 1)
        task.cancel()
        await asyncio.wait([task])
        digest = checks.digest("alice", b"right", STORED)
        assert checks.is_pending("a", digest)
        library.gate.set()
        await until(lambda: not checks.is_pending("a", digest))
        assert checks.is_known(digest)  # the work was done

    run(library, scenario)


def test_a_bounded_number_of_passwords_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "REMEMBERED", 2)

    async def scenario(checks: PasswordChecks) -> None:
        digests = []
        for number in range(3):
            stored = b"hash of p%d" % number
            assert await check(checks, "a", "alice", b"p%d" % number, stored=stored)
            digests.append(checks.digest("alice", b"p%d" % number, stored))
        assert [checks.is_known(digest) for digest in digests] == [False, True, True]

    run(Library(), scenario)


def test_a_library_that_refuses_a_hash_and_a_system_without_threads_let_nobody_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(password: bytes, stored: bytes) -> bool:
        raise ValueError("Invalid salt")

    def no_thread(run: object, name: str) -> None:
        raise OutOfThreads

    async def scenario() -> None:
        checks = PasswordChecks(refuse)
        assert await check(checks, "a", "alice", b"right") is False
        monkeypatch.setattr(passwords, "start_daemon", no_thread)
        assert await check(checks, "a", "alice", b"right") is None
        assert not checks.is_pending("a", checks.digest("alice", b"right", STORED))

    asyncio.run(scenario())


def test_what_is_remembered_cannot_be_searched_without_the_key_of_the_process() -> None:
    one, other = PasswordChecks(), PasswordChecks()
    assert one.digest("alice", b"right", STORED) != other.digest("alice", b"right", STORED)
    assert one.digest("a", b"bc", STORED) != one.digest("ab", b"c", STORED)
