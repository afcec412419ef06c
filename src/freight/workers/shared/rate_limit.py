"""Rate limits over several workers: what one worker has sent counts for all at once.

A limit is one number, the moment until which its rate is used up. That is the virtual scheduling algorithm of ITU-T
I.371, which is equivalent to a token bucket. Each client has two such numbers, among HASH_SLOTS that all clients share,
and the earlier one decides. So a client is slowed down by others only if it shares both numbers with busy clients.
"""

from __future__ import annotations

from collections.abc import Iterator

from freight.fair_queue import Key
from freight.flow.rate_limit import BURST_SECONDS, MIN_BURST_BYTES, MIN_GRANT_BYTES, RateLimiter
from freight.workers.shared.state import GlobalColumn, SharedState, hash_slots_of

_SECOND = 1_000_000_000
_UNLIMITED_BYTES = 1 << 40
_TOTAL = (GlobalColumn.RATE_USED_UNTIL,)


class SharedRateLimiter(RateLimiter):
    """A rate limiter whose buckets are those of all workers."""

    def __init__(self, rate: float | None, client_rate: float | None, state: SharedState) -> None:
        self._state = state
        self._rate: float | None = None
        self._global_row = state.global_row
        self._hash_slots = state.hash_slots(state.worker_count)
        super().__init__(rate, client_rate)

    def set_rates(self, rate: float | None, client_rate: float | None, now: float) -> None:
        self._rate, self._client_rate = rate, client_rate

    @property
    def is_limited(self) -> bool:
        return self._rate is not None or self._client_rate is not None

    def join(self, key: Key, now: float) -> None:
        """Do nothing: a hash slot needs no owner."""

    def leave(self, key: Key) -> None:
        """Do nothing: a hash slot needs no owner."""

    def allowance(self, key: Key, now: float) -> tuple[int, float]:
        allowed, wait_seconds = float("inf"), 0.0
        for rate, numbers, slots in self._limits(key):
            used_until = min(numbers[slot] for slot in slots) / _SECOND
            free = (now - max(used_until, now - _burst(rate) / rate)) * rate
            allowed = min(allowed, free)
            if free < MIN_GRANT_BYTES:
                wait_seconds = max(wait_seconds, (MIN_GRANT_BYTES - free) / rate)
        return (0, wait_seconds) if wait_seconds else (int(min(allowed, _UNLIMITED_BYTES)), 0.0)

    def record(self, key: Key, count: int, now: float) -> None:
        with self._state:
            for rate, numbers, slots in self._limits(key):
                earliest = now - _burst(rate) / rate
                for slot in set(slots):
                    numbers[slot] = int((max(earliest, numbers[slot] / _SECOND) + count / rate) * _SECOND)

    def _limits(self, key: Key) -> Iterator[tuple[float, memoryview[int], tuple[int, ...]]]:
        """Yield each rate that limits a client, and where the moments are until which it is used up."""
        if self._rate is not None:
            yield self._rate, self._global_row, _TOTAL
        if self._client_rate is not None:
            yield self._client_rate, self._hash_slots, hash_slots_of(key)


def _burst(rate: float) -> float:
    return max(MIN_BURST_BYTES, rate * BURST_SECONDS)
