"""Who owes for work, and what follows from it."""

from __future__ import annotations

import pytest

from freight.guard import (
    DEBT_FREE,
    DEBT_MOST,
    ORDINARY,
    OWED_MOST,
    PAID_PER_SECOND,
    PAUSE_MOST,
    QUANTUM,
    QUANTUM_IN_DEBT,
    Account,
    Accounts,
    Guard,
)
from freight.wire import costs


def test_a_client_that_comes_again_finds_its_debt() -> None:
    accounts = Accounts()
    Guard(accounts.of("192.0.2.1")).charge(2 * DEBT_FREE)
    assert accounts.of("192.0.2.1").pause > 0 and Guard(accounts.of("192.0.2.1")).left == QUANTUM_IN_DEBT
    assert accounts.of("192.0.2.2").pause == 0 and Guard(accounts.of("192.0.2.2")).left == QUANTUM


def test_accounts_are_of_a_bounded_number_and_the_last_ones_are_kept() -> None:
    accounts = Accounts()
    accounts.of("kept").charge(1.0)
    for number in range(5000):
        accounts.of(number)
        accounts.of("kept")
    assert len(accounts) <= 1024 and accounts.of("kept").debt == 1.0
    assert accounts.of(0).debt == 0.0


def test_time_pays() -> None:
    account = Account()
    account.settle(10.0)
    account.charge(DEBT_MOST)
    account.settle(11.0)
    assert account.debt == DEBT_MOST - PAID_PER_SECOND
    account.settle(60.0)
    assert account.debt == 0.0


def test_a_debt_is_never_so_large_that_it_lasts() -> None:
    account = Account()
    account.settle(0.0)
    account.charge(1e12)
    account.settle(1.0)
    account.settle(7.0)
    assert account.pause == 0.0


def test_who_is_in_debt_rests_for_longer_the_more_it_owes() -> None:
    account, rests = Account(), []
    for _ in range(40):
        rests.append(account.pause)
        account.charge(DEBT_MOST / 30)
    assert rests == sorted(rests) and rests[0] == 0.0 and rests[-1] == PAUSE_MOST
    assert min(rest for rest in rests if rest) >= 1.0


def test_what_is_paid_gives_no_turns_back() -> None:
    guard = Guard()
    guard.charge(500.0)
    guard.pay(500.0)
    assert guard.left == QUANTUM - 500.0 and guard.pending == guard.owed == guard.account.debt == 0.0


def test_without_a_debt_time_gives_turns_and_with_one_it_does_not() -> None:
    guard = Guard()
    guard.settle(0.0)
    guard.charge(QUANTUM)
    guard.settle(1.0)
    assert guard.left == QUANTUM
    guard.charge(DEBT_MOST)
    left = guard.left
    guard.settle(1.5)
    assert guard.left == left


def test_requests_that_are_finished_pay_what_an_ordinary_one_costs_and_not_what_theirs_did() -> None:
    """A head that is amplified by HPACK costs ten times as much: who asks so owes more with each."""
    guard = Guard()
    for _ in range(1000):
        guard.charge(ORDINARY)
        guard.finish()
    assert guard.owed == 0.0
    for _ in range(1000):
        guard.charge(10 * ORDINARY)
        guard.finish()
    assert guard.owed == guard.account.debt == 9 * 1000 * ORDINARY


def test_what_runs_is_no_debt() -> None:
    """Ten thousand connections, each with a hundred requests that have begun and that nothing has come of yet."""
    account = Account()
    guards = [Guard(account) for _ in range(100)]
    for guard in guards:
        guard.arrive(costs.ACCEPTED)
        guard.arrive(costs.HANDSHAKE)
        for _ in range(100):
            guard.run()
            guard.charge(costs.FRAME[1] + costs.REQUEST)
    assert account.debt == 0.0 and not account.pause
    for guard in guards:
        for _ in range(100):
            guard.finish()
            guard.stop()
        guard.close()
    assert account.debt == 0.0


def test_running_requests_that_come_to_nothing_are_debt_when_they_end() -> None:
    guard = Guard()
    for _ in range(100):
        guard.run()
        guard.charge(costs.REQUEST)
    assert guard.account.debt == 0.0
    for _ in range(100):
        guard.stop()
    assert guard.account.debt == 100 * costs.REQUEST - ORDINARY  # the last of it may still be the next request's
    guard.close()
    assert guard.account.debt == 100 * costs.REQUEST


def test_delivered_bytes_pay_for_a_request_that_is_cut() -> None:
    guard = Guard()
    guard.arrive(costs.ACCEPTED)
    guard.charge(costs.REQUEST)
    guard.pay((1 << 20) * costs.DELIVERED_BYTE)
    guard.close()
    assert guard.account.debt == 0.0


def test_a_connection_that_ends_with_nothing_answered_is_debt_and_one_that_was_of_use_is_not() -> None:
    account = Account()
    vain, useful = Guard(account), Guard(account)
    for guard in (vain, useful):
        guard.arrive(costs.ACCEPTED)
        guard.arrive(costs.HANDSHAKE)
        guard.charge(costs.REQUEST)
    useful.finish()
    useful.charge(costs.READ)
    useful.close()
    assert account.debt == 0.0
    vain.close()
    assert account.debt == costs.ACCEPTED + costs.HANDSHAKE + costs.REQUEST


def test_what_goes_beyond_ordinary_requests_is_debt_at_once() -> None:
    guard = Guard()
    guard.charge(ORDINARY)
    assert guard.account.debt == 0.0
    guard.charge(50.0)
    assert guard.account.debt == guard.owed == 50.0


def test_no_connection_pays_for_another() -> None:
    account = Account()
    harmful, useful = Guard(account), Guard(account)
    harmful.charge(DEBT_MOST)
    debt = account.debt
    for _ in range(1000):
        useful.charge(costs.REQUEST)
        useful.finish()
        useful.pay(1e6)
    assert account.debt == debt


def test_the_first_request_that_is_finished_pays_for_the_connection() -> None:
    guard = Guard()
    guard.arrive(costs.ACCEPTED)
    guard.arrive(costs.HANDSHAKE)
    guard.charge(ORDINARY)
    guard.finish()
    assert guard.pending == guard.owed == guard.account.debt == 0.0
    guard.charge(2 * ORDINARY)
    guard.finish()
    assert guard.owed == ORDINARY


def test_a_connection_is_ended_for_what_it_owes_itself() -> None:
    """Another one of the same address, which owes little, goes on."""
    account = Account()
    harmful, honest = Guard(account), Guard(account)
    harmful.charge(DEBT_MOST)
    honest.charge(OWED_MOST / 2)
    assert harmful.overdrawn and not honest.overdrawn


@pytest.mark.parametrize("connections", [1, 2, 10])
def test_who_goes_on_is_ended_however_many_connections_it_has(connections: int) -> None:
    """Each second they are given the time between their pauses, which is the least."""
    account = Account()
    guards = [Guard(account) for _ in range(connections)]
    for second in range(60):
        for guard in guards:
            guard.settle(float(second))
            guard.charge(1e6 / (1 + PAUSE_MOST) / connections)
        if all(guard.overdrawn for guard in guards):
            return
    pytest.fail(f"after a minute they owe {[guard.owed for guard in guards]}, and all together {account.debt}")


def test_who_cancels_what_a_browser_does_is_not_in_debt() -> None:
    """A hundred pictures a second that are scrolled past, for a minute; half of what is seen comes to its end."""
    cancelled = costs.FRAME[1] + costs.REQUEST + 600 * costs.DECODED_BYTE + costs.FRAME[3] + costs.RESET
    guard = Guard()
    for second in range(60):
        guard.settle(float(second))
        for _ in range(100):
            guard.run()
            guard.charge(cancelled)
            guard.stop()
        assert not guard.account.pause and not guard.overdrawn
        for _ in range(100):
            guard.run()
            guard.charge(costs.REQUEST)
            guard.finish()
            guard.stop()


def test_a_proxy_is_never_in_debt() -> None:
    guard = Guard(Account(exempt=True))
    guard.charge(100 * DEBT_MOST)
    assert not guard.account.pause and not guard.account.exhausted and not guard.overdrawn


def test_a_connection_that_proves_to_be_another_clients_takes_along_what_it_owes() -> None:
    seeming, true = Account(), Account()
    guard = Guard(seeming)
    guard.charge(ORDINARY + 700.0)
    guard.move(true)
    assert (seeming.debt, true.debt, guard.account) == (0.0, 700.0, true)
    guard.close()
    assert (seeming.debt, true.debt) == (0.0, ORDINARY + 700.0)


def test_a_connection_that_ends_to_make_room_before_anything_was_done_for_it_owes_nothing() -> None:
    owing, forgiven = Account(), Account()
    for account in (owing, forgiven):
        guard = Guard(account)
        guard.arrive(150.0)
        if account is forgiven:
            guard.forgive()
        guard.close()
    assert (owing.debt, forgiven.debt) == (150.0, 0.0)


def test_where_all_are_exempt_nobody_is_ever_in_debt() -> None:
    accounts = Accounts(exempt_all=True)
    guard = Guard(accounts.of("192.0.2.1"))
    guard.charge(1e9)
    assert not guard.account.pause and not guard.overdrawn and len(accounts) == 0
