"""The rate at which slots are returned, and Retry-After (RFC 9110 section 10.2.3)."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.flow.retry_after import MEMORY_SECONDS, MOST_SECONDS, SlotReleaseRate, retry_after

rates = st.floats(0, allow_nan=False)
positions = st.integers(0, 10**6)
jitters = st.floats(0, 1, exclude_max=True)


def after(instants: list[float], since: float = 0.0) -> SlotReleaseRate:
    released = SlotReleaseRate(since)
    for instant in instants:
        released.add(instant)
    return released


@pytest.mark.parametrize("rate", [0.05, 0.5, 10.0])
@pytest.mark.parametrize("seconds", [100.0, 3000.0])
def test_a_steady_rate_is_measured_soon_after_the_start_and_long_after(rate: float, seconds: float) -> None:
    released = after([at / rate for at in range(1, int(seconds * rate) + 1)])
    assert released.per_second(seconds) == pytest.approx(rate, rel=0.25)


def test_slots_returned_at_one_instant_count_like_as_many_within_seconds() -> None:
    burst, spread = after([500.0] * 100), after([495.0 + at / 10 for at in range(100)])
    assert burst.per_second(510.0) == pytest.approx(spread.per_second(510.0), rel=0.05)
    assert burst.per_second(500.0) < 100 / MEMORY_SECONDS * 1.01


def test_the_rate_falls_in_a_silence_without_an_event() -> None:
    released = after([at / 10 for at in range(6000)])
    rates = [released.per_second(600.0 + silence) for silence in (0, 1, 10, 60, 600, 3600, 10**9)]
    assert rates == sorted(rates, reverse=True)
    assert rates[3] == pytest.approx(10 / math.e, rel=0.05)
    assert rates[-1] == 0.0


def test_the_rate_follows_a_change_within_minutes() -> None:
    released = after([at / 10 for at in range(6000)] + [600.0 + 2 * at for at in range(180)])
    assert released.per_second(960.0) == pytest.approx(0.5, rel=0.2)


def test_the_rate_is_unknown_before_the_first_slot_is_returned() -> None:
    assert SlotReleaseRate(100.0).per_second(100.0) == SlotReleaseRate(100.0).per_second(1e6) == 0.0


def test_one_slot_right_after_the_start_is_at_most_one_a_second() -> None:
    assert after([5.0001], since=5.0).per_second(5.0002) == pytest.approx(1.0, rel=0.02)


def test_an_instant_before_the_last_one_counts_as_the_last() -> None:
    released = after([10.0, 9.0])
    assert (released.at, released.count) == (10.0, 2.0)
    assert released.per_second(9.0) > 0


@given(st.lists(st.floats(0, 1e9), max_size=50).map(sorted), st.floats(0, 1e9))
def test_every_history_gives_a_valid_rate(instants: list[float], later: float) -> None:
    released = after(instants)
    rate = released.per_second((instants or [0.0])[-1] + later)
    assert 0.0 <= rate <= 1.01 * len(instants)


@pytest.mark.parametrize(
    ("rate", "position", "jitter", "seconds"),
    [
        (10.0, 0, 0.0, 1),
        (10.0, 0, 0.99, 2),
        (10.0, 5, 0.0, 1),
        (10.0, 100, 0.0, 10),
        (10.0, 101, 0.0, 11),  # rounded up, as coming too soon is useless
        (10.0, 100, 0.5, 13),
        (10.0, 100, 0.999, 15),
        (0.1, 3, 0.0, 30),
        (0.1, 1000, 0.0, 400),  # two thirds of ten minutes, so that jitter spreads it
        (0.1, 1000, 0.5, 500),
        (0.1, 1000, 0.999, 600),
        (0.0, 0, 0.0, 400),
        (0.0, 7, 0.999, 600),
        (math.inf, 7, 0.0, 1),
        (math.nan, 7, 0.0, 400),
        (5e-324, 10**6, 0.0, 400),
    ],
)
def test_the_time_is_that_in_which_the_requests_before_get_slots(
    rate: float, position: int, jitter: float, seconds: int
) -> None:
    assert retry_after(rate, position, jitter) == seconds


@given(rates, positions, jitters)
def test_the_time_is_between_a_second_and_ten_minutes(rate: float, position: int, jitter: float) -> None:
    assert 1 <= retry_after(rate, position, jitter) <= MOST_SECONDS


@given(rates, positions, positions, jitters)
def test_a_higher_position_never_gives_a_shorter_time(rate: float, one: int, other: int, jitter: float) -> None:
    nearer, further = sorted((one, other))
    assert retry_after(rate, nearer, jitter) <= retry_after(rate, further, jitter)


@given(rates, rates, positions, jitters)
def test_a_faster_rate_never_gives_a_longer_time(one: float, other: float, position: int, jitter: float) -> None:
    slower, faster = sorted((one, other))
    if slower > 0:
        assert retry_after(faster, position, jitter) <= retry_after(slower, position, jitter)


@given(st.floats(0.0, 0.5), st.integers(60, 10**6))
def test_clients_rejected_together_are_spread_over_half_their_wait(rate: float, position: int) -> None:
    times = {retry_after(rate, position, at / 200) for at in range(200)}
    assert max(times) >= 1.45 * min(times)
    assert len(times) >= 50
