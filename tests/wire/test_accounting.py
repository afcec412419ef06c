"""Accounts of clients and connections: what is debt, and what a debt leads to."""

from __future__ import annotations

import pytest

from freight.wire import costs
from freight.wire.accounting import (
    CREDIT_PER_SECOND,
    MAX_DEBT,
    MAX_OWED,
    MAX_PAUSE_FACTOR,
    QUANTUM,
    QUANTUM_IN_DEBT,
    REQUEST_ALLOWANCE,
    TOLERATED_DEBT,
    ClientAccount,
    ClientAccounts,
    ConnectionAccount,
)


def test_a_client_that_reconnects_finds_its_debt() -> None:
    accounts = ClientAccounts()
    ConnectionAccount(accounts.get("192.0.2.1")).charge(2 * TOLERATED_DEBT)
    debtor, other = accounts.get("192.0.2.1"), accounts.get("192.0.2.2")
    assert debtor.pause_factor > 0 and ConnectionAccount(debtor).quantum_left == QUANTUM_IN_DEBT
    assert other.pause_factor == 0 and ConnectionAccount(other).quantum_left == QUANTUM


def test_the_number_of_accounts_is_bounded_and_the_least_recently_used_is_evicted() -> None:
    accounts = ClientAccounts()
    accounts.get("kept").charge(1.0)
    for number in range(5000):
        accounts.get(number)
        accounts.get("kept")
    assert len(accounts) <= 1024 and accounts.get("kept").debt == 1.0
    assert accounts.get(0).debt == 0.0


def test_time_pays() -> None:
    account = ClientAccount()
    account.settle(10.0)
    account.charge(MAX_DEBT)
    account.settle(11.0)
    assert account.debt == MAX_DEBT - CREDIT_PER_SECOND
    account.settle(60.0)
    assert account.debt == 0.0


def test_the_largest_debt_is_paid_in_seconds() -> None:
    account = ClientAccount()
    account.settle(0.0)
    account.charge(1e12)
    account.settle(1.0)
    account.settle(7.0)
    assert account.pause_factor == 0.0


def test_the_pause_grows_with_the_debt() -> None:
    account, pauses = ClientAccount(), []
    for _ in range(40):
        pauses.append(account.pause_factor)
        account.charge(MAX_DEBT / 30)
    assert pauses == sorted(pauses) and pauses[0] == 0.0 and pauses[-1] == MAX_PAUSE_FACTOR
    assert min(pause for pause in pauses if pause) >= 1.0


def test_a_payment_does_not_refill_the_quantum() -> None:
    charges = ConnectionAccount()
    charges.charge(500.0)
    charges.pay(500.0)
    assert charges.quantum_left == QUANTUM - 500.0 and charges.pending == charges.owed == charges.account.debt == 0.0


def test_time_refills_the_quantum_only_without_a_debt() -> None:
    charges = ConnectionAccount()
    charges.settle(0.0)
    charges.charge(QUANTUM)
    charges.settle(1.0)
    assert charges.quantum_left == QUANTUM
    charges.charge(MAX_DEBT)
    left = charges.quantum_left
    charges.settle(1.5)
    assert charges.quantum_left == left


def test_a_finished_request_pays_the_allowance_and_not_its_own_cost() -> None:
    """A head that HPACK amplifies costs ten times as much, so the debt grows with each request."""
    charges = ConnectionAccount()
    for _ in range(1000):
        charges.charge(REQUEST_ALLOWANCE)
        charges.credit_request()
    assert charges.owed == 0.0
    for _ in range(1000):
        charges.charge(10 * REQUEST_ALLOWANCE)
        charges.credit_request()
    assert charges.owed == charges.account.debt == 9 * 1000 * REQUEST_ALLOWANCE


def test_running_work_is_no_debt() -> None:
    """A hundred connections with a hundred unfinished requests each."""
    account = ClientAccount()
    connections = [ConnectionAccount(account) for _ in range(100)]
    for charges in connections:
        charges.charge_setup(costs.ACCEPT)
        charges.charge_setup(costs.HANDSHAKE)
        for _ in range(100):
            charges.open_request()
            charges.charge(costs.FRAME[1] + costs.REQUEST)
    assert account.debt == 0.0 and not account.pause_factor
    for charges in connections:
        for _ in range(100):
            charges.credit_request()
            charges.close_request()
        charges.close()
    assert account.debt == 0.0


def test_aborted_requests_are_debt_when_they_end() -> None:
    charges = ConnectionAccount()
    for _ in range(100):
        charges.open_request()
        charges.charge(costs.REQUEST)
    assert charges.account.debt == 0.0
    for _ in range(100):
        charges.close_request()
    # Pending may still be the cost of the next request.
    assert charges.account.debt == 100 * costs.REQUEST - REQUEST_ALLOWANCE
    charges.close()
    assert charges.account.debt == 100 * costs.REQUEST


def test_delivered_bytes_pay_for_a_request_that_is_aborted() -> None:
    charges = ConnectionAccount()
    charges.charge_setup(costs.ACCEPT)
    charges.charge(costs.REQUEST)
    charges.pay((1 << 20) * costs.DELIVERED_BYTE)
    charges.close()
    assert charges.account.debt == 0.0


def test_a_connection_without_a_finished_request_is_debt_and_one_with_is_not() -> None:
    account = ClientAccount()
    idle, useful = ConnectionAccount(account), ConnectionAccount(account)
    for charges in (idle, useful):
        charges.charge_setup(costs.ACCEPT)
        charges.charge_setup(costs.HANDSHAKE)
        charges.charge(costs.REQUEST)
    useful.credit_request()
    useful.charge(costs.RECEIVE)
    useful.close()
    assert account.debt == 0.0
    idle.close()
    assert account.debt == costs.ACCEPT + costs.HANDSHAKE + costs.REQUEST


def test_a_cost_beyond_the_allowance_is_debt_at_once() -> None:
    charges = ConnectionAccount()
    charges.charge(REQUEST_ALLOWANCE)
    assert charges.account.debt == 0.0
    charges.charge(50.0)
    assert charges.account.debt == charges.owed == 50.0


def test_no_connection_pays_for_another() -> None:
    account = ClientAccount()
    harmful, useful = ConnectionAccount(account), ConnectionAccount(account)
    harmful.charge(MAX_DEBT)
    debt = account.debt
    for _ in range(1000):
        useful.charge(costs.REQUEST)
        useful.credit_request()
        useful.pay(1e6)
    assert account.debt == debt


def test_the_first_finished_request_pays_for_the_setup() -> None:
    charges = ConnectionAccount()
    charges.charge_setup(costs.ACCEPT)
    charges.charge_setup(costs.HANDSHAKE)
    charges.charge(REQUEST_ALLOWANCE)
    charges.credit_request()
    assert charges.pending == charges.owed == charges.account.debt == 0.0
    charges.charge(2 * REQUEST_ALLOWANCE)
    charges.credit_request()
    assert charges.owed == REQUEST_ALLOWANCE


def test_a_connection_is_closed_for_what_it_owes_itself() -> None:
    """Another connection of that client, which owes little, stays open."""
    account = ClientAccount()
    harmful, honest = ConnectionAccount(account), ConnectionAccount(account)
    harmful.charge(MAX_DEBT)
    honest.charge(MAX_OWED / 2)
    assert harmful.over_limit and not honest.over_limit


@pytest.mark.parametrize("count", [1, 2, 10])
def test_a_flood_is_ended_however_many_connections_it_uses(count: int) -> None:
    """Each second the connections use the time between their pauses, which is the least they can get."""
    account = ClientAccount()
    connections = [ConnectionAccount(account) for _ in range(count)]
    for second in range(60):
        for charges in connections:
            charges.settle(float(second))
            charges.charge(1e6 / (1 + MAX_PAUSE_FACTOR) / count)
        if all(charges.over_limit for charges in connections):
            return
    pytest.fail(f"after a minute they owe {[charges.owed for charges in connections]}, and all together {account.debt}")


def test_a_browser_that_cancels_images_is_not_in_debt() -> None:
    """For a minute, 100 images a second are cancelled by scrolling, and 100 are finished."""
    cancelled = costs.FRAME[1] + costs.REQUEST + 600 * costs.DECODED_BYTE + costs.FRAME[3] + costs.RESET
    charges = ConnectionAccount()
    for second in range(60):
        charges.settle(float(second))
        for _ in range(100):
            charges.open_request()
            charges.charge(cancelled)
            charges.close_request()
        assert not charges.account.pause_factor and not charges.over_limit
        for _ in range(100):
            charges.open_request()
            charges.charge(costs.REQUEST)
            charges.credit_request()
            charges.close_request()


def test_a_proxy_is_never_in_debt() -> None:
    charges = ConnectionAccount(ClientAccount(exempt=True))
    charges.charge(100 * MAX_DEBT)
    assert not charges.account.pause_factor and not charges.account.over_limit and not charges.over_limit


def test_a_connection_that_turns_out_to_be_another_clients_moves_its_debt() -> None:
    seeming, true = ClientAccount(), ClientAccount()
    charges = ConnectionAccount(seeming)
    charges.charge(REQUEST_ALLOWANCE + 700.0)
    charges.transfer_to(true)
    assert (seeming.debt, true.debt, charges.account) == (0.0, 700.0, true)
    charges.close()
    assert (seeming.debt, true.debt) == (0.0, REQUEST_ALLOWANCE + 700.0)


def test_a_connection_that_is_evicted_before_any_work_owes_nothing() -> None:
    owing, evicted = ClientAccount(), ClientAccount()
    for account in (owing, evicted):
        charges = ConnectionAccount(account)
        charges.charge_setup(150.0)
        if account is evicted:
            charges.drop_pending()
        charges.close()
    assert (owing.debt, evicted.debt) == (150.0, 0.0)


def test_where_all_are_exempt_no_client_is_ever_in_debt() -> None:
    accounts = ClientAccounts(exempt_all=True)
    charges = ConnectionAccount(accounts.get("192.0.2.1"))
    charges.charge(1e9)
    assert not charges.account.pause_factor and not charges.over_limit and len(accounts) == 0
