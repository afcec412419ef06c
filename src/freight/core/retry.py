"""When to come back: the rate at which slots come free, and Retry-After (RFC 9110 section 10.2.3) reckoned from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

MEMORY_SECONDS = 60.0
"""After this time a slot that came free counts for 1/e: waits are of minutes at most, and so is what they are from."""

MOST_SECONDS = 600
"""The longest that a client is sent away for: by then the rate is another one."""

_LEAST_WATCHED_SECONDS = 1.0  # one slot given back a millisecond after the start is not a thousand a second
_SPREAD = 0.5


@dataclass(frozen=True, slots=True)
class Freed:
    """How fast slots come free: a count of them in which each is worth ``exp(-age / MEMORY_SECONDS)``.

    A count and not a mean of the gaps between them: many at one instant add up to what they are, and in a silence it
    falls towards 0 without anything having to happen. It is over the time that was watched, which fades alike, so that
    a server that has just started is not slow by reckoning. ``since`` is when watching began and ``at`` when ``count``
    was true, in seconds of a clock that never goes back; ``Freed(now)`` has seen none.
    """

    since: float
    at: float = -math.inf
    count: float = 0.0

    def free(self, now: float) -> Freed:
        """The same with one slot more, given back now. O(1)."""
        return replace(self, at=max(now, self.at), count=self._faded(now) + 1.0)

    def per_second(self, now: float) -> float:
        """Slots that come free in a second, as of now; 0.0 when there was none yet, or none for very long."""
        watched = max(now - self.since, _LEAST_WATCHED_SECONDS)
        return self._faded(now) / (MEMORY_SECONDS * -math.expm1(-watched / MEMORY_SECONDS))

    def _faded(self, now: float) -> float:
        return self.count * math.exp(-max(now - self.at, 0.0) / MEMORY_SECONDS)


def retry_after(
    rate_per_second: float, place: int, jitter: float, *, least_seconds: int = 1, most_seconds: int = MOST_SECONDS
) -> int:
    """Whole seconds to stay away, for Retry-After (RFC 9110 section 10.2.3): ``place`` others are served by then.

    ``jitter``, in [0, 1), is drawn by the caller for each answer and stretches the wait, up to one and a half times:
    those who are turned away in one second must not all come back in one. The upper bound is kept by stretching from
    two thirds of it, as a crowd that is told the same bound is a crowd again. Less than a second would be no pause;
    more than ten minutes is more than the rate of now can tell, and a slot may be free much sooner. A rate of 0
    (nothing is known, or nothing came free for long) gives the longest wait. Never less for a higher ``place``.
    """
    longest = most_seconds / (1.0 + _SPREAD)
    wait = min(place / rate_per_second, longest) if rate_per_second > 0.0 else longest
    return min(math.ceil(max(wait, least_seconds) * (1.0 + _SPREAD * jitter)), most_seconds)
