"""The budget's law: what it lends never exceeds what it has, however clients come, drain, stand still and go."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from freight.flow.budget import CROWD, RUNNING_COST, WINDOW_MIN, Budget, largest_send_queue
from freight.flow.gate import Gate

LARGEST = 4 << 20


class Lending(RuleBasedStateMachine):
    """Transfers come, ask for windows in any order, or never again, and go."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = 32_000_000
        self.budget = Budget(self.memory, LARGEST)
        self.loans: list[int] = []

    @rule(count=st.integers(1, 100))
    def come(self, count: int) -> None:
        for _ in range(min(count, CROWD - len(self.loans))):
            self.budget.take()
            self.loans.append(0)

    @precondition(lambda self: self.loans)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        which = data.draw(st.integers(0, len(self.loans) - 1))
        self.loans[which] = self.budget.renew(self.loans[which])

    @rule()
    def renew_all(self) -> None:
        self.loans = [self.budget.renew(loan) for loan in self.loans]

    @precondition(lambda self: self.loans)
    @rule(data=st.data())
    def go(self, data: st.DataObject) -> None:
        self.budget.give_back(self.loans.pop(data.draw(st.integers(0, len(self.loans) - 1))))

    @invariant()
    def all_windows_and_costs_fit_the_memory(self) -> None:
        windows = [self.budget.window(loan) for loan in self.loans]
        assert sum((LARGEST if window is None else window) + RUNNING_COST for window in windows) <= self.memory

    @invariant()
    def nobody_has_less_than_the_least_window_or_a_debt(self) -> None:
        assert all(loan >= 0 for loan in self.loans)
        assert all(window is None or window >= WINDOW_MIN for window in map(self.budget.window, self.loans))

    @invariant()
    def its_books_are_right(self) -> None:
        assert (self.budget.running, self.budget.lent) == (len(self.loans), sum(self.loans))


TestLending = Lending.TestCase
TestLending.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)


@settings(deadline=None)
@given(st.integers(1 << 20, 1 << 36), st.integers(1, CROWD))
def test_transfers_that_all_ask_get_equal_windows_that_fit(memory: int, running: int) -> None:
    budget = Budget(memory, LARGEST)
    for _ in range(running):
        budget.take()
    loans = [0] * running
    for _ in range(2):
        loans = [budget.renew(loan) for loan in loans]
    assert max(loans) - min(loans) <= 1
    if max(loans) > 0:
        assert sum(WINDOW_MIN + loan + RUNNING_COST for loan in loans) <= memory


def test_one_that_came_when_there_was_room_gives_way_when_it_asks_again() -> None:
    budget = Budget(64 << 20, LARGEST)
    budget.take()
    first = budget.renew(0)
    for _ in range(99):
        budget.take()
    assert budget.renew(first) < first


def test_with_room_for_the_kernels_own_there_is_no_bound() -> None:
    budget = Budget(4 << 30, LARGEST)
    budget.take()
    assert budget.window(budget.renew(0)) is None


def test_twenty_megabytes_carry_five_hundred() -> None:
    budget = Budget(20_000_000, LARGEST)
    loans = []
    for _ in range(500):
        budget.take()
        loans.append(budget.renew(0))
    assert sum(WINDOW_MIN + loan + RUNNING_COST for loan in loans) <= 20_000_000


@pytest.mark.parametrize("error", [None, OSError("bad disk"), asyncio.CancelledError()])
def test_a_slot_gives_back_what_it_was_lent_however_it_is_left(error: BaseException | None) -> None:
    budget = Budget(64 << 20, LARGEST)

    async def main() -> None:
        async with Gate(budget).slot() as slot:
            slot.window(1 << 30)
            assert budget.running == 1
            assert budget.lent > 0
            if error is not None:
                raise error

    if error is None:
        asyncio.run(main())
    else:
        with pytest.raises(type(error)):
            asyncio.run(main())
    assert (budget.running, budget.lent) == (0, 0)


def test_the_kernels_largest_send_queue_is_a_plausible_number_of_bytes() -> None:
    assert 4096 <= largest_send_queue() <= 1 << 32
