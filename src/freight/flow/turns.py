"""The line for whole loans: who has drained all it had, and comes next when a loan is back (decisions 011, 021).

A loan comes back when its borrower has made its calls and drained them, which is a turn of the rounds; they call the
line then. And every few milliseconds the line is looked at by itself: where the loop was idle half of that time, those
who have the loans are slow, and there is time for small calls, so that all who stand there have one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import thread_time
from typing import Protocol

_LOOK_SECONDS = 0.005
_WAIT_SECONDS = 1.0  # the longest that anybody stands there, whatever the loop is busy with


class Borrower(Protocol):
    """Who stands in line."""

    def called(self) -> None:
        """It is its turn: it takes what it is lent, a whole loan or its own window."""


class Turns:
    """A line, first come first served. Whoever is called is first given back to ``resume``, by its descriptor.

    ``loans``: how many whole loans there are. ``is_there``: whether who joined with a descriptor still waits at it.
    ``busy``: how many seconds of a processor the loop has had so far.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        loans: Callable[[], int],
        is_there: Callable[[int, object], bool],
        resume: Callable[[int], None],
        busy: Callable[[], float] = thread_time,
    ) -> None:
        self._loop = loop
        self._loans = loans
        self._is_there = is_there
        self._resume = resume
        self._busy = busy
        self._line: deque[tuple[int, Borrower, float]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._since = self._busy_since = 0.0  # when the timer was wound, and what ``busy`` said

    def __len__(self) -> int:
        return len(self._line)

    def join(self, fd: int, borrower: Borrower) -> None:
        """Stand at the end."""
        self._line.append((fd, borrower, self._loop.time()))
        self._wind()

    def call(self, most: int) -> int:
        """Call as many as there are loans for, ``most`` of them; how many that were."""
        given = 0
        while self._line and given < most and self._loans():
            given += self._next()
        return given

    def close(self) -> None:
        """Call nobody any more."""
        self._line.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _next(self) -> bool:
        """Call the first, unless it has gone."""
        fd, borrower, _ = self._line.popleft()
        if not self._is_there(fd, borrower):
            return False
        self._resume(fd)
        borrower.called()
        return True

    def _wind(self) -> None:
        if self._timer is None:
            self._since, self._busy_since = self._loop.time(), self._busy()
            self._timer = self._loop.call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._timer, now = None, self._loop.time()
        idle = 2 * (self._busy() - self._busy_since) < now - self._since
        if idle or (self._line and now - self._line[0][2] > _WAIT_SECONDS):
            for _ in range(len(self._line)):
                self._next()
        else:
            self.call(len(self._line))  # where all who have loans stand still, no turn of the rounds does it
        if self._line:
            self._wind()
