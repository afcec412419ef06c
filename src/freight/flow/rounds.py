"""Whose turn it is: one epoll of our own for all running transfers, nested in the event loop.

The loop watches a single descriptor, the epoll's, and gives it a short turn whenever some transfer's socket can take
more. A turn serves as many sockets as it has time for; the kernel moves those it reported to the end of its list
(epoll(7), level-triggered with a small ``maxevents``), which makes the round robin. Between two turns the loop sees to
everything else, so a new request waits for one turn, never for all the downloads that are ready. A transfer costs one
dictionary entry here, and no loop handle, future or coroutine step per wake-up.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Iterator
from heapq import heappop, heappush
from time import monotonic
from typing import Protocol


class Waiter(Protocol):
    """Who waits for a socket."""

    def ready(self, events: int) -> None:
        """The socket can take bytes, or has failed; ``events`` are epoll's."""


class Poller(Protocol):
    """Watches descriptors as select.epoll does; one of ours watches the streams of a socket."""

    def register(self, fd: int, eventmask: int, /) -> None:
        """Begin."""

    def modify(self, fd: int, eventmask: int, /) -> None:
        """Watch for other events."""

    def unregister(self, fd: int, /) -> None:
        """Stop."""


FAILED = select.EPOLLERR | select.EPOLLHUP
GONE = select.EPOLLRDHUP
"""Watch only for the peer's end: it has closed, or will not send any more."""

_TURN_SECONDS = 0.001  # a turn is one call of some MiB, which takes about that long, or several small ones
_TURN_SHARE = 0.5  # or as this part of the time that it has waited for the loop, but
_TURN_MOST_SECONDS = 0.004  # no longer, as new requests wait for it
_AT_ONCE_MOST = 32
_TICK_SECONDS = 0.001  # those whose rest ends within the same millisecond end it together


class Rounds:
    """Calls back when a watched socket can take bytes. Not thread-safe: it belongs to its loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._waiters: dict[int, Waiter] = {}
        self._shares: dict[int, Poller] = {}
        self._last_share = -1  # which is what a closed socket has for a descriptor
        self._due = False
        self._due_at = 0.0  # since when
        self._each_seconds = _TURN_SECONDS  # what a callback takes, on the average of late
        self._resting: list[tuple[float, int, _Order]] = []  # a heap: until when, whose socket, who
        self._timer: asyncio.TimerHandle | None = None
        loop.add_reader(self._epoll.fileno(), self._ready)

    def __len__(self) -> int:
        return len(self._waiters)

    def __iter__(self) -> Iterator[Waiter]:
        """Who waits at this moment; it may change while this goes on."""
        return iter(list(self._waiters.values()))

    def share(self, poller: Poller) -> int:
        """A number that stands for a descriptor here: a part of a socket, which ``poller`` watches and tells of."""
        self._last_share -= 1
        self._shares[self._last_share] = poller
        return self._last_share

    def unshare(self, fd: int) -> None:
        """Nothing stands for that part any more. It is not watched."""
        del self._shares[fd]

    def tell(self, fd: int, events: int) -> None:
        """To be called by a ``poller``: so it is with that part of its socket. Nobody may wait for it."""
        waiter = self._waiters.get(fd)
        if waiter is not None:
            waiter.ready(events)

    def _poller(self, fd: int) -> Poller:
        return self._epoll if fd >= 0 else self._shares[fd]

    def watch(self, fd: int, waiter: Waiter, events: int = select.EPOLLOUT) -> None:
        """From now on call ``waiter`` whenever ``fd``, a socket's descriptor, can take bytes or has failed."""
        self._poller(fd).register(fd, events)
        self._waiters[fd] = waiter

    def pause(self, fd: int) -> None:
        """Call back for failures only."""
        self._poller(fd).modify(fd, 0)

    def resume(self, fd: int) -> None:
        """End a pause."""
        self._poller(fd).modify(fd, select.EPOLLOUT)

    def rest(self, fd: int, seconds: float) -> None:
        """Pause for so long."""
        self.pause(fd)
        heappush(self._resting, (self._loop.time() + seconds, fd, _Order(self._waiters[fd])))
        self._wind()

    def forget(self, fd: int) -> None:
        """Stop watching. To be called before ``fd`` is closed."""
        del self._waiters[fd]
        self._poller(fd).unregister(fd)

    def close(self) -> None:
        """Give back the epoll's descriptor. Nothing may be watched any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _ready(self) -> None:
        """Some socket is ready: a turn is due, behind everything that the loop learnt of at the same time."""
        if not self._due:
            self._due, self._due_at = True, monotonic()
            # Two steps: what was read from a connection in this one is answered in the next.
            self._loop.call_soon(self._loop.call_soon, self._turn)

    def _turn(self) -> None:
        if self._epoll.closed:
            return
        self._due = False
        # What is reported goes to the end of the kernel's list, served or not. So no more are asked for than a turn
        # has time for, and all of them are served.
        began = monotonic()
        # A step of a busy loop takes some milliseconds: a turn that is short whatever it has waited for would leave
        # the downloads a fraction of the loop's time.
        waited = began - self._due_at
        seconds = min(_TURN_MOST_SECONDS, max(_TURN_SECONDS, waited * _TURN_SHARE))
        most = min(_AT_ONCE_MOST, max(1, int(seconds / self._each_seconds)))
        served = self._serve(most)
        if served:
            taken = monotonic() - began
            self._each_seconds += (taken / served - self._each_seconds) / 8
            if waited > _TURN_SECONDS and taken < seconds:
                self._serve_again(most - served, began + seconds)  # a few that are ready again have the rest

    def _serve(self, most: int) -> int:
        """Call those that are ready, so many at most. Return how many were."""
        ready = self._epoll.poll(0, most)
        for fd, events in ready:
            waiter = self._waiters.get(fd)  # one callback may end another's wait
            if waiter is not None:
                waiter.ready(events)
        return len(ready)

    def _serve_again(self, most: int, until: float) -> None:
        """Call those that are ready again and again: so many calls at most, and until then."""
        while most > 0 and monotonic() < until and (served := self._serve(most)):
            most -= served

    def _wind(self) -> None:
        """Have a timer for who rests the shortest."""
        until = self._resting[0][0]
        if self._timer is not None:
            if self._timer.when() <= until:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(until, self._wake)

    def _wake(self) -> None:
        self._timer = None
        now = self._loop.time() + _TICK_SECONDS
        while self._resting and self._resting[0][0] <= now:
            _, fd, order = heappop(self._resting)
            if self._waiters.get(fd) is order.waiter:
                self.resume(fd)
        if self._resting:
            self._wind()


class _Order:
    """Lets waiters stand in a heap: of two that rest until the same moment either may be first."""

    __slots__ = ("waiter",)

    def __init__(self, waiter: Waiter) -> None:
        self.waiter = waiter

    def __lt__(self, other: _Order) -> bool:
        return False
