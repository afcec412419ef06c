"""Rates of several workers together: what one has sent counts for all, at once.

A bucket is one number, the moment until which its rate has been used up (ITU-T I.371's virtual scheduling; it says the
same as a token bucket). A client has two of them, of many that all clients share, and the one that is further back
decides: only who shares both with a busy client is slowed down by it.
"""

from __future__ import annotations

from collections.abc import Iterator

from freight.core.line import Key
from freight.flow.rates import BURST_SECONDS, LEAST_BURST, LEAST_TAKE, Rates
from freight.flow.rows import CELLS, SINCE, Rows, cells_of

_SECOND = 1_000_000_000
_ALL = SINCE  # in the row that is nobody's


class SharedRates(Rates):
    """As :class:`Rates`, with the buckets of all workers."""

    def __init__(self, rate: float | None, client_rate: float | None, rows: Rows) -> None:
        self._rows = rows
        self._rate: float | None = None
        self._common = rows.common
        self._cells = rows.cells(rows.workers)
        assert len(self._cells) == CELLS
        super().__init__(rate, client_rate)

    def change(self, rate: float | None, client_rate: float | None, now: float) -> None:
        """See :class:`Rates`."""
        self._rate, self._client_rate = rate, client_rate

    @property
    def bound(self) -> bool:
        """See :class:`Rates`."""
        return self._rate is not None or self._client_rate is not None

    def join(self, key: Key, now: float) -> None:
        """See :class:`Rates`: a bucket needs nobody to be there."""

    def leave(self, key: Key) -> None:
        """See :class:`Rates`."""

    def allowance(self, key: Key, now: float) -> tuple[int, float]:
        """See :class:`Rates`."""
        most, rest = float("inf"), 0.0
        for rate, numbers, places in self._used(key):
            used = min(numbers[place] for place in places) / _SECOND
            free = (now - max(used, now - _burst(rate) / rate)) * rate
            most = min(most, free)
            if free < LEAST_TAKE:
                rest = max(rest, (LEAST_TAKE - free) / rate)
        return (0, rest) if rest else (int(min(most, 1 << 40)), 0.0)

    def took(self, key: Key, count: int, now: float = 0.0) -> None:
        """See :class:`Rates`."""
        with self._rows:
            for rate, numbers, places in self._used(key):
                least = now - _burst(rate) / rate
                for place in set(places):
                    numbers[place] = int((max(least, numbers[place] / _SECOND) + count / rate) * _SECOND)

    def _used(self, key: Key) -> Iterator[tuple[float, memoryview[int], tuple[int, ...]]]:
        """Of each rate there is: how much it is, and where it is written until when it has been used up."""
        if self._rate is not None:
            yield self._rate, self._common, (_ALL,)
        if self._client_rate is not None:
            yield self._client_rate, self._cells, cells_of(key)


def _burst(rate: float) -> float:
    return max(LEAST_BURST, rate * BURST_SECONDS)
