"""PURE. Share a link and a disk among downloads: max-min fair, and none is faster than its client.

Downloads with equally fast clients, all from memory or all from the disk, form a *flow*: their rates are always equal.
A flow has one clock, which counts the bytes that each of them got. A download stores the value of the clock at its end.
So a change of rates costs time for each flow, not for each download.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Generic, TypeVar

T = TypeVar("T")

_ROUNDING_BYTES, _ROUNDING_PART = 0.5, 1e-15  # rounding errors of one download, and of large numbers


class Flow(Generic[T]):
    """Downloads with one rate. ``most``: the speed of their clients, in bytes per second; ``rate``: of each now."""

    __slots__ = ("_clock", "_ends", "_entry", "cold", "most", "rate")

    def __init__(self, most: float, cold: bool) -> None:
        self.most = most
        self.cold = cold
        self.rate = 0.0
        self._clock = 0.0
        self._entry = 0
        self._ends: list[tuple[float, int, T]] = []

    def __len__(self) -> int:
        return len(self._ends)

    def join(self, download: T, size_bytes: int) -> None:
        """Add a download of this many bytes."""
        self._entry += 1
        heappush(self._ends, (self._clock + size_bytes, self._entry, download))

    def advance(self, seconds: float) -> None:
        """Advance the clock by ``seconds``."""
        self._clock += self.rate * seconds

    def pop_complete(self, now: float) -> T | None:
        """Remove and return a complete download, or return None. ``now``, in seconds, scales the rounding tolerance."""
        if not self._ends:
            return None
        end = self._ends[0][0]
        if end - self._clock > _ROUNDING_BYTES + _ROUNDING_PART * (end + self.rate * now):
            return None
        ended = heappop(self._ends)[2]
        if not self._ends:
            self._clock = 0.0  # small values keep their precision
        return ended

    def seconds_left(self) -> float:
        """Return the time until the next download is complete at this rate."""
        if not self._ends or not self.rate:
            return float("inf")
        return max(0.0, (self._ends[0][0] - self._clock) / self.rate)


def fair_limit(demands: Sequence[tuple[float, int]], capacity: float) -> float:
    """Return the limit for each at which all together use ``capacity``; infinite if they demand less than that.

    ``demands``: pairs of a demand, and the number of users with it.
    """
    left = capacity
    if sum(most * count for most, count in demands) <= left:
        return float("inf")
    users = sum(count for _, count in demands)
    for most, count in sorted(demands):
        if most * users >= left:
            break
        left -= most * count
        users -= count
    return left / users


def share(flows: Sequence[Flow[T]], link: float, disk: float) -> tuple[float, float]:
    """Set the rate of each flow, in bytes per second. Return the sum of all, and the part from the disk."""
    together = read = 0.0
    for flow in flows:
        wants = flow.most * len(flow)
        flow.rate = flow.most
        together += wants
        if flow.cold:
            read += wants
    if together <= link and read <= disk:  # usually neither is the limit
        return together, read
    cold = [(flow.most, len(flow)) for flow in flows if flow.cold and len(flow)]
    from_disk = fair_limit(cold, disk) if cold else float("inf")
    wanted = [(min(flow.most, from_disk) if flow.cold else flow.most, len(flow)) for flow in flows]
    by_link = fair_limit(wanted, link)
    together = read = 0.0
    for flow, (most, count) in zip(flows, wanted, strict=True):
        flow.rate = min(most, by_link)
        together += flow.rate * count
        read += flow.rate * count * flow.cold
    return together, read
