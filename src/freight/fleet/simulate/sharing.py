"""PURE. Share a link and a disk among downloads: max-min fair, and none is faster than its client.

Downloads with equally fast clients, which all read from memory or all from the disk, form a *stream*: their rates are
always equal. A stream has one clock, which counts the bytes that each of them has had. A download knows the value of
the clock at its end, so a change of rates costs time for each stream, not for each download.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Generic, TypeVar

T = TypeVar("T")

_BYTE, _PART = 0.5, 1e-15  # what rounding may leave, of one download and of large numbers


class Stream(Generic[T]):
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

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self._clock += self.rate * seconds

    def done(self, now: float) -> T | None:
        """Take out a download that is complete, or return None. ``now`` in seconds, for the tolerance of rounding."""
        if not self._ends:
            return None
        end = self._ends[0][0]
        if end - self._clock > _BYTE + _PART * (end + self.rate * now):
            return None
        ended = heappop(self._ends)[2]
        if not self._ends:
            self._clock = 0.0  # so that it never counts far beyond what a float tells apart
        return ended

    def seconds_left(self) -> float:
        """The time until the next download is complete at this rate."""
        if not self._ends or not self.rate:
            return float("inf")
        return max(0.0, (self._ends[0][0] - self._clock) / self.rate)


def level(demands: Sequence[tuple[float, int]], capacity: float) -> float:
    """The limit for each so that all together get ``capacity``; infinite if they want less than that.

    ``demands``: pairs of a demand, and the number of those with this demand.
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


def share(streams: Sequence[Stream[T]], link: float, disk: float) -> tuple[float, float]:
    """Set the rate of each stream, in bytes per second. Return the sum of all, and the part from the disk."""
    together = read = 0.0
    for stream in streams:
        wants = stream.most * len(stream)
        stream.rate = stream.most
        together += wants
        if stream.cold:
            read += wants
    if together <= link and read <= disk:  # mostly nothing is short
        return together, read
    cold = [(stream.most, len(stream)) for stream in streams if stream.cold and len(stream)]
    from_disk = level(cold, disk) if cold else float("inf")
    wanted = [(min(stream.most, from_disk) if stream.cold else stream.most, len(stream)) for stream in streams]
    by_link = level(wanted, link)
    together = read = 0.0
    for stream, (most, count) in zip(streams, wanted, strict=True):
        stream.rate = min(most, by_link)
        together += stream.rate * count
        read += stream.rate * count * stream.cold
    return together, read
