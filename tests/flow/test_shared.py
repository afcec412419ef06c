"""What workers share, each as an object of its own here: counts, slots, rates. Rows are really shared memory."""

from __future__ import annotations

import pytest

from freight.flow.budget import FAST_WINDOW, WINDOW_MIN, Budget
from freight.flow.rates import Rates
from freight.flow.rows import Rows, cells_of
from freight.flow.shared_budget import SharedBudget
from freight.flow.shared_rates import SharedRates

MEMORY, LARGEST = 20_000_000, 4 << 20


class Held:
    """A sink that says what its kernel holds."""

    def __init__(self) -> None:
        from freight.account import Account

        self.account = Account()
        self.queued = 0

    def held(self) -> int:
        return self.queued

    def path(self) -> tuple[float, int, int]:
        return 0.0, 0, 1 << 30


def budgets(count: int) -> tuple[Rows, list[SharedBudget]]:
    rows = Rows(count)
    return rows, [SharedBudget(MEMORY, LARGEST, 0, rows, number) for number in range(count)]


@pytest.mark.parametrize("count", [2, 3, 8])
def test_workers_together_have_the_slots_of_one(count: int) -> None:
    """Whoever takes them: they go round, and at the end nobody has room, as with one."""
    _, shared = budgets(count)
    alone = Budget(MEMORY, LARGEST)

    def fill(of: list[Budget]) -> int:
        taken = 0
        while taken < 2 * of[0].slots:
            budget = of[taken % len(of)]
            if not budget.can_open():
                break
            budget.opened()
            if not budget.can_run():
                break
            budget.promise(Held())  # type: ignore[arg-type]
            taken += 1
        return taken

    assert fill(list(shared)) == fill([alone])
    assert all(budget.running == alone.running for budget in shared if budget.can_run() is False)


def test_what_a_dead_worker_had_is_there_again() -> None:
    rows, (dead, other) = budgets(2)
    sink = Held()
    dead.opened()
    dead.promise(sink)  # type: ignore[arg-type]
    dead.note(sink, WINDOW_MIN)  # type: ignore[arg-type]
    assert not other.can_run() or other.running == 1
    rows.clear(0)
    assert other.can_run()
    assert (other.running, other.connections, other.lent) == (0, 0, 0)


@pytest.mark.parametrize(("count", "takes"), [(400, 0), (400, LARGEST), (30, LARGEST), (3, 1 << 30)])
def test_what_the_kernel_holds_for_all_is_never_more_than_the_memory(count: int, takes: int) -> None:
    """However the turns of workers fall: each asks, and has all that it is allowed, on and on."""
    _, shared = budgets(2)
    sinks: list[tuple[SharedBudget, Held]] = []
    for at in range(count):
        budget = shared[at % 2]
        budget.opened()
        assert budget.can_run()
        sinks.append((budget, Held()))
        budget.promise(sinks[-1][1])  # type: ignore[arg-type]
        if takes:
            sinks[-1][1].path = lambda: (0.1, takes, 1 << 30)  # type: ignore[method-assign]
    most = FAST_WINDOW if count == 400 else min(LARGEST, MEMORY // 2)
    for budget, sink in sinks * 2:
        sink.queued = budget.window(sink, sink.queued)  # type: ignore[arg-type]
        assert 0 < sink.queued <= most
        budget.note(sink, sink.queued)  # type: ignore[arg-type]
        assert sum(each.queued for _, each in sinks) <= MEMORY
    assert max(sink.queued for _, sink in sinks) > WINDOW_MIN
    if takes and count < 400:
        assert max(sink.queued for _, sink in sinks) > 2 * FAST_WINDOW


@pytest.mark.parametrize("bounds", [(1e6, None), (None, 1e6)])
def test_no_number_of_workers_is_faster_than_the_rate(bounds: tuple[float | None, float | None]) -> None:
    """And it is not slower than one with the same bounds, by more than a call."""
    rows = Rows(3)
    workers: list[Rates] = [SharedRates(*bounds, rows) for _ in range(3)]
    alone = Rates(*bounds)
    alone.join("a", 1000.0)

    def send(of: list[Rates]) -> int:
        sent = 0
        for step in range(1000):
            now = 1000.0 + step / 100
            rates = of[step % len(of)]
            allowed, rest = rates.allowance("a", now)
            assert bool(allowed) != bool(rest)
            if allowed:
                rates.took("a", min(allowed, 190_000), now)
                sent += min(allowed, 190_000)
        return sent

    assert abs(send(workers) - send([alone])) <= 190_000
    assert send([alone]) <= 1.1e7


def test_another_client_has_a_rate_of_its_own() -> None:
    rows = Rows(2)
    one, other = SharedRates(None, 1e6, rows), SharedRates(None, 1e6, rows)
    assert set(cells_of("a")) != set(cells_of("b"))
    while allowed := one.allowance("a", 1000.0)[0]:
        one.took("a", allowed, 1000.0)
    assert other.allowance("a", 1000.0)[0] == 0
    assert other.allowance("b", 1000.0)[0] > 0
