"""A manual clock."""

from __future__ import annotations


class ManualClock:
    """A clock that a test sets by ``seconds``. The time of day is fixed."""

    def __init__(self, seconds: float = 100.0) -> None:
        self.seconds = seconds

    def now(self) -> float:
        return 1_767_323_045.0

    def monotonic(self) -> float:
        return self.seconds
