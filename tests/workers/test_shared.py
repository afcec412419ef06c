"""What workers share: counts, slots, rates. The workers are objects of one process; their state is shared memory."""

from __future__ import annotations

import pytest

from freight.flow.rate_limit import RateLimiter
from freight.memory.budget import Budget
from freight.memory.costs import FAST_WINDOW, WINDOW_MIN
from freight.protocols import SendAccount
from freight.workers.shared.budget import SharedBudget
from freight.workers.shared.rate_limit import SharedRateLimiter
from freight.workers.shared.state import Column, SharedState, hash_slots_of

MEMORY, LARGEST = 20_000_000, 4 << 20


class Queue:
    """A connection whose send queue holds ``queued`` bytes."""

    def __init__(self) -> None:
        self.account = SendAccount()
        self.queued = 0

    def queued_bytes(self) -> int:
        return self.queued

    def path_info(self) -> tuple[float, int, int]:
        return 0.0, 0, 1 << 30


def budgets(count: int) -> tuple[SharedState, list[SharedBudget]]:
    state = SharedState(count)
    return state, [SharedBudget(MEMORY, LARGEST, 0, state, number) for number in range(count)]


@pytest.mark.parametrize("count", [2, 3, 8])
def test_workers_together_have_the_slots_of_one(count: int) -> None:
    """The workers take slots in turn, and reach the same number."""
    _, shared = budgets(count)
    alone = Budget(MEMORY, LARGEST)

    def fill(of: list[Budget]) -> int:
        taken = 0
        while taken < 2 * of[0].division.slots:
            budget = of[taken % len(of)]
            if not budget.can_open():
                break
            budget.connection_opened()
            if not budget.can_run():
                break
            budget.reserve(Queue())
            taken += 1
        return taken

    assert fill(list(shared)) == fill([alone])
    assert all(budget.running == alone.running for budget in shared if budget.can_run() is False)


def test_what_a_dead_worker_held_is_free_again() -> None:
    state, (dead, other) = budgets(2)
    sink = Queue()
    dead.connection_opened()
    dead.reserve(sink)
    dead.record(sink, WINDOW_MIN)
    assert not other.can_run() or other.running == 1
    state.clear(0)
    assert other.can_run()
    assert (other.running, other.connections, other.lent) == (0, 0, 0)


@pytest.mark.parametrize(("count", "in_flight"), [(400, 0), (400, LARGEST), (30, LARGEST), (3, 1 << 30)])
def test_the_send_queues_of_all_workers_never_exceed_the_memory(count: int, in_flight: int) -> None:
    """The workers ask in turn, and hand over all that they may."""
    _, shared = budgets(2)
    sinks: list[tuple[SharedBudget, Queue]] = []
    for at in range(count):
        budget = shared[at % 2]
        budget.connection_opened()
        assert budget.can_run()
        sinks.append((budget, Queue()))
        budget.reserve(sinks[-1][1])
        if in_flight:
            sinks[-1][1].path_info = lambda: (0.1, in_flight, 1 << 30)  # type: ignore[method-assign]
    most = FAST_WINDOW if count == 400 else min(LARGEST, MEMORY // 2)
    for budget, sink in sinks * 2:
        sink.queued = budget.window(sink, sink.queued)
        assert 0 < sink.queued <= most
        budget.record(sink, sink.queued)
        assert sum(each.queued for _, each in sinks) <= MEMORY
    assert max(sink.queued for _, sink in sinks) > WINDOW_MIN
    if in_flight and count < 400:
        assert max(sink.queued for _, sink in sinks) > 2 * FAST_WINDOW


@pytest.mark.parametrize("rates", [(1e6, None), (None, 1e6)])
def test_workers_together_keep_to_the_rate(rates: tuple[float | None, float | None]) -> None:
    """They are at most one call slower than one worker."""
    state = SharedState(3)
    workers: list[RateLimiter] = [SharedRateLimiter(*rates, state) for _ in range(3)]
    alone = RateLimiter(*rates)
    alone.join("a", 1000.0)

    def send(of: list[RateLimiter]) -> int:
        sent = 0
        for step in range(1000):
            now = 1000.0 + step / 100
            worker = of[step % len(of)]
            allowed, wait = worker.allowance("a", now)
            assert bool(allowed) != bool(wait)
            if allowed:
                worker.record("a", min(allowed, 190_000), now)
                sent += min(allowed, 190_000)
        return sent

    assert abs(send(workers) - send([alone])) <= 190_000
    assert send([alone]) <= 1.1e7


def test_each_client_has_its_own_rate() -> None:
    state = SharedState(2)
    one, other = SharedRateLimiter(None, 1e6, state), SharedRateLimiter(None, 1e6, state)
    assert set(hash_slots_of("a")) != set(hash_slots_of("b"))
    while allowed := one.allowance("a", 1000.0)[0]:
        one.record("a", allowed, 1000.0)
    assert other.allowance("a", 1000.0)[0] == 0
    assert other.allowance("b", 1000.0)[0] > 0


def test_listings_of_all_workers_share_what_one_may_extend() -> None:
    state, workers = budgets(3)
    while any(each.extend_producer() for each in workers):
        pass
    units = workers[0].memory_bytes * 7 // 32 // workers[0].division.producer_cost
    assert sum(row[Column.PRODUCERS] for row in [state.row(number) for number in range(3)]) == units
