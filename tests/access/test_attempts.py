"""Failures to sign in, by client: some are free, then answers are slower, then nothing is checked for a while."""

from __future__ import annotations

from freight.access.attempts import FORGET_SECONDS, FREE, MAX_CLIENTS, MOST, Attempts


def fail(attempts: Attempts, client: str = "a", now: float = 0.0) -> float:
    attempts.begin(client, now)
    return attempts.end(client, now, failed=True)


def test_the_first_failures_are_answered_at_once_and_each_further_one_later() -> None:
    attempts = Attempts()
    delays = [fail(attempts) for _ in range(MOST)]
    assert delays[:FREE] == [0.0] * FREE
    assert delays[FREE:] == sorted(set(delays[FREE:]))
    assert 0 < delays[FREE] < delays[-1] <= 1.0


def test_after_many_failures_a_client_must_wait_and_others_need_not() -> None:
    attempts = Attempts()
    for _ in range(MOST - 1):
        fail(attempts)
        assert attempts.wait_seconds("a", 0.0) == 0
    fail(attempts)
    assert attempts.wait_seconds("a", 0.0) == FORGET_SECONDS
    assert attempts.wait_seconds("b", 0.0) == 0
    assert attempts.wait_seconds("a", FORGET_SECONDS - 0.5) == 1
    assert attempts.wait_seconds("a", FORGET_SECONDS) == 0


def test_in_the_long_run_a_client_has_one_attempt_in_each_interval() -> None:
    attempts, tried = Attempts(), 0
    for second in range(3600):
        while not attempts.wait_seconds("a", float(second)):
            fail(attempts, "a", float(second))
            tried += 1
    assert tried <= MOST + 3600 / FORGET_SECONDS


def test_attempts_that_are_being_checked_count() -> None:
    attempts = Attempts()
    for _ in range(MOST):
        assert not attempts.wait_seconds("a", 0.0)
        attempts.begin("a", 0.0)
    assert attempts.wait_seconds("a", 0.0)
    for _ in range(MOST):
        attempts.end("a", 0.0, failed=False)
    assert not attempts.wait_seconds("a", 0.0)
    assert len(attempts) == 0  # a client that never failed is not remembered


def test_a_success_does_not_pay_for_failures() -> None:
    attempts = Attempts()
    for _ in range(MOST):
        attempts.begin("a", 0.0)
        attempts.end("a", 0.0, failed=False)
        fail(attempts)
    assert attempts.wait_seconds("a", 0.0)


def test_a_bounded_number_of_clients_is_remembered_those_that_failed_last() -> None:
    attempts = Attempts()
    for _ in range(MOST):
        fail(attempts, "first")
    for number in range(MAX_CLIENTS - 1):
        fail(attempts, f"c{number}")
    assert attempts.wait_seconds("first", 0.0)
    attempts.begin("one more", 0.0)
    assert len(attempts) == MAX_CLIENTS
    assert not attempts.wait_seconds("first", 0.0)
    assert attempts.end("first", 0.0, failed=True) == 0.0  # one that was forgotten while its attempt was checked
