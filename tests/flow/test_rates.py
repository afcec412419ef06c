"""Rates are kept over any time, together and by client; what one does not use is there for the others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.flow.rates import Bucket, Rates

BURST = 64 * 1024
LEAST_TAKE = 8 * 1024


class Downloads:
    """Greedy downloads on a clock of their own: each takes what it may and rests for as long as it is told."""

    def __init__(self, rates: Rates, *clients: str) -> None:
        self.rates = rates
        self.clients = clients
        self.taken = dict.fromkeys(range(len(clients)), 0)
        self.wakes = dict.fromkeys(range(len(clients)), 0.0)
        self.now = 0.0
        for client in clients:
            rates.join(client, self.now)

    def run(self, seconds: float, *, idle: frozenset[int] = frozenset()) -> None:
        until = self.now + seconds
        for each in self.wakes:
            self.wakes[each] = max(self.wakes[each], self.now)
        while True:
            each = min((each for each in self.wakes if each not in idle), key=lambda each: self.wakes[each])
            if self.wakes[each] > until:
                break
            self.now = self.wakes[each]
            allowed, rest = self.rates.allowance(self.clients[each], self.now)
            assert (allowed > 0) is (rest == 0.0)
            count = min(allowed, 200_000)
            self.rates.took(self.clients[each], count)
            self.taken[each] += count
            self.wakes[each] = self.now + max(rest, 1e-3)  # as by a timer: never at once
        self.now = until


@given(
    rate=st.floats(20_000, 1e9),
    steps=st.lists(st.tuples(st.floats(0, 2), st.integers(0, 300_000)), min_size=1, max_size=40),
)
def test_over_any_time_no_more_goes_than_the_rate_and_one_burst(rate: float, steps: list[tuple[float, int]]) -> None:
    rates = Rates(rate)
    rates.join("a", 0.0)
    burst = max(BURST, rate * 0.05)
    now, went = 0.0, [(0.0, 0)]
    for seconds, wanted in steps:
        now += seconds
        allowed, rest = rates.allowance("a", now)
        taken = min(wanted, allowed)
        rates.took("a", taken)
        went.append((now, taken))
        if rest:  # who rests for as long finds some
            assert rates.allowance("a", now + rest + 1e-6)[0] >= LEAST_TAKE - 1
    for first, (since, _) in enumerate(went):
        total = 0
        for at, taken in went[first:]:
            total += taken
            assert total <= rate * (at - since) + burst + 1 + rate * 2e-6


@pytest.mark.parametrize("rate", [50_000.0, 1e6, 3e7])
def test_greedy_downloads_get_the_whole_rate_together_and_no_more(rate: float) -> None:
    downloads = Downloads(Rates(rate), "a", "b", "c")
    downloads.run(20.0)
    assert 0.98 * rate * 20 <= sum(downloads.taken.values()) <= rate * 20 + max(BURST, rate * 0.05)


def test_each_client_has_its_own_rate_however_many_downloads_it_has() -> None:
    downloads = Downloads(Rates(None, 1e6), "a", "a", "a", "b")
    downloads.run(10.0)
    assert sum(downloads.taken[each] for each in range(3)) == pytest.approx(1e7, rel=0.02)
    assert downloads.taken[3] == pytest.approx(1e7, rel=0.02)


def test_what_one_does_not_use_the_others_get() -> None:
    downloads = Downloads(Rates(None, 1e6), "a", "a")
    downloads.run(10.0, idle=frozenset({0}))
    assert downloads.taken[0] == 0
    assert downloads.taken[1] == pytest.approx(1e7, rel=0.02)


def test_of_two_rates_the_lower_one_holds() -> None:
    downloads = Downloads(Rates(1.5e6, 1e6), "a", "b")
    downloads.run(10.0)
    assert sum(downloads.taken.values()) == pytest.approx(1.5e7, rel=0.02)
    alone = Downloads(Rates(1.5e6, 1e6), "a")
    alone.run(10.0)
    assert alone.taken[0] == pytest.approx(1e7, rel=0.02)


@pytest.mark.parametrize("before", [(None, None), (5e6, None), (None, 5e6), (2e5, 2e5)])
@pytest.mark.parametrize("after", [(1e6, None), (None, 1e6), (1e6, 1e6)])
def test_other_rates_hold_at_once_for_who_runs(
    before: tuple[float | None, float | None], after: tuple[float | None, float | None]
) -> None:
    rates = Rates(*before)
    downloads = Downloads(rates, "a")
    if rates.bound:
        downloads.run(5.0)
    had = downloads.taken[0]
    rates.change(*after, downloads.now)
    downloads.run(10.0)
    assert downloads.taken[0] - had == pytest.approx(1e7, rel=0.03)
    rates.leave("a")
    assert rates._of_client == {}


def test_a_rate_that_is_the_same_after_a_change_gives_no_second_burst() -> None:
    rates = Rates(1e5, 1e5)
    downloads = Downloads(rates, "a")
    downloads.run(1.0)
    before = rates.allowance("a", downloads.now)[0]
    rates.change(1e5, 1e5, downloads.now)
    assert rates.allowance("a", downloads.now)[0] == before < BURST // 2


def test_without_rates_there_is_no_bound() -> None:
    rates = Rates()
    rates.join("a", 0.0)
    assert not rates.bound
    allowed, rest = rates.allowance("a", 0.0)
    assert allowed >= 1 << 40 and rest == 0.0


def test_a_client_is_forgotten_with_its_last_download() -> None:
    """What would be kept of all who ever came would grow without bound; a client's burst is worth that little."""
    rates = Rates(None, 1e6)
    rates.join("a", 0.0)
    rates.join("a", 0.0)
    rates.leave("a")
    assert rates.bound and "a" in rates._of_client
    rates.leave("a")
    assert rates._of_client == {}


@given(st.floats(1, 1e10), st.lists(st.floats(0, 100), max_size=10))
def test_a_bucket_never_holds_more_than_a_short_whiles_worth(rate: float, seconds: list[float]) -> None:
    bucket, now = Bucket(rate, 0.0), 0.0
    for each in seconds:
        now += each
        assert bucket.free(now) <= max(BURST, rate * 0.05)
