"""The budget's law: the kernel never holds more than there is, however clients come, drain, stand still and go."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from freight.account import Account
from freight.errors import Unservable
from freight.flow.budget import (
    CONNECTION_COST,
    FAST_WINDOW,
    FIRST_WINDOW,
    FLOAT_SHARE,
    LEAST_MEMORY,
    LISTING_ENTRIES,
    LOAN_CALLS,
    MULTIPLEX_COST,
    ONCE_BYTES,
    SLOW_SHARE,
    STREAM_COST,
    TRUSTED_BYTES,
    WAITING_COST,
    WINDOW_MIN,
    Budget,
)
from freight.quantities import format_size

LARGEST = 4 << 20
MEMORIES = st.sampled_from([LEAST_MEMORY, 1_000_000, 2 << 20, 20_000_000, 64 << 20, 256 << 20]) | st.integers(
    LEAST_MEMORY, 300 << 20
)


class Queue:
    """A connection's send queue: what the kernel holds of it, and what the connection is about."""

    def __init__(self) -> None:
        self.account = Account()
        self.bytes = 0
        self.moved = 0
        self.room = 1 << 30  # at its client
        self.running = self.waiting = self.express = self.produced = False

    def held(self) -> int:
        return self.bytes

    def offered(self) -> int:
        return self.room


def run_one(budget: Budget) -> Any:
    """One more connection that runs, as far as there is room for it."""
    assert budget.can_open() and budget.can_run()
    queue: Any = Queue()
    budget.opened()
    budget.promise(queue)
    return queue


def fill(budget: Budget, queue: Any, moved: int = TRUSTED_BYTES) -> int:
    """Hand over all that a window has room for; the window. No bound: as much as a queue may grow to."""
    window = budget.window(queue, queue.bytes, moved, queue.bytes == 0)
    queue.bytes = max(queue.bytes, window or LARGEST)
    budget.note(queue, queue.bytes)
    return window


class Lending(RuleBasedStateMachine):
    """Clients connect, wait, run, take, stand still and go, in any order; every step asks before it adds."""

    def __init__(self) -> None:
        super().__init__()
        self.queues: list[Queue] = []

    @initialize(memory=MEMORIES)
    def begin(self, memory: int) -> None:
        self.budget: Any = Budget(memory, LARGEST)
        self.allowed = memory  # after a resize what is there may stay, but nothing may come
        self.shrunk = False  # by a resize, to less than was promised

    def one(self, data: st.DataObject, **about: bool) -> Queue | None:
        """Any of those of whom all this is true."""
        found = [each for each in self.queues if all(getattr(each, name) is value for name, value in about.items())]
        return data.draw(st.sampled_from(found)) if found else None

    @rule(count=st.sampled_from([1, 8, 16, 400]))
    def connect(self, count: int) -> None:
        for _ in range(count):
            if self.budget.can_open():
                self.budget.opened()
                self.queues.append(Queue())

    @rule(data=st.data(), count=st.sampled_from([1, 20]))
    def wait(self, data: st.DataObject, count: int) -> None:
        for _ in range(count):
            queue = self.one(data, running=False, waiting=False)
            if queue is not None:
                self.budget.queued()
                queue.waiting = True

    def admit(self, queue: Queue, express: bool, produced: bool) -> None:
        kept = express and sum(each.express for each in self.queues) < self.budget.express_slots
        if self.budget.can_run(express=kept, produced=produced):
            if queue.waiting:
                self.budget.queued(-1)
            self.budget.promise(queue, express=express, produced=produced)
            queue.waiting, queue.running, queue.express, queue.produced = False, True, express, produced
            queue.moved = 0

    @rule(data=st.data(), express=st.booleans(), produced=st.booleans())
    def run(self, data: st.DataObject, express: bool, produced: bool) -> None:
        queue = self.one(data, running=False)
        if queue is not None:
            self.admit(queue, express, produced)

    @rule()
    def run_all(self) -> None:
        for queue in self.queues:
            if not queue.running:
                self.admit(queue, express=False, produced=False)

    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        """The kernel has all of it, or it failed: what is queued stays."""
        queue = self.one(data, running=True)
        if queue is not None:
            self.withdraw(queue)

    def withdraw(self, queue: Queue) -> None:
        self.allowed += WAITING_COST if self.shrunk else 0  # it costs as one that may wait again
        self.budget.withdraw(queue, express=queue.express, produced=queue.produced)
        queue.running = queue.express = queue.produced = False

    @rule()
    def end_all(self) -> None:
        for queue in self.queues:
            if queue.running:
                self.withdraw(queue)

    def hand_over(self, queue: Queue, room: float) -> None:
        account = queue.account
        lent = account.calls > 0
        if lent:
            account.calls -= 1
            window = account.pinned
        else:
            window = self.budget.window(queue, queue.bytes, queue.moved, queue.bytes == 0)
            lent = account.calls > 0
        if not window:
            running = sum(each.running for each in self.queues)
            assert LARGEST * running <= self.budget.memory_bytes
        given = (
            int(max(0, (window or LARGEST) - queue.bytes) * room) if window != 1 else 0
        )  # 1 is nothing: 0 is no bound
        queue.bytes += given
        queue.moved += given
        if not lent:
            self.budget.note(queue, queue.bytes)
        self.nothing_is_beyond_the_memory()

    @rule(data=st.data(), room=st.sampled_from([1.0, 0.5, 0.0]), trusted=st.booleans())
    def send(self, data: st.DataObject, room: float, trusted: bool) -> None:
        queue = self.one(data, running=True)
        if queue is not None:
            queue.moved += TRUSTED_BYTES * trusted
            self.hand_over(queue, room)

    @rule(room=st.sampled_from([1.0, 0.5]), trusted=st.booleans())
    def send_all(self, room: float, trusted: bool) -> None:
        for queue in self.queues:
            if queue.running:
                queue.moved += TRUSTED_BYTES * trusted
                self.hand_over(queue, room)

    @rule(data=st.data(), left=st.sampled_from([0.0, 0.3, 0.9]))
    def drain(self, data: st.DataObject, left: float) -> None:
        """A client takes some of it. Nobody is told."""
        queue = self.one(data)
        if queue is not None:
            queue.bytes = int(queue.bytes * left)

    @rule(left=st.sampled_from([0.0, 0.5]))
    def drain_all(self, left: float) -> None:
        for queue in self.queues:
            queue.bytes = int(queue.bytes * left)

    @rule(count=st.sampled_from([1, 4, 512]), standing=st.booleans(), called_in=st.booleans())
    def reclaim(self, count: int, standing: bool, called_in: bool) -> None:
        if standing:  # whoever does not move has not for a while
            for queue in self.queues:
                queue.account.still_since = min(queue.account.still_since, 1e-9)
        self.budget.reclaim(count, called_in=called_in)

    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        queue = self.one(data)
        if queue is not None:
            self.leave(queue)

    def leave(self, queue: Queue) -> None:
        if queue.running:
            self.withdraw(queue)
        if queue.waiting:
            self.budget.queued(-1)
        self.queues.remove(queue)
        self.budget.forget(queue)
        self.budget.opened(-1)

    @precondition(lambda self: not any(each.produced for each in self.queues))
    @rule(memory=MEMORIES)
    def resize(self, memory: int) -> None:
        self.budget.resize(memory)
        self.allowed = max(memory, self.total())
        self.shrunk = True

    @rule()
    def everyone_goes(self) -> None:
        for queue in list(self.queues):
            self.leave(queue)
        budget = self.budget
        assert (budget.connections, budget.running, budget.waiting, budget.producers) == (0, 0, 0, 0)
        assert (budget.pinned, budget.lent, len(budget._borrowers), len(budget._standing)) == (0, 0, 0, 0)
        self.shrunk = False

    @precondition(lambda self: not self.shrunk and any(each.running for each in self.queues))
    @rule(data=st.data())
    def when_all_loans_are_back_whoever_runs_has_its_least_window(self, data: st.DataObject) -> None:
        queue = self.one(data, running=True)
        assert queue is not None
        for each in self.queues:
            each.bytes = 0
        self.budget.reclaim(len(self.queues), called_in=True)
        window = self.budget.window(queue, 0, queue.moved, data.draw(st.booleans()))
        assert not window or window >= WINDOW_MIN

    def total(self) -> int:
        """All that is really there at this moment."""
        return (
            sum(each.bytes for each in self.queues)
            + len(self.queues) * CONNECTION_COST
            + sum(not each.running for each in self.queues) * WAITING_COST
            + sum(each.produced for each in self.queues) * self.budget.producer_cost
        )

    @invariant()
    def nothing_is_beyond_the_memory(self) -> None:
        total = self.total()
        assert total <= self.allowed
        self.allowed = max(self.budget.memory_bytes, total)

    @invariant()
    def who_has_calls_has_a_loan_that_is_noted(self) -> None:
        for each in self.queues:
            assert not each.account.calls or each.account.pinned == FAST_WINDOW

    @invariant()
    def the_books_are_what_a_recount_finds(self) -> None:
        budget, accounts = self.budget, [each.account for each in self.queues]
        assert budget.connections == len(self.queues)
        assert budget.running == sum(each.running for each in self.queues)
        assert budget.waiting == sum(each.waiting for each in self.queues)
        assert budget.producers == sum(each.produced for each in self.queues)
        assert budget.pinned == sum(each.pinned for each in accounts)
        assert budget.lent == sum(max(0, each.pinned - each.base) for each in accounts)
        assert budget.ventured == sum(each.over for each in accounts if not each.proven)
        loans = {each for each in accounts if each.pinned > each.base}
        assert set(budget._borrowers) | set(budget._standing) == loans
        assert set(budget._standing) == {each for each in accounts if each.standing}
        assert budget.stuck == sum(each.account.over for each in self.queues if each.account.standing)
        assert all(each.account.pinned >= each.bytes for each in self.queues)
        assert all(each.account.base == WINDOW_MIN * each.running for each in self.queues)


TestLending = Lending.TestCase
TestLending.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_a_queue_without_bound_is_not_given_while_those_who_ended_still_hold_theirs() -> None:
    """What runs would fit, were it alone."""
    budget = Budget(64 << 20, LARGEST)
    tails = [run_one(budget) for _ in range(10)]
    for queue in tails:
        assert fill(budget, queue) == 0
        budget.withdraw(queue)
    fresh = [run_one(budget) for _ in range(10)]
    for queue in fresh:
        fill(budget, queue)
    assert sum(queue.bytes for queue in tails + fresh) + 20 * CONNECTION_COST <= budget.memory_bytes
    for queue in tails:
        queue.bytes = 0
    assert fill(budget, fresh[0]) == 0


@settings(deadline=None, max_examples=50)
@given(st.integers(20_000_000, 1 << 32), st.integers(1, 500))
def test_those_who_all_drain_what_they_have_get_windows_alike_that_fit(memory: int, running: int) -> None:
    budget = Budget(memory, LARGEST)
    queues = [run_one(budget) for _ in range(running)]
    windows = []
    for queue in queues * 2:
        queue.bytes = 0
        windows.append(fill(budget, queue))
    assert len(set(windows[running:])) == 1 or max(queue.bytes for queue in queues) <= 200 << 10
    assert sum(queue.bytes + CONNECTION_COST for queue in queues) <= memory


def test_one_that_came_when_there_was_room_has_less_when_it_asks_again_in_a_crowd() -> None:
    budget = Budget(64 << 20, LARGEST)
    first = run_one(budget)
    assert fill(budget, first) == 0
    for _ in range(99):
        run_one(budget)
    first.bytes = 0
    assert 0 < fill(budget, first) < LARGEST


def test_with_room_for_the_kernels_own_there_is_no_bound() -> None:
    budget = Budget(4 << 30, LARGEST)
    assert fill(budget, run_one(budget)) == 0


@pytest.mark.parametrize(("moved", "most"), [(0, FIRST_WINDOW), (TRUSTED_BYTES - 1, FIRST_WINDOW), (TRUSTED_BYTES, 0)])
def test_who_has_not_come_far_has_the_first_window_however_much_there_is(moved: int, most: int) -> None:
    budget = Budget(4 << 30, LARGEST)
    assert budget.window(run_one(budget), 0, moved, True) == most


def test_twenty_megabytes_carry_five_hundred_that_all_stand_still() -> None:
    budget = Budget(20_000_000, LARGEST)
    assert budget.slots >= 500
    queues = [run_one(budget) for _ in range(500)]
    for queue in queues:
        fill(budget, queue, moved=0)
    assert sum(queue.bytes + CONNECTION_COST for queue in queues) <= 20_000_000
    for queue in queues:
        queue.bytes = 0
        budget.note(queue, 0)
    for queue in queues:  # some of them stand still with what was lent although it was promised
        assert fill(budget, queue, moved=0) >= WINDOW_MIN
        queue.bytes -= WINDOW_MIN // 16  # of a window so much is room for the kernel's bookkeeping
        budget.note(queue, queue.bytes)


def test_who_asks_is_let_in_though_all_loans_are_out() -> None:
    """All slots are taken, and all that may be lent is with clients that stand still."""
    budget = Budget(20_000_000, LARGEST)
    queues = [run_one(budget) for _ in range(500)]
    for queue in queues:
        fill(budget, queue)
        queue.bytes -= WINDOW_MIN // 16
        budget.note(queue, queue.bytes)
    for _ in range(50):
        assert budget.can_open()
        budget.opened()
    assert budget.can_run(express=True)


def test_the_least_memory_carries_a_download_a_listing_and_a_small_answer_beside_some_who_ask() -> None:
    budget = Budget(LEAST_MEMORY, LARGEST)
    assert (budget.slots >= 1, budget.express_slots >= 1) == (True, True)
    budget.opened(4)
    download, listing, small = (Queue() for _ in range(3))
    assert budget.can_run()
    budget.promise(download)
    assert budget.can_run(express=True, produced=True)
    budget.promise(listing, express=True, produced=True)
    assert budget.can_run(express=True)
    budget.promise(small, express=True)
    assert [fill(budget, queue, moved=0) >= WINDOW_MIN for queue in (download, listing, small)] == [True] * 3


@pytest.mark.parametrize("memory", [LEAST_MEMORY - 1, 1, 0, -1])
def test_less_than_the_least_memory_is_unservable_and_the_line_names_the_least(memory: int) -> None:
    least = format_size(LEAST_MEMORY)
    with pytest.raises(Unservable, match=f"the least is {least}$"):
        Budget(memory, LARGEST)
    budget = Budget(LEAST_MEMORY, LARGEST)
    before = (budget.memory_bytes, budget.slots, budget.express_slots, budget.producer_cost)
    with pytest.raises(Unservable, match=f"the least is {least}$"):
        budget.resize(memory)
    assert (budget.memory_bytes, budget.slots, budget.express_slots, budget.producer_cost) == before


@given(MEMORIES, MEMORIES)
def test_more_memory_is_never_worth_less(one: int, other: int) -> None:
    less, more = (Budget(memory, LARGEST) for memory in sorted([one, other]))
    assert less.slots <= more.slots
    assert less.express_slots <= more.express_slots
    assert less.listing_entries <= more.listing_entries <= LISTING_ENTRIES


@pytest.mark.parametrize("memory", [LEAST_MEMORY, 2 << 20, 20_000_000, 64 << 20, 1 << 30])
def test_producers_take_a_quarter_of_the_memory_at_most_and_one_may_always_be_had(memory: int) -> None:
    budget = Budget(memory, LARGEST)
    assert budget.can_run(express=True, produced=True)
    while budget.can_run(express=True, produced=True):
        budget.promise(Queue(), express=True, produced=True)
    assert budget.producers == 1 or budget.producers * budget.producer_cost <= memory // 4
    assert budget.can_run(express=True)


def test_reclaiming_looks_at_the_longest_known_first_and_keeps_who_still_holds() -> None:
    budget = Budget(64 << 20, LARGEST)
    queues = [run_one(budget) for _ in range(3)]
    for queue in queues:
        fill(budget, queue, moved=0)
    queues[0].bytes, queues[1].bytes = 0, 1 << 14
    budget.reclaim(1)
    assert [queue.account.over > 0 for queue in queues] == [False, True, True]
    budget.reclaim(2)
    assert [queue.account.over > 0 for queue in queues] == [False, False, True]
    budget.reclaim(10)
    assert list(budget._borrowers) == [queues[2].account]


def test_loans_that_do_not_move_for_a_while_are_looked_at_when_no_others_are_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1.0
    monkeypatch.setattr("freight.flow.ledger.monotonic", lambda: now)
    budget = Budget(64 << 20, LARGEST)
    still, *others = (run_one(budget) for _ in range(4))
    fill(budget, still, moved=0)
    budget.reclaim(1)
    assert budget.stuck == 0
    now += 0.06
    budget.reclaim(1)
    assert budget.stuck == budget.lent == still.account.over > 0
    for queue in others:
        fill(budget, queue, moved=0)
        queue.bytes = 0
    budget.reclaim(3)
    assert [queue.account.over for queue in others] == [0, 0, 0]
    still.bytes = 0
    budget.reclaim(1)
    assert still.account.over == 0


def test_a_loan_is_worth_waiting_for_while_those_that_are_about_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not where there is room, where memory is too little for any, or where those who have them stand still."""
    now = 1.0
    monkeypatch.setattr("freight.flow.ledger.monotonic", lambda: now)
    many = Budget(4 << 30, LARGEST).whole_loans()
    assert Budget(LEAST_MEMORY, LARGEST).whole_loans() == many
    budget = Budget(20_000_000, LARGEST)
    queues = [run_one(budget) for _ in range(500)]
    counts = []
    for queue in queues:
        counts.append(budget.whole_loans())
        fill(budget, queue)
    assert 3 <= counts[0] < 20
    assert counts[: counts[0]] == list(range(counts[0], 0, -1))
    assert budget.whole_loans() == 0
    now += 1
    budget.reclaim(50)
    now += 1
    budget.reclaim(50)
    assert budget.whole_loans() == many
    for queue in queues:
        queue.bytes = 0
        budget.note(queue, 0)
    assert budget.whole_loans() == counts[0]


def lend_one(budget: Budget, quick: bool = True) -> Any:
    """One more that runs and asks for its window, as it has drained all it had; ``quick``: at once."""
    queue = run_one(budget)
    budget.window(queue, 0, TRUSTED_BYTES, quick)
    return queue


def test_who_drains_a_whole_window_at_once_has_it_for_several_calls() -> None:
    budget = Budget(20_000_000, LARGEST)
    queues = [lend_one(budget) for _ in range(20)]
    lent = [queue for queue in queues if queue.account.calls]
    assert 3 <= len(lent) < 20
    assert {queue.account.calls for queue in lent} == {LOAN_CALLS}
    assert {queue.account.pinned for queue in lent} == {FAST_WINDOW}  # known before the first byte is handed over
    budget.note(lent[0], FAST_WINDOW)
    assert lent[0].account.calls == 0  # what is known by counting is no loan for several calls


@pytest.mark.parametrize(
    ("memory", "moved", "quick"),
    [(64 << 20, TRUSTED_BYTES, False), (64 << 20, TRUSTED_BYTES - 1, True), (4 << 30, TRUSTED_BYTES, True)],
    ids=["slow", "a newcomer", "there is room for queues without bound"],
)
def test_all_others_are_counted_at_each_call(memory: int, moved: int, quick: bool) -> None:
    budget = Budget(memory, LARGEST)
    queues = [run_one(budget) for _ in range(400)]
    budget.window(queues[0], 0, moved, quick)
    assert (queues[0].account.calls, budget.pinned) == (0, 0)


def test_a_loan_for_several_calls_is_kept_while_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its queue is empty between two of them; others that look for memory leave it, unless all is called in."""
    now = 1.0
    monkeypatch.setattr("freight.flow.ledger.monotonic", lambda: now)
    budget = Budget(20_000_000, LARGEST)
    busy, still, other = (lend_one(budget) for _ in range(3))
    for _ in range(3):
        budget.reclaim(3)
        now += 0.04
        busy.account.calls -= 1
        other.account.calls -= 1
    assert (busy.account.pinned, still.account.pinned) == (FAST_WINDOW, 0)  # 80 ms without a call
    other.bytes = FAST_WINDOW // 2
    budget.reclaim(3, called_in=True)
    assert (busy.account.pinned, other.account.pinned) == (0, FAST_WINDOW // 2)
    assert (busy.account.calls, other.account.calls) == (0, 0)


def test_a_loan_for_several_calls_that_is_full_and_does_not_move_is_one_that_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1.0
    monkeypatch.setattr("freight.flow.ledger.monotonic", lambda: now)
    budget = Budget(20_000_000, LARGEST)
    queue = lend_one(budget)
    queue.bytes = FAST_WINDOW
    for _ in range(3):
        budget.reclaim(1)
        now += 0.06
    assert (queue.account.calls, budget.stuck) == (0, FAST_WINDOW - WINDOW_MIN)
    queue.bytes = 0
    budget.reclaim(1)
    assert (budget.stuck, budget.pinned) == (0, 0)


@pytest.mark.parametrize("beyond", [0, 200_000, 400_000, 1_200_000])
def test_where_the_process_costs_more_than_is_reckoned_so_much_less_is_lent(beyond: int) -> None:
    """What is lent ends with clients that stand still; windows that nothing is left for would wait for ever."""
    budget = Budget(20_000_000, LARGEST)
    queues = [run_one(budget) for _ in range(budget.slots)]
    room = budget._for_windows
    budget.grown(budget.connections * CONNECTION_COST + ONCE_BYTES + beyond)
    short = max(0, budget.running * WINDOW_MIN - budget._for_windows)
    assert room - budget._for_windows == pytest.approx(beyond, abs=WAITING_COST)  # the last has waited
    for queue in queues:
        budget.window(queue, 0, TRUSTED_BYTES, True)
    assert budget.lent <= max(0, budget.memory_bytes // FLOAT_SHARE - short)
    assert bool(budget.lent) is (beyond < 1_000_000)


@pytest.mark.parametrize(
    ("room", "window"),
    [(1 << 30, FIRST_WINDOW), (64_000, 65_024), (WINDOW_MIN, WINDOW_MIN + 1024), (10_000, WINDOW_MIN), (0, WINDOW_MIN)],
)
def test_a_newcomer_is_lent_what_its_client_has_room_for(room: int, window: int) -> None:
    """That leaves the kernel, though nobody reads it there: who stands still from the start has nothing lent."""
    budget = Budget(20_000_000, LARGEST)
    queue = run_one(budget)
    queue.room = room
    assert budget.window(queue, 1024, 0, True) == window


def test_newcomers_have_a_part_of_what_may_be_lent_and_leave_the_rest_to_who_has_proven_to_drain() -> None:
    """Those who stand still from the start hold that part for ever, and no more."""
    budget = Budget(20_000_000, LARGEST)
    newcomers = [run_one(budget) for _ in range(50)]
    windows = [fill(budget, queue, moved=0) for queue in newcomers]
    few = windows.index(WINDOW_MIN)
    assert windows == [FIRST_WINDOW] * few + [WINDOW_MIN] * (50 - few)
    assert 1 <= few <= 4
    assert budget.whole_loans() >= 3
    queue = newcomers[0]
    queue.bytes = 0
    fill(budget, queue)
    queue.bytes = 0
    budget.note(queue, 0)
    assert [fill(budget, run_one(budget), moved=0) for _ in range(2)] == [FIRST_WINDOW, WINDOW_MIN]


@pytest.mark.parametrize("lent_to_others", [0, 100])
def test_a_newcomer_has_its_first_window_however_much_others_have_who_drain(lent_to_others: int) -> None:
    budget = Budget(64 << 20, LARGEST)
    for _ in range(lent_to_others):
        lend_one(budget)
    assert fill(budget, run_one(budget), moved=0) == FIRST_WINDOW


def test_loans_for_several_calls_leave_memory_to_who_is_slow() -> None:
    budget = Budget(64 << 20, LARGEST)
    queues = [run_one(budget) for _ in range(400)]
    while budget.whole_loans():
        budget.window(queues.pop(), 0, TRUSTED_BYTES, True)
    slow = 0
    while fill(budget, queues[slow]) == FAST_WINDOW:
        slow += 1
    assert slow * (FAST_WINDOW - WINDOW_MIN) == pytest.approx(budget._pool / SLOW_SHARE, rel=0.1)


@pytest.mark.parametrize("memory", [LEAST_MEMORY, 1 << 20, 20_000_000, 64 << 20])
def test_room_is_all_at_first_falls_with_each_that_runs_and_is_none_when_all_slots_are_taken(memory: int) -> None:
    budget = Budget(memory, LARGEST)
    rooms, queues = [budget.room()], []
    while len(queues) < budget.slots:
        queues.append(run_one(budget))
        rooms.append(budget.room())
    assert (rooms[0], rooms[-1]) == (1.0, 0.0)
    assert all(after < before for before, after in itertools.pairwise(rooms))
    for queue in queues:
        budget.withdraw(queue)
        budget.opened(-1)
    assert budget.room() < 1  # what the process has grown by is spent until it is known to have gone back
    budget.grown(0)
    assert budget.room() == 1.0


def test_what_is_lent_takes_room_only_from_the_moment_that_it_does_not_move(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1.0
    monkeypatch.setattr("freight.flow.ledger.monotonic", lambda: now)
    budget = Budget(20_000_000, LARGEST)
    queues = [run_one(budget) for _ in range(50)]
    before = budget.room()
    for queue in queues:
        fill(budget, queue)
    assert budget.room() == before
    for _ in range(2):
        budget.reclaim(50)
        now += 0.06
    assert budget.stuck > 0
    part = budget.stuck / budget.memory_bytes
    assert budget.room() == pytest.approx(before - part, abs=0.02)
    assert part > 0.04


def test_small_answers_in_their_own_slots_take_little_of_the_room() -> None:
    """Their windows are kept for them; a connection more is all that they are."""
    budget = Budget(20_000_000, LARGEST)
    queue: Any = Queue()
    budget.opened()
    budget.promise(queue, express=True)
    assert budget.room() > 0.999


def test_streams_of_a_connection_have_a_window_each_and_one_account() -> None:
    """What the kernel holds is of their one socket: whichever of them runs last, the books are right."""
    budget = Budget(64 << 20, LARGEST)
    budget.opened()
    before = budget.spent_bytes()
    budget.shared(1, 3)
    assert budget.spent_bytes() - before >= MULTIPLEX_COST + 3 * STREAM_COST
    streams = [Queue() for _ in range(3)]
    for stream in streams:
        stream.account = streams[0].account
        budget.promise(stream)
    assert streams[0].account.base == 3 * WINDOW_MIN and budget.running == 3
    for stream in streams:
        fill(budget, stream, moved=1 << 30)
    assert budget.pinned == streams[0].account.pinned and budget.lent == streams[0].account.over
    for stream in streams:
        budget.withdraw(stream)
    assert streams[0].account.base == 0 and budget.lent == budget.pinned
    budget.shared(-1, -3)
    budget.forget(streams[1])
    budget.grown(0)
    assert (budget.lent, budget.pinned, budget.spent_bytes()) == (0, 0, before)


def test_there_is_an_end_of_streams_where_there_is_one_of_memory() -> None:
    budget = Budget(2 << 20, LARGEST)
    budget.opened()
    budget.shared(1)
    count = 0
    while budget.can_share(stream=True):
        budget.shared(0, 1)
        count += 1
        assert count < 1000
    assert not budget.can_share(stream=False)
    assert budget.spent_bytes() <= budget.memory_bytes


def test_a_window_that_was_promised_is_found_where_others_have_less_than_is_known() -> None:
    """The process costs more than is reckoned, so not every promise can be kept; but what has gone is looked for."""
    budget: Any = Budget(20_000_000, LARGEST)
    queues = []
    while budget.running < budget.slots:
        queues.append(run_one(budget))
        fill(budget, queues[-1], moved=0)
    last = queues.pop()
    last.bytes = 0
    budget.note(last, 0)
    budget.grown(budget.connections * CONNECTION_COST + 2_000_000)
    assert budget.tight and budget.window(last, 0, TRUSTED_BYTES, False) < WINDOW_MIN
    for queue in queues:
        queue.bytes //= 2
        budget.look(queue)
    assert not budget.tight and budget.window(last, 0, TRUSTED_BYTES, False) >= WINDOW_MIN


def test_reclaiming_looks_at_each_loan_once_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that move first, and then those that stand still."""
    now, looked = 1.0, []
    monkeypatch.setattr("freight.flow.ledger.monotonic", lambda: now)
    budget = Budget(64 << 20, LARGEST)
    queues = [run_one(budget) for _ in range(6)]
    for queue in queues[:3]:
        fill(budget, queue, moved=0)
    budget.reclaim(3)
    now += 0.06
    budget.reclaim(3)
    for queue in queues[3:]:
        fill(budget, queue, moved=0)
    assert [queue.account.standing for queue in queues] == [True] * 3 + [False] * 3
    monkeypatch.setattr(Queue, "held", lambda queue: looked.append(queue) or queue.bytes)
    budget.reclaim(512)
    assert looked == queues[3:] + queues[:3]


def test_a_crowd_that_asks_in_vain_has_loans_looked_at_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look is a system call for each of hundreds of loans, and who is refused may ask again at once."""
    now = 1.0
    monkeypatch.setattr("freight.flow.budget.monotonic", lambda: now)
    budget = Budget(64 << 20, LARGEST)
    queues = [run_one(budget) for _ in range(100)]
    for queue in queues:
        fill(budget, queue)
    while budget.can_run():
        queues.append(run_one(budget))
    now += 1
    looks = 0

    def held(queue: Queue) -> int:
        nonlocal looks
        looks += 1
        return queue.bytes

    monkeypatch.setattr(Queue, "held", held)
    for _ in range(1000):
        assert not budget.can_run()
    assert 0 < looks <= len(queues)
    for queue in queues:
        queue.bytes = 0
    now += 1
    assert budget.can_run()


def test_loans_are_not_looked_at_where_all_of_them_would_not_be_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget(20_000_000, LARGEST)
    queue = run_one(budget)
    fill(budget, queue)
    while budget.can_run():
        run_one(budget)
    monkeypatch.setattr(Queue, "held", lambda queue: pytest.fail("it was looked at"))
    assert not budget.can_run()
