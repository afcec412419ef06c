"""Call back when a socket can take bytes or fails: one epoll for all transfers and queued requests (decision 002).

**Goal.** A waiting transfer costs one dictionary entry, and no loop handle, future or coroutine step per wake-up.

**Invariant.** Sockets that are ready are served round-robin. A new request waits for one batch, and never for all the
downloads that are ready.

**Rules.**

1. The event loop watches one descriptor, the epoll's. When it is readable, one batch is served, after what the loop
   read at the same time has been answered.
2. The kernel moves the sockets that it reports to the end of its list (epoll(7), level-triggered with a small
   ``maxevents``). This makes the round robin, so every reported socket must be served.
3. A single socket that is ready again within 1 ms is served at once, without a batch.
4. A batch takes about 1 ms. While the loop is busy it takes half as long as it waited, and 4 ms at most. Otherwise
   downloads would get only a fraction of a busy loop's time.

**Left out.** Receiving: requests are read by the event loop. The poller does not decide how much a callback sends.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count
from time import monotonic
from typing import Protocol


class EventHandler(Protocol):
    """What the poller calls back."""

    def handle_events(self, events: int) -> None:
        """Send, or end: the socket can take bytes or has failed. ``events`` are those of epoll_ctl(2)."""


class VirtualDescriptors(Protocol):
    """Watches descriptors as :class:`select.epoll` does: the streams of one socket have such numbers."""

    def register(self, fd: int, eventmask: int, /) -> None:
        """Start to watch a descriptor."""

    def modify(self, fd: int, eventmask: int, /) -> None:
        """Watch for other events."""

    def unregister(self, fd: int, /) -> None:
        """Stop watching."""


FAILED = select.EPOLLERR | select.EPOLLHUP
GONE = select.EPOLLRDHUP
"""Events to watch for the peer's end only: it has closed its socket, or will not send any more."""

_BATCH_SECONDS = 0.001
_BATCH_SHARE = 0.5  # of the time that the batch has waited for the loop
_MAX_BATCH_SECONDS = 0.004
_MAX_EVENTS = 32
_FEW_EVENTS = 2  # served at once, if the last time not more than one was reported
_TICK_SECONDS = 0.001  # pauses that end within the same millisecond end together
_CLOSED_FD = -1  # what a closed socket has for a descriptor


class Poller:
    """Calls back when a registered socket can take bytes. Not thread-safe: it belongs to its loop.

    Iteration yields the handlers that are registered at that moment. They may change meanwhile.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._handlers: dict[int, EventHandler] = {}
        self._virtual: dict[int, VirtualDescriptors] = {}
        self._virtual_fds = count(_CLOSED_FD - 1, -1)
        self._batch_scheduled = False
        self._scheduled_at = 0.0
        self._last_served, self._served_at = 0, 0.0
        self._call_seconds = _BATCH_SECONDS  # a moving average
        # A heap of pauses: the time of the end, a number that orders equal times, the descriptor, and its handler.
        self._pauses: list[tuple[float, int, int, EventHandler]] = []
        self._pause_numbers = count()
        self._timer: asyncio.TimerHandle | None = None
        loop.add_reader(self._epoll.fileno(), self._schedule_batch)

    def __iter__(self) -> Iterator[EventHandler]:
        return iter(list(self._handlers.values()))

    @property
    def is_shared(self) -> bool:
        """Whether several sockets wait to be served, as far as the last batch shows."""
        return self._batch_scheduled and self._last_served > 1

    def register_virtual(self, descriptors: VirtualDescriptors) -> int:
        """Return a number that may be registered like a descriptor, and is watched by ``descriptors``."""
        fd = next(self._virtual_fds)
        self._virtual[fd] = descriptors
        return fd

    def unregister_virtual(self, fd: int) -> None:
        """Give up such a number. The caller guarantees that it is not registered."""
        del self._virtual[fd]

    def notify(self, fd: int, events: int) -> None:
        """Report events of a virtual descriptor, if it is registered."""
        handler = self._handlers.get(fd)
        if handler is not None:
            handler.handle_events(events)

    def _descriptors(self, fd: int) -> VirtualDescriptors:
        return self._epoll if fd >= 0 else self._virtual[fd]

    def register(self, fd: int, handler: EventHandler, events: int = select.EPOLLOUT) -> None:
        """Call ``handler`` whenever the socket ``fd`` can take bytes or has failed."""
        self._descriptors(fd).register(fd, events)
        self._handlers[fd] = handler

    def pause(self, fd: int) -> None:
        """Call back only for failures."""
        self._descriptors(fd).modify(fd, 0)

    def resume(self, fd: int) -> None:
        """End a pause."""
        self._descriptors(fd).modify(fd, select.EPOLLOUT)

    def pause_for(self, fd: int, seconds: float) -> None:
        """Pause, and resume after ``seconds``. O(log n) of the pauses."""
        self.pause(fd)
        heappush(self._pauses, (self._loop.time() + seconds, next(self._pause_numbers), fd, self._handlers[fd]))
        self._set_timer()

    def unregister(self, fd: int) -> None:
        """Stop watching. Must be called before ``fd`` is closed."""
        del self._handlers[fd]
        self._descriptors(fd).unregister(fd)

    def close(self) -> None:
        """Close the epoll. The caller guarantees that nothing is registered any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _schedule_batch(self) -> None:
        if self._batch_scheduled:
            return
        now = monotonic()
        if self._last_served <= 1 and now - self._served_at < _BATCH_SECONDS:
            # A single download, and a loop that is not busy: it does not delay a request by more than a call.
            self._last_served, self._served_at = self._serve(_FEW_EVENTS), now
        else:
            self._batch_scheduled, self._scheduled_at = True, now
            # Two steps of the loop: a request that was read in this step is answered in the next.
            self._loop.call_soon(self._loop.call_soon, self._serve_batch)

    def _serve_batch(self) -> None:
        if self._epoll.closed:
            return
        self._batch_scheduled = False
        started_at = monotonic()
        waited = started_at - self._scheduled_at
        seconds = min(_MAX_BATCH_SECONDS, max(_BATCH_SECONDS, waited * _BATCH_SHARE))
        # Every reported socket must be served, so do not ask for more than there is time for.
        limit = min(_MAX_EVENTS, max(1, int(seconds / self._call_seconds)))
        self._served_at = started_at
        self._last_served = served = self._serve(limit)
        if served:
            elapsed = monotonic() - started_at
            self._call_seconds += (elapsed / served - self._call_seconds) / 8
            if waited > _BATCH_SECONDS and elapsed < seconds:
                self._serve_again(limit - served, started_at + seconds)

    def _serve(self, limit: int) -> int:
        """Call at most ``limit`` handlers that are ready. Return how many were reported."""
        ready = self._epoll.poll(0, limit)
        for fd, events in ready:
            handler = self._handlers.get(fd)  # one callback may have unregistered another
            if handler is not None:
                handler.handle_events(events)
        return len(ready)

    def _serve_again(self, limit: int, until: float) -> None:
        """Spend the rest of a batch on the few sockets that are ready again."""
        while limit > 0 and monotonic() < until and (served := self._serve(limit)):
            limit -= served

    def _set_timer(self) -> None:
        until = self._pauses[0][0]
        if self._timer is not None:
            if self._timer.when() <= until:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(until, self._end_pauses)

    def _end_pauses(self) -> None:
        self._timer = None
        now = self._loop.time() + _TICK_SECONDS
        while self._pauses and self._pauses[0][0] <= now:
            _, _, fd, handler = heappop(self._pauses)
            if self._handlers.get(fd) is handler:  # and not another socket that has got the same descriptor
                self.resume(fd)
        if self._pauses:
            self._set_timer()
