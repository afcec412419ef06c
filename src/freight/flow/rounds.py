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
from collections.abc import Callable
from time import monotonic

Call = Callable[[int], None]
"""Called with the epoll events of its socket."""

FAILED = select.EPOLLERR | select.EPOLLHUP

_AT_ONCE = 8  # sockets a turn: enough to spread the cost of the turn, few enough that it stays short
_TURN_SECONDS = 0.003  # a call moves at most some MiB, which takes a millisecond or two; no turn may pass 10 ms


class Rounds:
    """Calls back when a watched socket can take bytes. Not thread-safe: it belongs to its loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._calls: dict[int, Call] = {}
        loop.add_reader(self._epoll.fileno(), self._turn)

    def __len__(self) -> int:
        return len(self._calls)

    def watch(self, fd: int, call: Call) -> None:
        """From now on call back whenever ``fd`` can take bytes or has failed. ``fd`` is a socket's descriptor."""
        self._epoll.register(fd, select.EPOLLOUT)
        self._calls[fd] = call

    def pause(self, fd: int) -> None:
        """Call back for failures only."""
        self._epoll.modify(fd, 0)

    def resume(self, fd: int) -> None:
        """End a pause."""
        self._epoll.modify(fd, select.EPOLLOUT)

    def forget(self, fd: int) -> None:
        """Stop watching. To be called before ``fd`` is closed."""
        del self._calls[fd]
        self._epoll.unregister(fd)

    def close(self) -> None:
        """Give back the epoll's descriptor. Nothing may be watched any more."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _turn(self) -> None:
        enough = monotonic() + _TURN_SECONDS
        for fd, events in self._epoll.poll(0, _AT_ONCE):
            call = self._calls.get(fd)  # an earlier call of this turn may have ended it
            if call is not None:
                call(events)
            if monotonic() > enough:
                return  # those not served are still ready, and are reported again
