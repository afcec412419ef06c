"""How fast all, and one client's downloads together, may be: token buckets (RFC 2697 has the idea).

A bucket fills at its rate and holds a short while's worth; who finds it empty rests until it will have some. What one
download does not use is there for the others, which a pacing rate on each socket would not give (decision 008).
"""

from __future__ import annotations

from freight.core.line import Key

BURST_SECONDS = 0.05  # long enough for some calls, short enough that nobody sees a rate in steps
LEAST_BURST = 64 * 1024
LEAST_TAKE = 8 * 1024  # a call for less costs more than it moves


class Bucket:
    """Tokens are bytes. ``rate``: how many come in a second."""

    __slots__ = ("_at", "_most", "_tokens", "rate", "users")

    def __init__(self, rate: float, now: float) -> None:
        self.rate = rate
        self.users = 0
        self._most = max(LEAST_BURST, rate * BURST_SECONDS)
        self._tokens = self._most
        self._at = now

    def free(self, now: float) -> float:
        """How many tokens there are; fewer than none after a call that took more than there were."""
        self._tokens = min(self._most, self._tokens + (now - self._at) * self.rate)
        self._at = now
        return self._tokens

    def take(self, count: int) -> None:
        """Spend tokens."""
        self._tokens -= count


class Rates:
    """The bucket of all, and one for each client that has downloads; None of either: no bound."""

    def __init__(self, rate: float | None = None, client_rate: float | None = None) -> None:
        self._all: Bucket | None = None
        self._of_client: dict[Key, Bucket] = {}
        self._client_rate: float | None = None
        self.change(rate, client_rate, 0.0)

    def change(self, rate: float | None, client_rate: float | None, now: float) -> None:
        """Other rates from now on, for who runs too."""
        if rate is None or self._all is None or self._all.rate != rate:
            self._all = None if rate is None else Bucket(rate, now)
        if client_rate != self._client_rate:
            self._client_rate = client_rate
            for key, bucket in self._of_client.items():
                fresh = Bucket(client_rate or 1.0, now)
                fresh.users = bucket.users
                self._of_client[key] = fresh

    @property
    def bound(self) -> bool:
        """Whether there is any rate to keep."""
        return self._all is not None or self._client_rate is not None

    def join(self, key: Key, now: float) -> None:
        """One more download of a client."""
        bucket = self._of_client.get(key)
        if bucket is None:
            bucket = self._of_client[key] = Bucket(self._client_rate or 1.0, now)
        bucket.users += 1

    def leave(self, key: Key) -> None:
        """One less."""
        bucket = self._of_client[key]
        bucket.users -= 1
        if not bucket.users:
            del self._of_client[key]

    def allowance(self, key: Key, now: float) -> tuple[int, float]:
        """How many bytes may go now, and, when that is none, for how many seconds to rest."""
        most, rest = float("inf"), 0.0
        for bucket in self._buckets(key):
            free = bucket.free(now)
            most = min(most, free)
            if free < LEAST_TAKE:
                rest = max(rest, (LEAST_TAKE - free) / bucket.rate)
        return (0, rest) if rest else (int(min(most, 1 << 40)), 0.0)

    def took(self, key: Key, count: int, now: float = 0.0) -> None:
        """So many bytes have gone."""
        for bucket in self._buckets(key):
            bucket.take(count)

    def _buckets(self, key: Key) -> list[Bucket]:
        of_client = self._of_client.get(key) if self._client_rate is not None else None
        return [bucket for bucket in (self._all, of_client) if bucket is not None]
