"""Thousands of clients in their own process. Every byte they receive is compared with the file."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from freight.tools.loadgen.client import Again, Group
from freight.tools.loadgen.generator import LoadGenerator, LoadProcessLost, LoadStatus
from freight.tools.loadgen.network import Place

__all__ = ["TIMEOUT_SECONDS", "Again", "CheckedLoad", "Group"]

TIMEOUT_SECONDS = 60.0  # for thousands of clients, on a machine that is busy otherwise too
_PAUSE_SECONDS = 0.05


class CheckedLoad(LoadGenerator):
    """The clients of one server, at ``place``. ``root`` has the files that the server serves."""

    def __init__(self, place: Place, host: str, port: int, root: Path) -> None:
        super().__init__(host, port, place, root)
        self._status = LoadStatus({}, {}, 0, 0, "", 0.0)
        self._checks = False

    def counts(self, name: str) -> Counter[str]:
        """Return a group's clients by state, and its ended requests by end."""
        return Counter(self._latest().groups.get(name, {}))

    def count(self, name: str, *at: str) -> int:
        """Return how many of a group's clients and ended requests are in one of these states, in one status."""
        counts = self.counts(name)
        return sum(counts[one] for one in at)

    def whole_from(self, name: str) -> Counter[str]:
        """Return the number of complete responses for each source address of a group."""
        return Counter(self._latest().whole_from.get(name, {}))

    def wait(
        self,
        condition: Callable[[], bool],
        what: str,
        meanwhile: Callable[[], object] = lambda: None,
        seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        """Wait until the condition holds for one status of the clients. Call ``meanwhile`` before each check."""
        deadline = time.monotonic() + seconds
        while True:
            meanwhile()
            try:
                status = self._latest()
            except LoadProcessLost:
                raise AssertionError(f"the clients have ended, but not: {what}; {self._status.groups}") from None
            if status.wrong:
                raise AssertionError(f"a wrong response: {status.wrong}; {status.groups}")
            if self._holds(condition):
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds} s: {what}; {status.groups}")
            time.sleep(_PAUSE_SECONDS)

    def wait_count(self, name: str, at: str, count: int, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Wait until at least ``count`` clients of a group are in this state, or have ended like this."""
        self.wait(lambda: self.counts(name)[at] >= count, f"{count} of {name} {at}", meanwhile)

    def _holds(self, condition: Callable[[], bool]) -> bool:
        """Return whether a condition holds. All its counts are of the latest status, so that they agree."""
        self._checks = True
        try:
            return condition()
        finally:
            self._checks = False

    def _latest(self) -> LoadStatus:
        """Return the status that a condition is checked for, or else a new one."""
        if not self._checks:
            self._status = self.status()
        return self._status

    def _command(self, do: str, **more: object) -> LoadStatus:
        self._status = super()._command(do, **more)
        return self._status
