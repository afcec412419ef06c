"""Estimate when a rejected client should try again: Retry-After (RFC 9110 section 10.2.3).

**Goal.** A client that comes back after that time finds about as many slots returned as requests were before it.

**Rules.**

1. The rate at which slots are returned is measured for minutes, and each return counts for less as time passes.
2. The time is spread at random, so that clients that were rejected together do not come back together.
3. It is 1 second at least. It is 10 minutes at most, because the rate will be another one by then.

**Left out.** Nothing is reserved for a client that comes back. All is pure: the caller passes time and random number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MEMORY_SECONDS = 60.0
"""After this time a returned slot counts for 1/e, because waits last minutes at most."""

MOST_SECONDS = 600
"""The longest Retry-After, in seconds."""

_MIN_OBSERVED_SECONDS = 1.0  # one slot returned 1 ms after the start is not a rate of 1,000 a second
_SPREAD = 0.5


@dataclass(slots=True)
class SlotReleaseRate:
    """How fast slots are returned: a count in which each weighs ``exp(-age / MEMORY_SECONDS)``.

    Unlike a mean of intervals, a count adds up returns at one instant, and falls to 0 in a silence without a timer.
    It is divided by the observed time, weighted alike, so that the rate is right soon after the start.

    ``since`` is when observation began. ``at`` is when ``count`` was last computed. Both are in seconds of a monotonic
    clock. ``SlotReleaseRate(now)`` has seen none.
    """

    since: float
    at: float = -math.inf
    count: float = 0.0

    def add(self, now: float) -> None:
        """Count one more slot, returned now. O(1)."""
        self.count = self._decayed(now) + 1.0
        self.at = max(now, self.at)

    def per_second(self, now: float) -> float:
        """Return slots per second as of ``now``; 0.0 when none was returned, or none for very long."""
        observed = max(now - self.since, _MIN_OBSERVED_SECONDS)
        return self._decayed(now) / (MEMORY_SECONDS * -math.expm1(-observed / MEMORY_SECONDS))

    def _decayed(self, now: float) -> float:
        return self.count * math.exp(-max(now - self.at, 0.0) / MEMORY_SECONDS)


def retry_after(rate_per_second: float, position: int, jitter: float) -> int:
    """Return Retry-After in whole seconds: the time in which ``position`` requests get slots at this rate.

    The caller draws ``jitter``, in [0, 1), for each answer. It lengthens the wait by up to half. The longest wait
    before that is two thirds of MOST_SECONDS, so that clients at the upper bound are spread too. A rate of 0
    (unknown, or no slot for very long) gives the longest wait. A higher position never gives a shorter one.
    """
    longest = MOST_SECONDS / (1.0 + _SPREAD)
    wait = min(position / rate_per_second, longest) if rate_per_second > 0.0 else longest
    return min(math.ceil(max(wait, 1.0) * (1.0 + _SPREAD * jitter)), MOST_SECONDS)
