"""Measure how much the process has really grown, and return the heap's free pages after clients have left."""

from __future__ import annotations

from typing import Protocol

from freight.memory.budget import Budget
from freight.memory.heap import private_bytes, trim_heap, trim_heap_thoroughly
from freight.sources.disk_pool import DiskPool

_FEW_CONNECTIONS = 500  # with more, a walk through all objects would hold the interpreter for too long
_MIN_TRIM_BYTES, _MIN_TRIM_DIVISOR = 256 * 1024, 128  # 256 KiB, or 1/128 of the memory, are worth a trim
_URGENT_DIVISOR = 8  # more than 1/8 of the memory is returned while clients are still leaving


class Growth(Protocol):
    """What a server asks about the growth of its process. ``excluded_bytes`` is what no client caused."""

    excluded_bytes: int

    def exclude(self, grown_bytes: int) -> None:
        """Exclude growth that no client caused, such as that of a module that was loaded for another purpose."""

    async def trim_if_due(self) -> None:
        """Return free pages of the heap to the operating system, if that is worth it."""

    def measure(self) -> int:
        """Tell the budget how much the process has grown; return the slack in bytes."""


class UncountedGrowth:
    """The growth of a process that an application shares with its servers: nobody can tell whose it is.

    Then each connection counts with its cost only. The heap is the application's, so it is never trimmed.
    """

    def __init__(self, pool: DiskPool, budget: Budget) -> None:
        self.excluded_bytes = 0

    def exclude(self, grown_bytes: int) -> None:
        """Do nothing: no growth is counted."""

    async def trim_if_due(self) -> None:
        """Do nothing."""

    def measure(self) -> int:
        """Return 0: no growth is counted."""
        return 0


class GrowthMonitor:
    """Measures the process's own memory. What it has when the monitor is made is not counted as growth.

    ``excluded_bytes`` is the growth since then that no client caused. Slack is growth beyond the connections' cost.
    """

    def __init__(self, pool: DiskPool, budget: Budget) -> None:
        self._pool = pool
        self._budget = budget
        self._start_bytes = self._least_bytes = private_bytes()
        self.excluded_bytes = 0
        self._slack_bytes = 0  # when last measured
        self._unreturned_bytes = 0  # slack that two trims did not return
        self._unreturned_connections = 0  # how many were open at that time
        self._is_second_trim_due = False

    def exclude(self, grown_bytes: int) -> None:
        """Exclude growth that no client caused, such as that of a module that was loaded for another purpose."""
        self.excluded_bytes += max(0, grown_bytes)

    async def trim_if_due(self) -> None:
        """Measure, and trim the heap when there is slack. To be called about once a second.

        Clients that are leaving still use some of the slack, so the trim waits until the slack stops growing, unless
        there is much. One small object keeps a whole page, so what a trim did not return is tried again when half of
        the connections of that time have closed.
        """
        before, self._slack_bytes = self._slack_bytes, self.measure()
        if self._budget.connections < self._unreturned_connections / 2:
            self._unreturned_bytes = 0
        self._unreturned_bytes = min(self._unreturned_bytes, self._slack_bytes)
        worth = min(_MIN_TRIM_BYTES, self._budget.memory_bytes // _MIN_TRIM_DIVISOR)
        is_settled = self._slack_bytes <= before
        is_urgent = self._slack_bytes > self._budget.memory_bytes // _URGENT_DIVISOR
        if self._slack_bytes <= self._unreturned_bytes + worth:
            self._is_second_trim_due = False
        elif is_settled or is_urgent:
            await self._trim()
            if is_settled:
                # What the second trim does not return stays. At the first, something of the clients that have left may
                # still be in use, such as their lines in the log.
                if self._is_second_trim_due:
                    self._unreturned_bytes = self._slack_bytes
                self._is_second_trim_due = not self._is_second_trim_due

    async def _trim(self) -> None:
        self._unreturned_connections = self._budget.connections
        trim = trim_heap_thoroughly if self._budget.connections <= _FEW_CONNECTIONS else trim_heap
        await self._pool.run(trim)
        self._slack_bytes = self.measure()

    def measure(self) -> int:
        """Tell the budget how much the process has grown; return the slack in bytes. Takes microseconds.

        Slack counts from the least that the process ever had. The first trim also returns memory that was only needed
        to start, and later slack would be too low by as much.
        """
        now = private_bytes()
        if not now:  # unknown, or there is no descriptor left to ask with
            return self._slack_bytes
        self._least_bytes = min(self._least_bytes, now)
        self._budget.set_process_growth(now - self._start_bytes - self.excluded_bytes)
        return self._budget.excess(now - self._least_bytes - self.excluded_bytes)
