"""How fast slots come free, and when to come back: RFC 9110 section 10.2.3."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.core.retry import MEMORY_SECONDS, MOST_SECONDS, Freed, retry_after

rates = st.floats(0, allow_nan=False)
places = st.integers(0, 10**6)
jitters = st.floats(0, 1, exclude_max=True)


def after(instants: list[float], since: float = 0.0) -> Freed:
    freed = Freed(since)
    for instant in instants:
        freed = freed.free(instant)
    return freed


@pytest.mark.parametrize("rate", [0.05, 0.5, 10.0])
@pytest.mark.parametrize("seconds", [100.0, 3000.0])
def test_a_steady_rate_is_told_soon_after_the_start_and_long_after(rate: float, seconds: float) -> None:
    freed = after([at / rate for at in range(1, int(seconds * rate) + 1)])
    assert freed.per_second(seconds) == pytest.approx(rate, rel=0.25)


def test_slots_given_back_in_one_instant_count_like_as_many_spread_over_a_little_while() -> None:
    burst, spread = after([500.0] * 100), after([495.0 + at / 10 for at in range(100)])
    assert burst.per_second(510.0) == pytest.approx(spread.per_second(510.0), rel=0.05)
    assert burst.per_second(500.0) < 100 / MEMORY_SECONDS * 1.01


def test_a_silence_lets_the_rate_fall_without_anything_happening() -> None:
    freed = after([at / 10 for at in range(6000)])
    rates = [freed.per_second(600.0 + silence) for silence in (0, 1, 10, 60, 600, 3600, 10**9)]
    assert rates == sorted(rates, reverse=True)
    assert rates[3] == pytest.approx(10 / math.e, rel=0.05)
    assert rates[-1] == 0.0


def test_the_rate_follows_a_change_within_minutes() -> None:
    freed = after([at / 10 for at in range(6000)] + [600.0 + 2 * at for at in range(180)])
    assert freed.per_second(960.0) == pytest.approx(0.5, rel=0.2)


def test_nothing_is_known_before_the_first_slot_comes_free() -> None:
    assert Freed(100.0).per_second(100.0) == Freed(100.0).per_second(1e6) == 0.0


def test_one_slot_right_after_the_start_is_one_a_second_at_most() -> None:
    assert after([5.0001], since=5.0).per_second(5.0002) == pytest.approx(1.0, rel=0.02)


def test_an_instant_before_the_last_one_counts_as_the_last() -> None:
    freed = after([10.0, 9.0])
    assert (freed.at, freed.count) == (10.0, 2.0)
    assert freed.per_second(9.0) > 0


@given(st.lists(st.floats(0, 1e9), max_size=50).map(sorted), st.floats(0, 1e9))
def test_no_history_gives_a_rate_that_is_none(instants: list[float], later: float) -> None:
    freed = after(instants)
    rate = freed.per_second((instants or [0.0])[-1] + later)
    assert 0.0 <= rate <= 1.01 * len(instants)


@pytest.mark.parametrize(
    ("rate", "place", "jitter", "seconds"),
    [
        (10.0, 0, 0.0, 1),
        (10.0, 0, 0.99, 2),
        (10.0, 5, 0.0, 1),
        (10.0, 100, 0.0, 10),
        (10.0, 101, 0.0, 11),  # a part of a second is waited for: coming too soon is in vain
        (10.0, 100, 0.5, 13),
        (10.0, 100, 0.999, 15),
        (0.1, 3, 0.0, 30),
        (0.1, 1000, 0.0, 400),  # two thirds of ten minutes, so that the others are told more
        (0.1, 1000, 0.5, 500),
        (0.1, 1000, 0.999, 600),
        (0.0, 0, 0.0, 400),
        (0.0, 7, 0.999, 600),
        (math.inf, 7, 0.0, 1),
        (math.nan, 7, 0.0, 400),
        (5e-324, 10**6, 0.0, 400),
    ],
)
def test_the_time_is_that_in_which_those_before_are_served(
    rate: float, place: int, jitter: float, seconds: int
) -> None:
    assert retry_after(rate, place, jitter) == seconds


def test_the_bounds_are_the_callers_where_it_has_others() -> None:
    assert retry_after(1.0, 0, 0.0, least_seconds=5) == 5
    assert retry_after(1.0, 10**6, 0.999, most_seconds=30) == 30
    assert retry_after(1.0, 10**6, 0.999, least_seconds=5, most_seconds=6) == 6


@given(rates, places, jitters)
def test_nobody_is_told_less_than_a_second_or_more_than_ten_minutes(rate: float, place: int, jitter: float) -> None:
    assert 1 <= retry_after(rate, place, jitter) <= MOST_SECONDS


@given(rates, places, places, jitters)
def test_nobody_is_told_less_for_standing_further_back(rate: float, one: int, other: int, jitter: float) -> None:
    nearer, further = sorted((one, other))
    assert retry_after(rate, nearer, jitter) <= retry_after(rate, further, jitter)


@given(rates, rates, places, jitters)
def test_nobody_is_told_more_when_slots_come_free_faster(one: float, other: float, place: int, jitter: float) -> None:
    slower, faster = sorted((one, other))
    if slower > 0:
        assert retry_after(faster, place, jitter) <= retry_after(slower, place, jitter)


@given(st.floats(0.0, 0.5), st.integers(60, 10**6))
def test_a_crowd_that_is_turned_away_at_once_is_spread_over_half_its_wait(rate: float, place: int) -> None:
    told = {retry_after(rate, place, at / 200) for at in range(200)}
    assert max(told) >= 1.45 * min(told)
    assert len(told) >= 50
