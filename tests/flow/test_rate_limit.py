"""Rates hold over any interval, in total and by client. What one download does not use, the others get."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.flow.rate_limit import RateLimiter, TokenBucket

BURST = 64 * 1024
LEAST_TAKE = 8 * 1024


class Downloads:
    """Downloads on a simulated clock: each sends its whole allowance, and pauses as long as it must."""

    def __init__(self, rates: RateLimiter, *clients: str) -> None:
        self.rates = rates
        self.clients = clients
        self.sent = dict.fromkeys(range(len(clients)), 0)
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
            allowed, pause = self.rates.allowance(self.clients[each], self.now)
            assert (allowed > 0) is (pause == 0.0)
            count = min(allowed, 200_000)
            self.rates.record(self.clients[each], count, self.now)
            self.sent[each] += count
            self.wakes[each] = self.now + max(pause, 1e-3)  # a timer never fires at once
        self.now = until


@given(
    rate=st.floats(20_000, 1e9),
    steps=st.lists(st.tuples(st.floats(0, 2), st.integers(0, 300_000)), min_size=1, max_size=40),
)
def test_over_any_interval_at_most_the_rate_and_one_burst_are_sent(rate: float, steps: list[tuple[float, int]]) -> None:
    rates = RateLimiter(rate)
    rates.join("a", 0.0)
    burst = max(BURST, rate * 0.05)
    now, sent = 0.0, [(0.0, 0)]
    for seconds, wanted in steps:
        now += seconds
        allowed, pause = rates.allowance("a", now)
        count = min(wanted, allowed)
        rates.record("a", count, now)
        sent.append((now, count))
        if pause:  # after that time there are tokens
            assert rates.allowance("a", now + pause + 1e-6)[0] >= LEAST_TAKE - 1
    for first, (since, _) in enumerate(sent):
        total = 0
        for at, count in sent[first:]:
            total += count
            assert total <= rate * (at - since) + burst + 1 + rate * 2e-6


@pytest.mark.parametrize("rate", [50_000.0, 1e6, 3e7])
def test_downloads_together_get_the_whole_rate_and_no_more(rate: float) -> None:
    downloads = Downloads(RateLimiter(rate), "a", "b", "c")
    downloads.run(20.0)
    assert 0.98 * rate * 20 <= sum(downloads.sent.values()) <= rate * 20 + max(BURST, rate * 0.05)


def test_each_client_has_its_own_rate_however_many_downloads_it_has() -> None:
    downloads = Downloads(RateLimiter(None, 1e6), "a", "a", "a", "b")
    downloads.run(10.0)
    assert sum(downloads.sent[each] for each in range(3)) == pytest.approx(1e7, rel=0.02)
    assert downloads.sent[3] == pytest.approx(1e7, rel=0.02)


def test_what_one_download_does_not_use_the_others_get() -> None:
    downloads = Downloads(RateLimiter(None, 1e6), "a", "a")
    downloads.run(10.0, idle=frozenset({0}))
    assert downloads.sent[0] == 0
    assert downloads.sent[1] == pytest.approx(1e7, rel=0.02)


def test_of_two_rates_the_lower_one_holds() -> None:
    downloads = Downloads(RateLimiter(1.5e6, 1e6), "a", "b")
    downloads.run(10.0)
    assert sum(downloads.sent.values()) == pytest.approx(1.5e7, rel=0.02)
    alone = Downloads(RateLimiter(1.5e6, 1e6), "a")
    alone.run(10.0)
    assert alone.sent[0] == pytest.approx(1e7, rel=0.02)


@pytest.mark.parametrize("before", [(None, None), (5e6, None), (None, 5e6), (2e5, 2e5)])
@pytest.mark.parametrize("after", [(1e6, None), (None, 1e6), (1e6, 1e6)])
def test_other_rates_apply_at_once_to_running_downloads(
    before: tuple[float | None, float | None], after: tuple[float | None, float | None]
) -> None:
    rates = RateLimiter(*before)
    downloads = Downloads(rates, "a")
    if rates.is_limited:
        downloads.run(5.0)
    had = downloads.sent[0]
    rates.set_rates(*after, downloads.now)
    downloads.run(10.0)
    assert downloads.sent[0] - had == pytest.approx(1e7, rel=0.03)
    rates.leave("a")
    assert rates._by_client == {}


def test_setting_the_same_rate_again_gives_no_second_burst() -> None:
    rates = RateLimiter(1e5, 1e5)
    downloads = Downloads(rates, "a")
    downloads.run(1.0)
    before = rates.allowance("a", downloads.now)[0]
    rates.set_rates(1e5, 1e5, downloads.now)
    assert rates.allowance("a", downloads.now)[0] == before < BURST // 2


def test_without_rates_there_is_no_limit() -> None:
    rates = RateLimiter()
    rates.join("a", 0.0)
    assert not rates.is_limited
    allowed, pause = rates.allowance("a", 0.0)
    assert allowed >= 1 << 40 and pause == 0.0


def test_a_client_is_forgotten_with_its_last_download() -> None:
    """Otherwise memory would grow with all past clients. The price is one more burst."""
    rates = RateLimiter(None, 1e6)
    rates.join("a", 0.0)
    rates.join("a", 0.0)
    rates.leave("a")
    assert rates.is_limited and "a" in rates._by_client
    rates.leave("a")
    assert rates._by_client == {}


@given(st.floats(1, 1e10), st.lists(st.floats(0, 100), max_size=10))
def test_a_bucket_never_holds_more_than_one_burst(rate: float, seconds: list[float]) -> None:
    bucket, now = TokenBucket(rate, 0.0), 0.0
    for each in seconds:
        now += each
        assert bucket.available(now) <= max(BURST, rate * 0.05)
