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
from freight.flow.budget import FAR_SECONDS, FAST_WINDOW, LEAST_MEMORY, WINDOW_MIN, Budget
from freight.flow.costs import CONNECTION_COST, MULTIPLEX_COST, STREAM_COST, WAITING_COST
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
        self.room = 1 << 30  # at its client
        self.round_trip, self.takes = 0.0, 0  # of its path, in seconds and bytes
        self.running = self.waiting = self.express = self.produced = False

    def held(self) -> int:
        return self.bytes

    def path(self) -> tuple[float, int, int]:
        return self.round_trip, self.takes, self.room


def run_one(budget: Budget, takes: int = 0) -> Any:
    """One more connection that runs, as far as there is room for it; ``takes``: of its path, which is then far."""
    assert budget.can_open() and budget.can_run()
    queue: Any = Queue()
    budget.opened()
    budget.promise(queue)
    if takes:
        queue.round_trip, queue.takes = 0.1, takes
    return queue


def fill(budget: Budget, queue: Any) -> int:
    """Hand over all that a window has room for; the window."""
    window = budget.window(queue, queue.bytes)
    queue.account.room -= max(0, window - queue.bytes)
    queue.bytes = max(queue.bytes, window)
    budget.note(queue, queue.bytes)
    return window


ROUND_TRIPS = st.sampled_from([0.0, FAR_SECONDS / 2, FAR_SECONDS, 0.1])
TAKES = st.sampled_from([0, WINDOW_MIN, FAST_WINDOW + 1, 1 << 20, LARGEST, 1 << 30])


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

    @rule(count=st.sampled_from([1, 8, 16, 400]), round_trip=ROUND_TRIPS, takes=TAKES)
    def connect(self, count: int, round_trip: float, takes: int) -> None:
        for _ in range(count):
            if self.budget.can_open():
                self.budget.opened()
                self.queues.append(Queue())
                self.queues[-1].round_trip, self.queues[-1].takes = round_trip, takes

    @rule(data=st.data(), round_trip=ROUND_TRIPS, takes=TAKES, room=st.sampled_from([0, 10_000, 250_000, 1 << 20]))
    def another_path(self, data: st.DataObject, round_trip: float, takes: int, room: int) -> None:
        """A path becomes longer or shorter, and takes more or less; so does its client."""
        queue = self.one(data)
        if queue is not None:
            queue.round_trip, queue.takes, queue.room = round_trip, takes, room

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

    def hand_over(self, queue: Queue, part: float) -> None:
        """As a pump does it."""
        account = queue.account
        whole = account.room >= FAST_WINDOW == account.base + account.over
        window = FAST_WINDOW if whole else self.budget.window(queue, queue.bytes)
        far = queue.round_trip >= FAR_SECONDS and account.room < FAST_WINDOW
        assert window <= (min(LARGEST, self.budget.memory_bytes // 2) if far else FAST_WINDOW)
        given = int(max(0, window - queue.bytes) * part)
        queue.bytes += given
        account.room -= given
        if not whole:
            self.budget.note(queue, window if window == FAST_WINDOW and self.budget.ample else queue.bytes)
        self.nothing_is_beyond_the_memory()

    @rule(data=st.data(), part=st.sampled_from([1.0, 0.5, 0.0]))
    def send(self, data: st.DataObject, part: float) -> None:
        queue = self.one(data, running=True)
        if queue is not None:
            self.hand_over(queue, part)

    @rule(part=st.sampled_from([1.0, 0.5]))
    def send_all(self, part: float) -> None:
        for queue in self.queues:
            if queue.running:
                self.hand_over(queue, part)

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

    @rule(count=st.sampled_from([1, 4, 512]))
    def reclaim(self, count: int) -> None:
        self.budget.reclaim(count)

    @rule(beyond=st.sampled_from([0, 100_000, 2_000_000]))
    def grow(self, beyond: int) -> None:
        """The process has grown by more than its connections cost."""
        self.budget.grown(len(self.queues) * CONNECTION_COST + beyond)

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
        assert (budget.lent, len(budget._borrowers)) == (0, 0)
        self.shrunk = False

    @precondition(lambda self: not self.shrunk and any(each.running for each in self.queues))
    @rule(data=st.data())
    def when_all_loans_are_back_whoever_runs_has_its_least_window(self, data: st.DataObject) -> None:
        queue = self.one(data, running=True)
        assert queue is not None
        for each in self.queues:
            each.bytes = 0
        self.budget.reclaim(len(self.queues))
        # A process that costs more than its connections do may leave less.
        assert self.budget.window(queue, 0) >= WINDOW_MIN or self.budget.slack_bytes > 0

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
    def the_books_are_what_a_recount_finds(self) -> None:
        budget, accounts = self.budget, [each.account for each in self.queues]
        assert budget.connections == len(self.queues)
        assert budget.running == sum(each.running for each in self.queues)
        assert budget.waiting == sum(each.waiting for each in self.queues)
        assert budget.producers == sum(each.produced for each in self.queues)
        assert budget.lent == sum(each.over for each in accounts)
        assert set(budget._borrowers) == {each for each in accounts if each.over}
        assert all(each.account.base + each.account.over >= each.bytes for each in self.queues)
        assert all(each.account.base == WINDOW_MIN * each.running for each in self.queues)


TestLending = Lending.TestCase
TestLending.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_a_window_of_the_largest_size_is_not_given_while_those_who_ended_still_hold_theirs() -> None:
    """What runs would fit, were it alone."""
    budget = Budget(64 << 20, LARGEST)
    tails = [run_one(budget, LARGEST) for _ in range(10)]
    for queue in tails:
        assert fill(budget, queue) == LARGEST
        budget.withdraw(queue)
    fresh = [run_one(budget, LARGEST) for _ in range(10)]
    for queue in fresh:
        fill(budget, queue)
    assert sum(queue.bytes for queue in tails + fresh) + 20 * CONNECTION_COST <= budget.memory_bytes
    for queue in tails:
        queue.bytes = 0
    assert fill(budget, fresh[0]) == LARGEST


@settings(deadline=None, max_examples=50)
@given(st.integers(20_000_000, 1 << 32), st.integers(1, 500), st.sampled_from([0, 1 << 20, 1 << 30]))
def test_those_who_all_drain_what_they_have_get_windows_alike_that_fit(memory: int, running: int, takes: int) -> None:
    budget = Budget(memory, LARGEST)
    queues = [run_one(budget, takes) for _ in range(running)]
    windows = []
    for queue in queues * 2:
        queue.bytes = 0
        windows.append(fill(budget, queue))
    assert len(set(windows[running:])) == 1 or max(queue.bytes for queue in queues) <= FAST_WINDOW
    assert sum(queue.bytes + CONNECTION_COST for queue in queues) <= memory


def test_one_that_came_when_there_was_room_has_less_when_it_asks_again_in_a_crowd() -> None:
    budget = Budget(64 << 20, LARGEST)
    first = run_one(budget, LARGEST)
    assert fill(budget, first) == LARGEST
    for _ in range(99):
        run_one(budget)
    assert FAST_WINDOW < budget.window(first, first.bytes) < LARGEST  # no more is handed over
    first.bytes = 0
    assert FAST_WINDOW < fill(budget, first) < LARGEST


@pytest.mark.parametrize("memory", [20_000_000, 64 << 20, 4 << 30])
@pytest.mark.parametrize(
    ("round_trip", "takes", "window"),
    [
        (0.0, LARGEST, FAST_WINDOW),
        (FAR_SECONDS * 0.99, LARGEST, FAST_WINDOW),
        (FAR_SECONDS, 10_000, FAST_WINDOW),
        (FAR_SECONDS, 1_000_000, 1_000_000),
        (0.3, LARGEST, LARGEST),
        (0.3, 1 << 30, LARGEST),
    ],
)
def test_alone_a_client_has_what_is_fastest_when_it_is_near_and_what_its_path_takes_when_it_is_far(
    memory: int, round_trip: float, takes: int, window: int
) -> None:
    """However much memory there is: a small budget is no reason for a slow download while nobody else is there."""
    budget = Budget(memory, LARGEST)
    queue = run_one(budget)
    queue.round_trip, queue.takes = round_trip, takes
    assert fill(budget, queue) == window


def test_one_alone_may_have_half_of_a_small_memory() -> None:
    """So that another that comes finds room at once."""
    budget = Budget(4_000_000, LARGEST)
    assert fill(budget, run_one(budget, LARGEST)) == 2_000_000
    assert fill(budget, run_one(budget)) == FAST_WINDOW


@pytest.mark.parametrize("count", [5, 20, 60])
def test_far_ones_have_equal_shares_of_nearly_all_the_memory(count: int) -> None:
    """Nothing is kept for clients that are not there."""
    budget = Budget(20_000_000, LARGEST)
    queues = [run_one(budget, LARGEST) for _ in range(count)]
    windows = {fill(budget, queue) for queue in queues}
    assert len(windows) == 1
    assert sum(queue.bytes for queue in queues) >= 0.8 * 20_000_000


def test_a_path_that_has_become_shorter_or_slower_is_followed_at_once() -> None:
    budget = Budget(64 << 20, LARGEST)
    queue = run_one(budget, LARGEST)
    assert fill(budget, queue) == LARGEST
    queue.takes = 1_000_000
    assert budget.window(queue, queue.bytes) == 1_000_000
    queue.round_trip = 0.0
    assert budget.window(queue, queue.bytes) == FAST_WINDOW


@settings(deadline=None)
@given(st.floats(FAR_SECONDS, 1.0), st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_a_window_of_a_far_one_doubles_at_most_in_a_round_trip(round_trip: float, taken: list[float]) -> None:
    """A congestion window grows by what has been acknowledged: at most to twice as much as was under way."""
    budget = Budget(64 << 20, LARGEST)
    queue = run_one(budget)
    queue.round_trip, queue.takes = round_trip, 2 * 15_000
    window = FAST_WINDOW
    for part in taken:
        assert budget.window(queue, queue.bytes) <= 2 * window
        window = fill(budget, queue)
        queue.takes = max(queue.takes, 2 * queue.bytes)
        queue.bytes = int(queue.bytes * (1 - part))


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from([(0.0, 0), (0.1, 1 << 20), (0.1, 1 << 30)]),
    st.integers(0, 2 << 20),
    st.lists(st.integers(0, 1 << 20), max_size=20),
)
def test_a_client_that_stalls_keeps_its_least_window(path: tuple[float, int], room: int, reads: list[int]) -> None:
    """Near or far: what was lent leaves the kernel, as its client had said that it has room for it.

    ``room``: the client's receive buffer; it reads so much each time, and in the end nothing any more.
    """
    budget = Budget(64 << 20, LARGEST)
    queue = run_one(budget)
    queue.round_trip, queue.takes = path
    queue.room = room
    for read in (*reads, 0, 0, 0):
        for _ in range(3):
            fill(budget, queue)
            left = min(queue.bytes, queue.room)  # the kernel sends on what its client takes
            queue.bytes, queue.room = queue.bytes - left, queue.room - left
            budget.note(queue, queue.bytes)
        queue.room = min(room, queue.room + read)
    assert queue.bytes <= WINDOW_MIN
    assert budget.lent == 0


def test_twenty_megabytes_carry_five_hundred_that_all_stand_still() -> None:
    budget = Budget(20_000_000, LARGEST)
    assert budget.slots >= 500
    queues = [run_one(budget) for _ in range(500)]
    for queue in queues:
        fill(budget, queue)
    assert sum(queue.bytes + CONNECTION_COST for queue in queues) <= 20_000_000
    for queue in queues:
        queue.bytes = 0
        budget.note(queue, 0)
    for queue in queues:  # some of them stall with what was lent
        assert fill(budget, queue) >= WINDOW_MIN


def test_who_asks_is_let_in_though_all_loans_are_out() -> None:
    """All slots are taken, and all that may be lent is with clients that stand still."""
    budget = Budget(20_000_000, LARGEST)
    queues = [run_one(budget) for _ in range(500)]
    for queue in queues:
        fill(budget, queue)
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
    assert [fill(budget, queue) >= WINDOW_MIN for queue in (download, listing, small)] == [True] * 3


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
    assert less.listing_entries <= more.listing_entries <= 4096


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
        fill(budget, queue)
    queues[0].bytes, queues[1].bytes = 0, 1 << 14
    budget.reclaim(1)
    assert [queue.account.over > 0 for queue in queues] == [False, True, True]
    budget.reclaim(2)
    assert [queue.account.over > 0 for queue in queues] == [False, False, True]
    budget.reclaim(10)
    assert list(budget._borrowers) == [queues[2].account]


@pytest.mark.parametrize("beyond", [0, 200_000, 400_000, 1_200_000])
def test_where_the_process_costs_more_than_is_reckoned_so_much_less_is_handed_over(beyond: int) -> None:
    budget = Budget(20_000_000, LARGEST)
    queues = [run_one(budget) for _ in range(budget.slots)]
    process = budget.connections * CONNECTION_COST + beyond
    budget.grown(process)
    for queue in queues:
        queue.room = 0  # so that each has its own window only
        assert 0 < fill(budget, queue) <= WINDOW_MIN
    assert process + sum(queue.bytes for queue in queues) + budget._kept <= 20_000_000


@pytest.mark.parametrize(
    ("room", "window"),
    [(1 << 30, FAST_WINDOW), (150_000, WINDOW_MIN + 150_000 - 65_536), (50_000, WINDOW_MIN), (0, WINDOW_MIN)],
)
def test_a_near_client_is_lent_what_it_has_room_for(room: int, window: int) -> None:
    """That leaves the kernel, though nobody reads it there: who stalls has nothing lent."""
    queue = run_one(budget := Budget(20_000_000, LARGEST))
    queue.room = room
    assert budget.window(queue, 1024) == window


def test_a_smaller_memory_takes_back_the_whole_windows_that_were_lent_of_the_larger() -> None:
    """They are lent though they are empty, and a transfer that has one does not ask."""
    budget = Budget(64 << 20, LARGEST)
    queues = [run_one(budget) for _ in range(100)]
    for queue in queues:
        budget.window(queue, 0)
        budget.note(queue, FAST_WINDOW)
    assert budget.lent == 100 * (FAST_WINDOW - WINDOW_MIN)
    budget.resize(4_000_000)
    assert (budget.lent, {queue.account.over for queue in queues}) == (0, {0})


def test_the_room_of_a_client_is_asked_again_only_when_it_may_be_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    budget, asked = Budget(64 << 20, LARGEST), []
    queue = run_one(budget)
    queue.room = 5 * FAST_WINDOW + 65_536
    path = queue.path
    monkeypatch.setattr(queue, "path", lambda: asked.append(queue.account.room) or path())
    for _ in range(5):
        assert fill(budget, queue) == FAST_WINDOW
        queue.bytes = 0
    assert asked == [0]
    queue.room = 150_000
    assert fill(budget, queue) == WINDOW_MIN + 150_000 - 65_536
    assert asked == [0, 0]


@pytest.mark.parametrize("memory", [20_000_000, 64 << 20])
def test_one_large_call_is_kept_for_near_ones_whatever_far_ones_have(memory: int) -> None:
    """Their bytes come back at once, and large calls are twice as fast as small ones."""
    budget = Budget(memory, LARGEST)
    near, *far = [run_one(budget, LARGEST * (at > 0)) for at in range(50)]
    for queue in far:
        fill(budget, queue)
    assert fill(budget, near) == FAST_WINDOW


@pytest.mark.parametrize("memory", [LEAST_MEMORY, 2 << 20, 20_000_000, 64 << 20])
def test_clients_that_stall_one_after_another_leave_room_for_all_slots(memory: int) -> None:
    """Each with all that it is lent before the next one comes: that leaves the kernel."""
    budget = Budget(memory, LARGEST)
    while budget.running < budget.slots and budget.can_open() and budget.can_run():
        queue = run_one(budget)
        fill(budget, queue)
        queue.bytes = min(queue.bytes, WINDOW_MIN)
    assert budget.running >= min(500, budget.slots)


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
    # What the process has grown by is spent until it is known to have gone back. Two slots are less than a 64th.
    assert budget.room() < 1 or memory == LEAST_MEMORY
    budget.grown(0)
    assert budget.room() == 1.0


def test_what_is_lent_takes_room_only_where_it_is_known_not_to_move() -> None:
    budget = Budget(20_000_000, LARGEST)
    queues = [run_one(budget, 1 << 20) for _ in range(50)]
    before = budget.room()
    for queue in queues:
        fill(budget, queue)
    assert budget.room() == before
    budget.stuck = budget.lent // 2
    part = budget.stuck / (budget.slots * (WINDOW_MIN + CONNECTION_COST))
    assert budget.room() == pytest.approx(before - part, abs=0.02)
    assert part > 0.2


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
        fill(budget, stream)
    assert budget.lent == streams[0].account.over
    for stream in streams:
        budget.withdraw(stream)
    assert streams[0].account.base == 0 and budget.lent == max(stream.bytes for stream in streams)
    budget.shared(-1, -3)
    budget.forget(streams[1])
    budget.grown(0)
    assert (budget.lent, budget.spent_bytes()) == (0, before)


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
