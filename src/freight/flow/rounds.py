"""Whose turn it is: one epoll of our own for all running transfers, nested in the event loop.

The loop watches a single descriptor, the epoll's, and gives it a short turn whenever some transfer's socket can take
more. A turn serves a few sockets; the kernel moves those it reported to the end of its list (epoll(7), level-triggered
with a small ``maxevents``), which makes the round robin. Between two turns the loop sees to everything else, so a new
request waits for one turn, never for all the downloads that are ready. A transfer costs one dictionary entry here, and
no loop handle, future or coroutine step per wake-up.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Iterator
from time import monotonic
from typing import Protocol


class Waiter(Protocol):
    """Who waits for a socket."""

    def ready(self, events: int) -> None:
        """The socket can take bytes, or has failed; ``events`` are epoll's."""

    def stands_still(self, now: float, idle_seconds: float) -> bool:
        """Whether the peer has taken nothing for ``idle_seconds``."""

    def end(self, error: Exception | None) -> None:
        """End it from outside."""


FAILED = select.EPOLLERR | select.EPOLLHUP

_AT_ONCE = 8  # sockets a turn: enough to spread the cost of the turn, few enough that it stays short
_TURN_SECONDS = 0.001  # one call of some MiB takes about that long: a turn is one such, or several small ones


class Rounds:
    """Calls back when a watched socket can take bytes. Not thread-safe: it belongs to its loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._waiters: dict[int, Waiter] = {}
        self._due = False
        loop.add_reader(self._epoll.fileno(), self._ready)

    def __len__(self) -> int:
        return len(self._waiters)

    def __iter__(self) -> Iterator[Waiter]:
        """Who waits at this moment; it may change while this goes on."""
        return iter(list(self._waiters.values()))

    def watch(self, fd: int, waiter: Waiter) -> None:
        """From now on call ``waiter`` whenever ``fd``, a socket's descriptor, can take bytes or has failed."""
        self._epoll.register(fd, select.EPOLLOUT)
        self._waiters[fd] = waiter

    def pause(self, fd: int) -> None:
        """Call back for failures only."""
        self._epoll.modify(fd, 0)

    def resume(self, fd: int) -> None:
        """End a pause."""
        self._epoll.modify(fd, select.EPOLLOUT)

    def forget(self, fd: int) -> None:
        """Stop watching. To be called before ``fd`` is closed."""
        del self._waiters[fd]
        self._epoll.unregister(fd)

    def close(self) -> None:
        """Give back the epoll's descriptor. Nothing may be watched any more."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _ready(self) -> None:
        """Some socket is ready: a turn is due, behind everything that the loop learnt of at the same time."""
        if not self._due:
            self._due = True
            # Two steps: what was read from a connection in this one is answered in the next.
            self._loop.call_soon(self._loop.call_soon, self._turn)

    def _turn(self) -> None:
        if self._epoll.closed:
            return
        self._due = False
        enough = monotonic() + _TURN_SECONDS
        for _ in range(_AT_ONCE):
            # One at a time: whatever is reported goes to the end of the kernel's list, whether it is served or not.
            ready = self._epoll.poll(0, 1)
            if not ready:
                return
            fd, events = ready[0]
            self._waiters[fd].ready(events)
            if monotonic() > enough:
                return
