"""A pool of threads for calls that may wait for a disk.

Goal: a client, or a file system, that keeps the disk busy or does not answer delays only itself.

Invariant: a job waits only behind jobs of its own kind of :class:`Work` and its own file system (``st_dev``).

Plan:

1. Each pair of a kind and a file system has its own queue and its own threads. So reads of files never wait for
   listings, whose passes over a large directory take seconds, and one file system never waits for another.
2. Within a queue, clients take turns (:mod:`freight.fair_queue`): a client with a hundred jobs gets as many turns as a
   client with one.
3. A job that is cancelled before it starts leaves its queue.
4. The file system of a served path is a *home*. Its first threads are started with the server, and never end.
5. A call that takes longer than the time limit is lost, and its file system may be unresponsive: the rules are
   :mod:`freight.sources.disk_queue`'s. :meth:`DiskPool.expire` applies the limit.
6. What serves no file, such as an import, has a queue of its own without a limit.

Exceptions to the invariant:

- If the system refuses a thread, a job of another file system moves to the queue of the first home. A look-up fails
  instead: its request can still get a 503, while an answer that has started cannot.
- After MAX_QUEUES pairs, not counting those of further homes, other file systems share one queue for each kind.
- Look-ups that a link leads from a home to another file system share one queue (:mod:`freight.sources.local`).

Left out: a limit of the queues of a file system that answers. A connection, or one of its streams, has at most one job
at a time, and the budget limits those. Nor does the process wait for its threads: they are daemons, because a read may
never return.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

from freight.fair_queue import Key
from freight.sources.disk_queue import DeviceQueue, Job, Work
from freight.threads import OutOfThreads

__all__ = ["DISK_TIMEOUT_SECONDS", "MAX_QUEUES", "SERVER_ITSELF", "DiskPool", "Home", "Unresponsive", "Work"]

T = TypeVar("T")

DISK_TIMEOUT_SECONDS = 15.0
"""The default of ``--disk-timeout``. A disk that has spun down takes up to 10 s to answer."""

MAX_QUEUES = 64
"""The most pairs of a kind of work and a file system with their own queue and threads."""

SERVER_ITSELF: Key = b""
"""The client of a job that serves no client."""


@dataclass(frozen=True, slots=True)
class Unresponsive:
    """A file system that does not answer: its ``st_dev``, since when (monotonic clock), and how many calls hang."""

    device: int
    since: float
    hung_calls: int


class Home:
    """The file system of a served path: its ``st_dev``, and a call that returns if it answers.

    ``device`` changes when the path names a directory on another file system.
    """

    __slots__ = ("device", "probe")

    def __init__(self, device: int, probe: Callable[[], object] = int) -> None:
        self.device = device
        self.probe = probe


class DiskPool:
    """Runs calls that may wait for a disk, in threads.

    A job costs some microseconds, and the wait for the interpreter if another thread holds it. ``timeout_seconds``: how
    long a call may take, and the wait for one that hangs. Use it on one thread only.
    """

    def __init__(self) -> None:
        self.timeout_seconds = DISK_TIMEOUT_SECONDS
        self.timeouts = 0
        """How many jobs waited too long, since the start."""
        self._homes: tuple[Home, ...] = (Home(0),)
        self._most_queues = MAX_QUEUES
        self._queues: dict[tuple[Work, int | None], DeviceQueue] = {}  # None: file systems that share a queue
        self._unclosed: dict[int, list[int]] = {}  # descriptors, by the device that does not answer
        self._own = DeviceQueue(Work.LOOKUP, keeps_thread=False)

    def start(self, *homes: Home) -> None:
        """Start one thread for each kind of work on each of ``homes``, which has one at least.

        Their jobs run even if no more threads can be started. Each is probed while it does not answer: a balancer that
        sends no requests meanwhile would otherwise never send any. Raises OutOfThreads.
        """
        self._homes = homes
        devices = dict.fromkeys(home.device for home in homes)
        self._most_queues = MAX_QUEUES + (len(devices) - 1) * len(Work)
        for device in devices:
            for work in Work:
                self._queue_for(work, device).start()

    @property
    def home(self) -> int:
        """The ``st_dev`` of the first home."""
        return self._homes[0].device

    def submit(
        self, call: Callable[[], T], *, work: Work = Work.LOOKUP, device: int | None = None, client: Key = SERVER_ITSELF
    ) -> Future[T]:
        """Queue ``call``; return the future of its result.

        ``device``: the file system that it may wait for (None: the first home). ``client``: the fairness key of the
        client that it serves. The future fails with :class:`~freight.errors.DiskTimeout` if the file system does not
        answer; a result that comes after that is closed, if it is a context manager. Raises
        :class:`~freight.threads.OutOfThreads`.
        """
        try:
            return self._submit(call, self._queue_for(work, self.home if device is None else device), client)
        except OutOfThreads:
            if work is Work.LOOKUP or device is None or device == self.home:
                raise
            return self._submit(call, self._queue_for(work, self.home), client)

    def close_file(self, fd: int, device: int) -> None:
        """Close a file of ``device`` in a thread, as close(2) may wait; once it answers again if it does not now."""
        began: list[bool] = []

        def close() -> None:
            began.append(True)
            os.close(fd)

        def keep_if_unclosed(job: Future[None]) -> None:
            if not began and not job.cancelled():
                self._unclosed.setdefault(device, []).append(fd)

        try:
            self.submit(close, work=Work.READ, device=device).add_done_callback(keep_if_unclosed)
        except OutOfThreads:
            self._unclosed.setdefault(device, []).append(fd)

    async def run(self, call: Callable[[], T]) -> T:
        """Run ``call``, which touches no served file, such as an import; return its result.

        Without a thread it runs on the event loop: blocking the loop once is better than no answer.
        """
        try:
            job: Future[T] = self._submit(call, self._own, SERVER_ITSELF)
        except OutOfThreads:
            return call()
        return await asyncio.wrap_future(job)

    @property
    def queued(self) -> int:
        """The number of jobs that wait for a thread."""
        return sum(len(queue) for queue in self._queues.values())

    @property
    def a_home_answers(self) -> bool:
        """Whether the file system of a served path answers: of one of them, if there are several."""
        return not all(self._is_unresponsive(home.device) for home in self._homes)

    def is_home(self, device: int) -> bool:
        """Return whether a served path is on the file system ``device``."""
        return any(home.device == device for home in self._homes)

    def admits(self, device: int) -> bool:
        """Return whether a request for files of ``device`` may try it: it answers, or a probe is due."""
        now = monotonic()
        return all(queue.admits(now) for queue in self._queues_of(device))

    def unresponsive(self) -> list[Unresponsive]:
        """Return the file systems that do not answer. The device of those that share a queue is 0."""
        queues: dict[int, list[DeviceQueue]] = {}
        for (_, device), queue in self._queues.items():
            if queue.is_unresponsive:
                queues.setdefault(device or 0, []).append(queue)
        return [
            Unresponsive(device, min(each.lost_since for each in found), sum(each.lost for each in found))
            for device, found in queues.items()
        ]

    def expire(self) -> None:
        """Fail the jobs that have waited too long. Call it about once a second."""
        now = monotonic()
        self.timeouts += sum(queue.expire(now, self.timeout_seconds) for queue in self._queues.values())
        for device in [each for each in self._unclosed if not self._is_unresponsive(each)]:
            for fd in self._unclosed.pop(device):
                self.close_file(fd, device)
        for home in self._homes:
            queue = self._queues.get((Work.LOOKUP, home.device))
            if queue is not None and queue.is_unresponsive and queue.admits(now):
                try:
                    self.submit(home.probe, device=home.device)
                except OutOfThreads:
                    pass  # the next call tries again

    def close(self) -> None:
        """Cancel the jobs that have not started, and end the threads. Does not wait for jobs that run."""
        for queue in (self._own, *self._queues.values()):
            for job in queue.close():
                job.cancel()

    @staticmethod
    def _submit(call: Callable[[], T], queue: DeviceQueue, client: Key) -> Future[T]:
        job = Job(call, client, queue)
        queue.submit(job)
        return job

    def _is_unresponsive(self, device: int) -> bool:
        return any(queue.is_unresponsive for queue in self._queues_of(device))

    def _queues_of(self, device: int) -> list[DeviceQueue]:
        shared = {work: self._queues.get((work, None)) for work in Work}
        found = (self._queues.get((work, device), shared[work]) for work in Work)
        return [queue for queue in found if queue is not None]

    def _queue_for(self, work: Work, device: int) -> DeviceQueue:
        queue = self._queues.get((work, device))
        if queue is None:
            own = device if len(self._queues) < self._most_queues or self.is_home(device) else None
            queue = self._queues.setdefault((work, own), DeviceQueue(work))
        return queue
