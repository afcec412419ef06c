"""The budget's invariant: the memory is never exceeded, however clients connect, drain, stall and leave."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from freight.errors import ConfigurationError
from freight.flow.transfers import MOST_AT_ONCE, SMALL_BYTES, cost_at_once
from freight.memory.budget import LONG_PATH_SECONDS, Budget, Lane
from freight.memory.costs import CONNECTION_COST, FAST_WINDOW, HTTP2_COST, STREAM_COST, WAITING_COST, WINDOW_MIN
from freight.memory.division import LEAST_MEMORY, RESERVE_DIVISOR, divide
from freight.protocols import SendAccount
from freight.units import format_size

LARGEST = 4 << 20
MEMORIES = st.sampled_from([LEAST_MEMORY, 1_000_000, 2 << 20, 20_000_000, 64 << 20, 256 << 20]) | st.integers(
    LEAST_MEMORY, 300 << 20
)


class Queue:
    """A connection's send queue: the bytes that the kernel holds, its path, and the state of the connection."""

    def __init__(self) -> None:
        self.account = SendAccount()
        self.bytes = 0
        self.peer_window = 1 << 30
        self.round_trip, self.in_flight = 0.0, 28 << 10  # seconds; twice the congestion window, in bytes: 0 is no TCP
        self.running = self.waiting = False
        self.lane = Lane.ORDINARY

    def queued_bytes(self) -> int:
        return self.bytes

    def path_info(self) -> tuple[float, int, int]:
        return self.round_trip, self.in_flight, self.peer_window


def run_one(budget: Budget, in_flight: int = 0) -> Any:
    """Open a connection and run a transfer; on a long path if ``in_flight`` is given."""
    assert budget.can_open() and budget.can_run()
    queue: Any = Queue()
    budget.connection_opened()
    budget.reserve(queue)
    if in_flight:
        queue.round_trip, queue.in_flight = 0.1, in_flight
    return queue


def fill(budget: Budget, queue: Any) -> int:
    """Send all that the window allows. Return the window."""
    window = budget.window(queue, queue.bytes)
    queue.account.peer_window -= max(0, window - queue.bytes)
    queue.bytes = max(queue.bytes, window)
    budget.record(queue, queue.bytes)
    return window


ROUND_TRIPS = st.sampled_from([0.0, LONG_PATH_SECONDS / 2, LONG_PATH_SECONDS, 0.1])
IN_FLIGHT = st.sampled_from([0, WINDOW_MIN, FAST_WINDOW + 1, 1 << 20, LARGEST, 1 << 30])


class BudgetMachine(RuleBasedStateMachine):
    """Clients connect, queue, run, read, stall and leave in any order. Each step asks the budget before it adds."""

    def __init__(self) -> None:
        super().__init__()
        self.queues: list[Queue] = []

    @initialize(memory=MEMORIES)
    def begin(self, memory: int) -> None:
        self.budget: Any = Budget(memory, LARGEST)
        self.allowed = memory  # after a resize what is there may stay, but nothing may be added
        self.shrunk = False  # by a resize, to less than is reserved

    def one(self, data: st.DataObject, **about: bool) -> Queue | None:
        """Return any queue with these attributes."""
        found = [each for each in self.queues if all(getattr(each, name) is value for name, value in about.items())]
        return data.draw(st.sampled_from(found)) if found else None

    @rule(count=st.sampled_from([1, 8, 16, 400]), round_trip=ROUND_TRIPS, in_flight=IN_FLIGHT)
    def connect(self, count: int, round_trip: float, in_flight: int) -> None:
        for _ in range(count):
            if self.budget.can_open():
                self.budget.connection_opened()
                self.queues.append(Queue())
                self.queues[-1].round_trip, self.queues[-1].in_flight = round_trip, in_flight

    @rule(
        data=st.data(),
        round_trip=ROUND_TRIPS,
        in_flight=IN_FLIGHT,
        peer_window=st.sampled_from([0, 10_000, 250_000, 1 << 20]),
    )
    def change_path(self, data: st.DataObject, round_trip: float, in_flight: int, peer_window: int) -> None:
        """A path and a receive window become longer or shorter."""
        queue = self.one(data)
        if queue is not None:
            queue.round_trip, queue.in_flight, queue.peer_window = round_trip, in_flight, peer_window

    @rule(data=st.data(), count=st.sampled_from([1, 20]))
    def wait(self, data: st.DataObject, count: int) -> None:
        for _ in range(count):
            queue = self.one(data, running=False, waiting=False)
            if queue is not None:
                self.budget.request_queued()
                queue.waiting = True

    def admit(self, queue: Queue, lane: Lane) -> None:
        if self.budget.can_run(lane):
            if queue.waiting:
                self.budget.request_queued(-1)
            self.budget.reserve(queue, lane)
            queue.waiting, queue.running, queue.lane = False, True, lane

    @rule(data=st.data(), lane=st.sampled_from(Lane))
    def run(self, data: st.DataObject, lane: Lane) -> None:
        queue = self.one(data, running=False)
        if queue is not None:
            self.admit(queue, lane)

    @rule()
    def run_all(self) -> None:
        for queue in self.queues:
            if not queue.running:
                self.admit(queue, Lane.ORDINARY)

    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        """A transfer ends. What is queued stays."""
        queue = self.one(data, running=True)
        if queue is not None:
            self.release(queue)

    def release(self, queue: Queue) -> None:
        self.allowed += WAITING_COST if self.shrunk else 0  # it may queue again
        self.budget.release(queue, queue.lane)
        queue.running, queue.lane = False, Lane.ORDINARY

    @rule()
    def end_all(self) -> None:
        for queue in self.queues:
            if queue.running:
                self.release(queue)

    def send_once(self, queue: Queue, part: float) -> None:
        """Do what the sender of a file does."""
        account = queue.account
        whole = account.peer_window >= FAST_WINDOW == account.reserved + account.borrowed
        window = FAST_WINDOW if whole else self.budget.window(queue, queue.bytes)
        is_long = queue.round_trip >= LONG_PATH_SECONDS and account.peer_window < FAST_WINDOW
        assert window <= (min(LARGEST, self.budget.memory_bytes // 2) if is_long else FAST_WINDOW)
        given = int(max(0, window - queue.bytes) * part)
        queue.bytes += given
        account.peer_window -= given
        if not whole:
            self.budget.record(queue, window if window == FAST_WINDOW else queue.bytes)
        self.the_memory_is_not_exceeded()

    @rule(data=st.data(), part=st.sampled_from([1.0, 0.5, 0.0]))
    def send(self, data: st.DataObject, part: float) -> None:
        queue = self.one(data, running=True)
        if queue is not None:
            self.send_once(queue, part)

    @rule(part=st.sampled_from([1.0, 0.5]))
    def send_all(self, part: float) -> None:
        for queue in self.queues:
            if queue.running:
                self.send_once(queue, part)

    @rule(
        data=st.data(),
        length=st.sampled_from([1, SMALL_BYTES, SMALL_BYTES + 1, 100_000, MOST_AT_ONCE]),
        part=st.sampled_from([1.0, 0.5, 0.0]),
    )
    def send_at_once(self, data: st.DataObject, length: int, part: float) -> None:
        """Send an answer without a slot. If the kernel takes a part of it, the rest gets one."""
        queue, cost = self.one(data, running=False, waiting=False), cost_at_once(length)
        if queue is None or queue.bytes or not self.budget.can_lend(queue, cost):
            return
        queue.bytes = int(cost * part)
        queue.account.peer_window -= queue.bytes
        self.budget.record(queue, queue.bytes)
        if part < 1:
            self.budget.reserve(queue, Lane.EXPRESS)
            queue.running, queue.lane = True, Lane.EXPRESS
        assert self.budget.spent_bytes() <= self.budget.memory_bytes

    @rule(data=st.data(), left=st.sampled_from([0.0, 0.3, 0.9]))
    def drain(self, data: st.DataObject, left: float) -> None:
        """A client acknowledges some bytes. The budget does not notice."""
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
        """The process grows by more than its connections cost."""
        self.budget.set_process_growth(len(self.queues) * CONNECTION_COST + beyond)

    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        queue = self.one(data)
        if queue is not None:
            self.leave(queue)

    def leave(self, queue: Queue) -> None:
        if queue.running:
            self.release(queue)
        if queue.waiting:
            self.budget.request_queued(-1)
        self.queues.remove(queue)
        self.budget.forget(queue)
        self.budget.connection_opened(-1)

    @precondition(lambda self: not any(each.lane is Lane.LISTING for each in self.queues))
    @rule(memory=MEMORIES)
    def resize(self, memory: int) -> None:
        self.budget.resize(memory)
        self.allowed = max(memory, self.total())
        self.shrunk = True

    @rule()
    def all_leave(self) -> None:
        for queue in list(self.queues):
            self.leave(queue)
        budget = self.budget
        assert (budget.connections, budget.running, budget.waiting, budget.producers) == (0, 0, 0, 0)
        assert (budget.lent, len(budget._borrowers)) == (0, 0)
        self.shrunk = False

    @precondition(lambda self: not self.shrunk and any(each.running for each in self.queues))
    @rule(data=st.data())
    def without_loans_each_transfer_gets_its_reserved_window(self, data: st.DataObject) -> None:
        queue = self.one(data, running=True)
        assert queue is not None
        for each in self.queues:
            each.bytes = 0
        self.budget.reclaim(len(self.queues))
        # A process that has grown by more than its connections cost may leave less.
        assert self.budget.window(queue, 0) >= WINDOW_MIN or self.budget.slack_bytes > 0

    def total(self) -> int:
        """Return what clients really cost at this moment."""
        return (
            sum(each.bytes for each in self.queues)
            + len(self.queues) * CONNECTION_COST
            + sum(not each.running for each in self.queues) * WAITING_COST
            + sum(each.lane is Lane.LISTING for each in self.queues) * self.budget.division.producer_cost
        )

    @invariant()
    def the_memory_is_not_exceeded(self) -> None:
        total = self.total()
        assert total <= self.allowed
        self.allowed = max(self.budget.memory_bytes, total)

    @invariant()
    def the_counts_are_what_a_recount_finds(self) -> None:
        budget, accounts = self.budget, [each.account for each in self.queues]
        assert budget.connections == len(self.queues)
        assert budget.running == sum(each.running for each in self.queues)
        assert budget.waiting == sum(each.waiting for each in self.queues)
        assert budget.producers == sum(each.lane is Lane.LISTING for each in self.queues)
        assert budget.express == sum(each.lane is not Lane.ORDINARY for each in self.queues)
        assert budget.lent == sum(each.borrowed for each in accounts)
        assert set(budget._borrowers) == {each for each in accounts if each.borrowed}
        assert all(each.account.reserved + each.account.borrowed >= each.bytes for each in self.queues)
        assert all(each.account.reserved == WINDOW_MIN * each.running for each in self.queues)


TestBudgetMachine = BudgetMachine.TestCase
TestBudgetMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_no_largest_window_is_granted_while_ended_transfers_still_hold_theirs() -> None:
    """The running transfers alone would fit."""
    budget = Budget(64 << 20, LARGEST)
    tails = [run_one(budget, LARGEST) for _ in range(10)]
    for queue in tails:
        assert fill(budget, queue) == LARGEST
        budget.release(queue)
    fresh = [run_one(budget, LARGEST) for _ in range(10)]
    for queue in fresh:
        fill(budget, queue)
    assert sum(queue.bytes for queue in tails + fresh) + 20 * CONNECTION_COST <= budget.memory_bytes
    for queue in tails:
        queue.bytes = 0
    assert fill(budget, fresh[0]) == LARGEST


@settings(deadline=None, max_examples=50)
@given(st.integers(20_000_000, 1 << 32), st.integers(1, 500), st.sampled_from([0, 1 << 20, 1 << 30]))
def test_transfers_that_all_drain_get_equal_windows_that_fit(memory: int, running: int, in_flight: int) -> None:
    budget = Budget(memory, LARGEST)
    queues = [run_one(budget, in_flight) for _ in range(running)]
    windows = []
    for queue in queues * 2:
        queue.bytes = 0
        windows.append(fill(budget, queue))
    assert len(set(windows[running:])) == 1 or max(queue.bytes for queue in queues) <= FAST_WINDOW
    assert sum(queue.bytes + CONNECTION_COST for queue in queues) <= memory


def test_a_large_window_shrinks_when_other_transfers_start() -> None:
    budget = Budget(64 << 20, LARGEST)
    first = run_one(budget, LARGEST)
    assert fill(budget, first) == LARGEST
    for _ in range(99):
        run_one(budget)
    assert FAST_WINDOW < budget.window(first, first.bytes) < LARGEST
    first.bytes = 0
    assert FAST_WINDOW < fill(budget, first) < LARGEST


@pytest.mark.parametrize("memory", [20_000_000, 64 << 20, 4 << 30])
@pytest.mark.parametrize(
    ("round_trip", "in_flight", "window"),
    [
        (0.0, LARGEST, FAST_WINDOW),
        (LONG_PATH_SECONDS * 0.99, LARGEST, FAST_WINDOW),
        (LONG_PATH_SECONDS, 10_000, FAST_WINDOW),
        (LONG_PATH_SECONDS, 1_000_000, 1_000_000),
        (0.3, LARGEST, LARGEST),
        (0.3, 1 << 30, LARGEST),
    ],
)
def test_a_single_client_gets_the_fastest_window_of_a_short_path_or_all_that_a_long_path_takes(
    memory: int, round_trip: float, in_flight: int, window: int
) -> None:
    """With any budget: a small one does not slow down a client that is alone."""
    budget = Budget(memory, LARGEST)
    queue = run_one(budget)
    queue.round_trip, queue.in_flight = round_trip, in_flight
    assert fill(budget, queue) == window


def test_a_single_client_gets_at_most_half_of_a_small_memory() -> None:
    """So the next client can run at once."""
    budget = Budget(4_000_000, LARGEST)
    assert fill(budget, run_one(budget, LARGEST)) == 2_000_000
    assert fill(budget, run_one(budget)) == FAST_WINDOW


@pytest.mark.parametrize("count", [5, 20, 60])
def test_clients_on_long_paths_get_equal_shares_of_nearly_all_the_memory(count: int) -> None:
    """Nothing is reserved for clients that are not there."""
    budget = Budget(20_000_000, LARGEST)
    queues = [run_one(budget, LARGEST) for _ in range(count)]
    windows = {fill(budget, queue) for queue in queues}
    assert len(windows) == 1
    assert sum(queue.bytes for queue in queues) >= 0.8 * 20_000_000


def test_a_window_follows_a_path_that_becomes_shorter_or_slower() -> None:
    budget = Budget(64 << 20, LARGEST)
    queue = run_one(budget, LARGEST)
    assert fill(budget, queue) == LARGEST
    queue.in_flight = 1_000_000
    assert budget.window(queue, queue.bytes) == 1_000_000
    queue.round_trip = 0.0
    assert budget.window(queue, queue.bytes) == FAST_WINDOW


@settings(deadline=None)
@given(st.floats(LONG_PATH_SECONDS, 1.0), st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_a_window_of_a_long_path_at_most_doubles_in_a_round_trip(round_trip: float, taken: list[float]) -> None:
    """A congestion window grows by what is acknowledged: at most to twice what was in flight."""
    budget = Budget(64 << 20, LARGEST)
    queue = run_one(budget)
    queue.round_trip, queue.in_flight = round_trip, 2 * 15_000
    window = FAST_WINDOW
    for part in taken:
        assert budget.window(queue, queue.bytes) <= 2 * window
        window = fill(budget, queue)
        queue.in_flight = max(queue.in_flight, 2 * queue.bytes)
        queue.bytes = int(queue.bytes * (1 - part))


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from([(0.0, 0), (0.1, 1 << 20), (0.1, 1 << 30)]),
    st.integers(0, 2 << 20),
    st.lists(st.integers(0, 1 << 20), max_size=20),
)
def test_a_client_that_stalls_keeps_its_window_min(path: tuple[float, int], peer_window: int, reads: list[int]) -> None:
    """On any path: what was lent leaves the kernel, because it fits in the receive window.

    ``peer_window`` is the client's receive buffer. The client reads ``reads`` bytes each time, and then nothing.
    """
    budget = Budget(64 << 20, LARGEST)
    queue = run_one(budget)
    queue.round_trip, queue.in_flight = path
    queue.peer_window = peer_window
    for read in (*reads, 0, 0, 0):
        for _ in range(3):
            fill(budget, queue)
            left = min(queue.bytes, queue.peer_window)  # the kernel sends what the client accepts
            queue.bytes, queue.peer_window = queue.bytes - left, queue.peer_window - left
            budget.record(queue, queue.bytes)
        queue.peer_window = min(peer_window, queue.peer_window + read)
    assert queue.bytes <= WINDOW_MIN
    assert budget.lent == 0


@pytest.mark.parametrize("path", [(0.0, 1 << 20), (0.0, 0), (0.1, 1 << 20)], ids=["near", "unix", "far"])
@pytest.mark.parametrize("peer_window", [0, 4096, 100_000])
def test_without_a_slot_a_client_that_stalls_keeps_a_window_min_too(path: tuple[float, int], peer_window: int) -> None:
    budget, queue = Budget(64 << 20, LARGEST), Queue()
    budget.connection_opened()
    (queue.round_trip, queue.in_flight), queue.peer_window = path, peer_window
    for length in (1, SMALL_BYTES, 20_000, 50_000, 100_000, MOST_AT_ONCE):
        cost = cost_at_once(length)
        assert not budget.can_lend(queue, cost) or cost <= WINDOW_MIN + peer_window
    assert budget.can_lend(queue, cost_at_once(SMALL_BYTES))
    queue.peer_window = 1 << 20
    assert budget.can_lend(queue, cost_at_once(MOST_AT_ONCE))


def test_20_mb_carry_500_clients_that_all_stall() -> None:
    budget = Budget(20_000_000, LARGEST)
    assert budget.division.slots >= 500
    queues = [run_one(budget) for _ in range(500)]
    for queue in queues:
        fill(budget, queue)
    assert sum(queue.bytes + CONNECTION_COST for queue in queues) <= 20_000_000
    for queue in queues:
        queue.bytes = 0
        budget.record(queue, 0)
    for queue in queues:  # some stall with what was lent
        assert fill(budget, queue) >= WINDOW_MIN


def test_connections_are_accepted_although_all_memory_is_lent() -> None:
    """500 slots are taken, and all that can be lent is with stalled clients."""
    budget = Budget(20_000_000, LARGEST)
    queues = [run_one(budget) for _ in range(500)]
    for queue in queues:
        fill(budget, queue)
    for _ in range(50):
        assert budget.can_open()
        budget.connection_opened()
    assert budget.can_run(Lane.EXPRESS)


def test_the_least_memory_carries_a_download_a_listing_and_a_small_response_beside_four_connections() -> None:
    budget = Budget(LEAST_MEMORY, LARGEST)
    assert (budget.division.slots >= 1, budget.division.express_slots >= 1) == (True, True)
    budget.connection_opened(4)
    download, listing, small = (Queue() for _ in range(3))
    assert budget.can_run()
    budget.reserve(download)
    assert budget.can_run(Lane.LISTING)
    budget.reserve(listing, Lane.LISTING)
    assert budget.can_run(Lane.EXPRESS)
    budget.reserve(small, Lane.EXPRESS)
    assert [fill(budget, queue) >= WINDOW_MIN for queue in (download, listing, small)] == [True] * 3


@pytest.mark.parametrize("memory", [LEAST_MEMORY - 1, 1, 0, -1])
def test_less_than_the_least_memory_is_an_error_that_names_the_least(memory: int) -> None:
    least = format_size(LEAST_MEMORY)
    with pytest.raises(ConfigurationError, match=f"the least is {least}$"):
        Budget(memory, LARGEST)
    budget = Budget(LEAST_MEMORY, LARGEST)
    before = (budget.memory_bytes, budget.division)
    with pytest.raises(ConfigurationError, match=f"the least is {least}$"):
        budget.resize(memory)
    assert (budget.memory_bytes, budget.division) == before


@given(MEMORIES, MEMORIES)
def test_more_memory_never_means_fewer_slots(one: int, other: int) -> None:
    less, more = (divide(memory) for memory in sorted([one, other]))
    assert less.slots <= more.slots
    assert less.express_slots <= more.express_slots
    assert less.listing_bytes <= more.listing_bytes <= 2800 * 1024


@pytest.mark.parametrize("memory", [LEAST_MEMORY, 2 << 20, 20_000_000, 64 << 20, 1 << 30])
def test_listings_take_at_most_a_quarter_of_the_memory_and_one_can_always_run(memory: int) -> None:
    budget = Budget(memory, LARGEST)
    assert budget.can_run(Lane.LISTING)
    while budget.can_run(Lane.LISTING):
        budget.reserve(Queue(), Lane.LISTING)
    assert budget.producers == 1 or budget.producers * budget.division.producer_cost <= memory // 4
    assert budget.can_run(Lane.EXPRESS)


def test_reclaim_looks_at_the_oldest_loans_first_and_keeps_those_that_have_not_drained() -> None:
    budget = Budget(64 << 20, LARGEST)
    queues = [run_one(budget) for _ in range(3)]
    for queue in queues:
        fill(budget, queue)
    queues[0].bytes, queues[1].bytes = 0, 1 << 14
    budget.reclaim(1)
    assert [queue.account.borrowed > 0 for queue in queues] == [False, True, True]
    budget.reclaim(2)
    assert [queue.account.borrowed > 0 for queue in queues] == [False, False, True]
    budget.reclaim(10)
    assert list(budget._borrowers) == [queues[2].account]


@pytest.mark.parametrize("beyond", [0, 200_000, 400_000, 1_200_000])
def test_unexpected_growth_of_the_process_shrinks_the_windows(beyond: int) -> None:
    budget = Budget(20_000_000, LARGEST)
    queues = [run_one(budget) for _ in range(budget.division.slots)]
    process = budget.connections * CONNECTION_COST + beyond
    budget.set_process_growth(process)
    for queue in queues:
        queue.peer_window = 0  # so that nothing is lent
        assert 0 < fill(budget, queue) <= WINDOW_MIN
    reserve = 20_000_000 // RESERVE_DIVISOR
    assert process + sum(queue.bytes for queue in queues) + reserve <= 20_000_000


@pytest.mark.parametrize(
    ("peer_window", "window"),
    [(1 << 30, FAST_WINDOW), (150_000, WINDOW_MIN + 150_000 - 65_536), (50_000, WINDOW_MIN), (0, WINDOW_MIN)],
)
def test_a_near_client_is_lent_its_receive_window(peer_window: int, window: int) -> None:
    """Those bytes leave the kernel even if the client does not read, so a stalled client keeps no loan."""
    queue = run_one(budget := Budget(20_000_000, LARGEST))
    queue.peer_window = peer_window
    assert budget.window(queue, 1024) == window


def test_a_resize_to_less_memory_reclaims_whole_windows() -> None:
    """Such a loan is recorded although its queue is empty, and its transfer does not ask."""
    budget = Budget(64 << 20, LARGEST)
    queues = [run_one(budget) for _ in range(100)]
    for queue in queues:
        budget.window(queue, 0)
        budget.record(queue, FAST_WINDOW)
    assert budget.lent == 100 * (FAST_WINDOW - WINDOW_MIN)
    budget.resize(4_000_000)
    assert (budget.lent, {queue.account.borrowed for queue in queues}) == (0, {0})


def test_the_receive_window_is_asked_again_only_when_it_may_be_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    budget, asked = Budget(64 << 20, LARGEST), []
    queue = run_one(budget)
    queue.peer_window = 5 * FAST_WINDOW + 65_536
    path = queue.path_info
    monkeypatch.setattr(queue, "path_info", lambda: asked.append(queue.account.peer_window) or path())
    for _ in range(5):
        assert fill(budget, queue) == FAST_WINDOW
        queue.bytes = 0
    assert asked == [0]
    queue.peer_window = 150_000
    assert fill(budget, queue) == WINDOW_MIN + 150_000 - 65_536
    assert asked == [0, 0]


@pytest.mark.parametrize("memory", [20_000_000, 64 << 20])
def test_one_large_call_is_reserved_for_near_clients(memory: int) -> None:
    """Their loans come back at once, and large calls are twice as fast as small ones."""
    budget = Budget(memory, LARGEST)
    near, *distant = [run_one(budget, LARGEST * (at > 0)) for at in range(50)]
    for queue in distant:
        fill(budget, queue)
    assert fill(budget, near) == FAST_WINDOW


@pytest.mark.parametrize("memory", [20_000_000, 64 << 20])
def test_two_near_clients_have_large_windows_at_a_time_while_as_many_transfers_run_as_fit(memory: int) -> None:
    """With one, most calls are small, and the throughput is half (decision 025)."""
    budget, queues = Budget(memory, LARGEST), list[Any]()
    while budget.can_open() and budget.can_run():
        queues.append(run_one(budget))
    first, second, third = (fill(budget, queue) for queue in queues[:3])
    large = 195 * 1024  # a call of 188 KiB fits
    assert min(first, second) >= large and third < 2 * WINDOW_MIN
    queues[0].bytes = 0  # its client has acknowledged all
    assert fill(budget, queues[2]) >= large


@pytest.mark.parametrize("memory", [LEAST_MEMORY, 2 << 20, 20_000_000, 64 << 20])
def test_clients_that_stall_one_after_another_fill_all_slots(memory: int) -> None:
    """Each is lent all that it may have before the next one comes, and that leaves the kernel."""
    budget = Budget(memory, LARGEST)
    while budget.running < budget.division.slots and budget.can_open() and budget.can_run():
        queue = run_one(budget)
        fill(budget, queue)
        queue.bytes = min(queue.bytes, WINDOW_MIN)
    assert budget.running >= min(500, budget.division.slots)


@pytest.mark.parametrize("memory", [LEAST_MEMORY, 1 << 20, 20_000_000, 64 << 20])
def test_the_free_fraction_falls_from_1_to_0_as_slots_are_taken(memory: int) -> None:
    budget = Budget(memory, LARGEST)
    fractions, queues = [budget.free_fraction()], []
    while len(queues) < budget.division.slots:
        queues.append(run_one(budget))
        fractions.append(budget.free_fraction())
    assert (fractions[0], fractions[-1]) == (1.0, 0.0)
    assert all(after < before for before, after in itertools.pairwise(fractions))
    for queue in queues:
        budget.release(queue)
        budget.connection_opened(-1)
    assert budget.free_fraction() == 1.0, "what the heap has kept of them is used again"


@pytest.mark.parametrize("memory", [LEAST_MEMORY, 1 << 20, 20_000_000])
def test_growth_that_new_downloads_would_use_again_does_not_lower_the_free_fraction(memory: int) -> None:
    budget = Budget(memory, LARGEST)
    reused = budget.division.slots * CONNECTION_COST
    budget.set_process_growth(reused)
    assert budget.free_fraction() == 1.0
    if memory > LEAST_MEMORY:  # with the least memory, no growth beyond the cost of the connections is counted
        budget.set_process_growth(reused + memory // 8)
        assert 0.7 < budget.free_fraction() < 1.0


def test_only_stalled_loans_lower_the_free_fraction() -> None:
    budget = Budget(20_000_000, LARGEST)
    queues = [run_one(budget, 1 << 20) for _ in range(50)]
    before = budget.free_fraction()
    for queue in queues:
        fill(budget, queue)
    assert budget.free_fraction() == before
    budget.stalled_loans = budget.lent // 2
    part = budget.stalled_loans / (budget.division.slots * (WINDOW_MIN + CONNECTION_COST))
    assert budget.free_fraction() == pytest.approx(before - part, abs=0.02)
    assert part > 0.2


def test_responses_of_the_express_lane_hardly_lower_the_free_fraction() -> None:
    """Their windows are in the reserve, so each costs only its connection."""
    budget = Budget(20_000_000, LARGEST)
    queue: Any = Queue()
    budget.connection_opened()
    budget.reserve(queue, Lane.EXPRESS)
    assert budget.free_fraction() > 0.999


def test_each_stream_of_a_connection_has_a_window_of_their_common_account() -> None:
    """The kernel holds bytes for their one socket, so any of them may record and end last."""
    budget = Budget(64 << 20, LARGEST)
    budget.connection_opened()
    before = budget.spent_bytes()
    budget.http2_opened()
    budget.stream_opened(3)
    assert budget.spent_bytes() - before >= HTTP2_COST + 3 * STREAM_COST
    streams = [Queue() for _ in range(3)]
    for stream in streams:
        stream.account = streams[0].account
        budget.reserve(stream)
    assert streams[0].account.reserved == 3 * WINDOW_MIN and budget.running == 3
    for stream in streams:
        fill(budget, stream)
    assert budget.lent == streams[0].account.borrowed
    for stream in streams:
        budget.release(stream)
    assert streams[0].account.reserved == 0 and budget.lent == max(stream.bytes for stream in streams)
    budget.http2_opened(-1)
    budget.stream_opened(-3)
    budget.forget(streams[1])
    budget.set_process_growth(0)
    assert (budget.lent, budget.spent_bytes()) == (0, before)


def test_memory_limits_the_number_of_streams() -> None:
    budget = Budget(2 << 20, LARGEST)
    budget.connection_opened()
    budget.http2_opened()
    count = 0
    while budget.can_open_stream():
        budget.stream_opened()
        count += 1
        assert count < 1000
    assert not budget.can_open_http2()
    assert budget.spent_bytes() <= budget.memory_bytes


def test_rejected_requests_do_not_cause_a_look_at_the_loans_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look costs a system call for each of hundreds of loans, and a rejected client may ask again at once."""
    now = 1.0
    monkeypatch.setattr("freight.memory.budget.monotonic", lambda: now)
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

    monkeypatch.setattr(Queue, "queued_bytes", held)
    for _ in range(1000):
        assert not budget.can_run()
    assert 0 < looks <= len(queues)
    for queue in queues:
        queue.bytes = 0
    now += 1
    assert budget.can_run()


def test_loans_are_not_looked_at_when_all_of_them_would_not_be_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long ago they were looked at."""
    clock = itertools.count(1.0)
    monkeypatch.setattr("freight.memory.budget.monotonic", lambda: next(clock))
    budget = Budget(20_000_000, LARGEST)
    queue = run_one(budget)
    queue.peer_window = 65_536 + 1024
    fill(budget, queue)
    while budget.can_run():
        run_one(budget)
    assert budget.lent == 1024 < WINDOW_MIN - budget._free()
    monkeypatch.setattr(Queue, "queued_bytes", lambda queue: pytest.fail("it was looked at"))
    assert not budget.can_run()


@given(MEMORIES)
def test_a_listing_may_extend_its_memory_but_leaves_some_for_others(memory: int) -> None:
    """All listings together keep within 1/4, and one that began may take 7/32."""
    budget = Budget(memory, LARGEST)
    budget.reserve(Queue(), Lane.LISTING)
    spent = budget.spent_bytes()
    granted = 0
    while budget.extend_producer():
        granted += 1
        assert budget.spent_bytes() <= memory
    assert granted == 0 or (granted + 1) * budget.division.producer_cost <= memory * 7 // 32
    if memory >= 1 << 20:
        assert (granted + 2) * budget.division.producer_cost > memory * 7 // 32
        assert budget.can_run(Lane.LISTING)
    budget.shrink_producer(granted)
    assert budget.spent_bytes() == spent
    budget.release(Queue(), Lane.LISTING)
    assert budget.producers == 0


def test_a_listing_gets_no_more_memory_while_downloads_have_all_of_it() -> None:
    budget = Budget(20_000_000, LARGEST)
    budget.reserve(Queue(), Lane.LISTING)
    while budget.can_run():
        budget.reserve(Queue())
    assert not budget.extend_producer()
