"""Limit the rate of all downloads together, and of each client's, with token buckets (compare RFC 2697).

**Goal.** Downloads share a rate. What one does not use, the others get. SO_MAX_PACING_RATE (socket(7)) on each socket
would not allow this (decision 008).

**Invariant.** In any interval, bytes sent are at most rate x time, plus one burst.

**Rules.**

1. A bucket fills at its rate. It holds 50 ms of it, or 64 KiB if that is more.
2. A download that finds less than 8 KiB pauses until there is that much, because smaller calls cost too much.
3. A client's bucket exists while it has downloads, so that memory does not grow with past clients.

**Left out.** Order: the poller's round robin decides which download takes tokens first. Several workers share rates in
:mod:`freight.workers.shared.rate_limit`.
"""

from __future__ import annotations

from freight.fair_queue import Key

BURST_SECONDS = 0.05  # long enough for several calls, and too short to be noticed
MIN_BURST_BYTES = 64 * 1024
MIN_GRANT_BYTES = 8 * 1024
MAX_GRANT_BYTES = 1 << 40  # more than any call


class TokenBucket:
    """One token is one byte. ``rate``: tokens a second; ``downloads``: how many use it."""

    __slots__ = ("_capacity", "_tokens", "_updated_at", "downloads", "rate")

    def __init__(self, rate: float, now: float) -> None:
        self.rate = rate
        self.downloads = 0
        self._capacity = max(MIN_BURST_BYTES, rate * BURST_SECONDS)
        self._tokens = self._capacity
        self._updated_at = now

    def available(self, now: float) -> float:
        """Return the number of tokens. It is negative after a call that took more than there were."""
        self._tokens = min(self._capacity, self._tokens + (now - self._updated_at) * self.rate)
        self._updated_at = now
        return self._tokens

    def take(self, count: int) -> None:
        """Spend tokens."""
        self._tokens -= count


class RateLimiter:
    """A bucket for all downloads and one for each client that has any. Rates are in bytes a second; None: no limit."""

    def __init__(self, rate: float | None = None, client_rate: float | None = None) -> None:
        self._total: TokenBucket | None = None
        # Without a client rate the buckets only count downloads.
        self._by_client: dict[Key, TokenBucket] = {}
        self._client_rate: float | None = None
        self.set_rates(rate, client_rate, 0.0)

    def set_rates(self, rate: float | None, client_rate: float | None, now: float) -> None:
        """Apply other rates at once, to running downloads too."""
        if rate is None or self._total is None or self._total.rate != rate:
            self._total = None if rate is None else TokenBucket(rate, now)
        if client_rate != self._client_rate:
            self._client_rate = client_rate
            for key, bucket in self._by_client.items():
                fresh = TokenBucket(client_rate or 1.0, now)
                fresh.downloads = bucket.downloads
                self._by_client[key] = fresh

    @property
    def is_limited(self) -> bool:
        """Whether there is any limit."""
        return self._total is not None or self._client_rate is not None

    def join(self, key: Key, now: float) -> None:
        """Add one download of a client."""
        bucket = self._by_client.get(key)
        if bucket is None:
            bucket = self._by_client[key] = TokenBucket(self._client_rate or 1.0, now)
        bucket.downloads += 1

    def leave(self, key: Key) -> None:
        """Remove one download of a client. The last one removes its bucket."""
        bucket = self._by_client[key]
        bucket.downloads -= 1
        if not bucket.downloads:
            del self._by_client[key]

    def allowance(self, key: Key, now: float) -> tuple[int, float]:
        """Return how many bytes a download may send now. If it is 0, also return how many seconds to pause."""
        grant, pause = float(MAX_GRANT_BYTES), 0.0
        for bucket in self._buckets(key):
            available = bucket.available(now)
            grant = min(grant, available)
            if available < MIN_GRANT_BYTES:
                pause = max(pause, (MIN_GRANT_BYTES - available) / bucket.rate)
        return (0, pause) if pause else (int(grant), 0.0)

    def record(self, key: Key, count: int, now: float) -> None:
        """Spend ``count`` bytes that a client's download has sent."""
        for bucket in self._buckets(key):
            bucket.take(count)

    def _buckets(self, key: Key) -> list[TokenBucket]:
        of_client = self._by_client.get(key) if self._client_rate is not None else None
        return [bucket for bucket in (self._total, of_client) if bucket is not None]
