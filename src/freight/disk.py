"""Threads that may wait for a disk, and whose job they do next.

Goal: a client, or a file system, that keeps the disk busy delays only itself.

Rules:

1. Each file system (``st_dev``) has threads of its own for each kind of :class:`Work`. Reads of files never queue
   behind listings, whose passes over a large directory take seconds, and one file system never queues behind another.
2. Within a kind and a file system, clients take turns (:mod:`freight.core.line`): a client with a hundred jobs gets as
   many turns as a client with one.
3. A job that is cancelled before a thread takes it leaves the queue.
4. Where the system refuses a thread, a job of another file system than home waits for a thread of home's, unless it is
   a look-up: that fails, as its request can still be told to come back, while an answer that has begun cannot.

The queues need no bound of their own: a connection, or a stream of one, has at most one job at a time, and the budget
bounds those. Threads are daemons: the process ends although a read never returns.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from enum import Enum
from typing import Any, TypeVar

from freight.core.line import Key, Line
from freight.threads import OutOfThreads, start_daemon

T = TypeVar("T")

IDLE_SECONDS = 30.0
"""A thread that has had nothing to do for so long ends, unless it is the last of its lane: it holds a stack."""

LANES = 64
"""At most so many pairs of a file system and a kind of work have threads; further file systems share one pair."""

NOBODY: Key = b""
"""The client of a job that the server does for itself."""


class Work(Enum):
    """What a job does. ``threads``: how many of its kind run at once on one file system."""

    LOOKUP = ("lookup", 2)  # stat and open: short, and every request begins with one
    READ = ("read", 4)  # the bytes of files: enough to keep a disk busy
    LISTING = ("listing", 2)  # passes over directories, which mostly compute

    def __init__(self, label: str, threads: int) -> None:
        self.label = label
        self.threads = threads


class _Job(Future[Any]):
    """A call, and its outcome. One that is cancelled before it begins leaves its queue."""

    def __init__(self, call: Callable[[], Any], client: Key, lane: _Lane) -> None:
        super().__init__()
        self._call = call
        self._lane = lane
        self.client = client

    def cancel(self) -> bool:
        """See :meth:`concurrent.futures.Future.cancel`."""
        cancelled = super().cancel()
        if cancelled:
            self._lane.leave(self)
        return cancelled

    def run(self) -> None:
        """Do it, unless it was cancelled."""
        if not self.set_running_or_notify_cancel():
            return
        try:
            result = self._call()
        except BaseException as error:
            self.set_exception(error)
        else:
            self.set_result(result)


class _Lane:
    """The queue and the threads of one kind of work on one file system."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._queue: Line[_Job] = Line()
        self._threads = 0
        self._idle = 0
        self._changed = threading.Condition(threading.Lock())
        self._closing = False

    def __len__(self) -> int:
        return len(self._queue)

    def submit(self, job: _Job) -> None:
        with self._changed:
            self._queue.join(job.client, job)
            if self._idle >= len(self._queue):
                self._changed.notify()
            elif self._threads < self._work.threads:
                try:
                    self._start()
                except OutOfThreads:
                    if not self._threads:
                        self._queue.leave(job.client, job)
                        raise

    def leave(self, job: _Job) -> None:
        with self._changed:
            self._queue.leave(job.client, job)

    def start(self) -> None:
        """Have a thread from now on. Raises OutOfThreads."""
        with self._changed:
            if not self._threads:
                self._start()

    def close(self) -> list[_Job]:
        """Let idle threads end; the jobs that have not begun."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            jobs = []
            while found := self._queue.pop(lambda _: True):
                jobs.append(found[1])
            return jobs

    def _start(self) -> None:
        start_daemon(self._run, f"disk-{self._work.label}")
        self._threads += 1

    def _run(self) -> None:
        while (job := self._next()) is not None:
            job.run()
            del job  # what it holds is not to wait for the next one

    def _next(self) -> _Job | None:
        with self._changed:
            while True:
                if found := self._queue.pop(lambda _: True):
                    return found[1]
                if self._closing:
                    break
                self._idle += 1
                # The last thread of a lane stays: where no more can be started, its work goes on.
                told = self._changed.wait(IDLE_SECONDS if self._threads > 1 else None)
                self._idle -= 1
                if not told and not self._queue and self._threads > 1:
                    break
            self._threads -= 1
            return None


class DiskPool:
    """Does calls that may wait for a disk, in threads.

    Costs some microseconds a job and, where another thread holds the interpreter, a hand-over.
    """

    def __init__(self) -> None:
        self._home = 0
        self._lanes: dict[tuple[Work, int], _Lane] = {}

    def start(self, device: int) -> None:
        """Have one thread for each kind of work on the file system ``device`` (``st_dev``), which is home from then on.

        Its jobs are done even where no more threads can be started. Raises OutOfThreads.
        """
        self._home = device
        for work in Work:
            self._lane(work, device).start()

    def submit(
        self, call: Callable[[], T], *, work: Work = Work.LOOKUP, device: int | None = None, client: Key = NOBODY
    ) -> Future[T]:
        """Have ``call`` done; its outcome.

        ``device``: the file system that it waits for (None: home). ``client``: the fairness key of the client that the
        job is for. To be called by one thread. Raises :class:`~freight.threads.OutOfThreads`.
        """
        try:
            return self._submit(call, self._lane(work, self._home if device is None else device), client)
        except OutOfThreads:
            if work is Work.LOOKUP or device is None or device == self._home:
                raise
            return self._submit(call, self._lane(work, self._home), client)

    async def run(self, call: Callable[[], T]) -> T:
        """Have something done that the server itself needs, such as a module; its result.

        On the event loop where there is no thread: a turn that takes long is better than an answer that never comes.
        """
        try:
            job = self.submit(call)
        except OutOfThreads:
            return call()
        return await asyncio.wrap_future(job)

    @property
    def queued(self) -> int:
        """How many jobs wait for a thread."""
        return sum(len(lane) for lane in self._lanes.values())

    def close(self) -> None:
        """Cancel what has not begun, and let the threads end. What runs is not waited for."""
        for lane in self._lanes.values():
            for job in lane.close():
                job.cancel()

    @staticmethod
    def _submit(call: Callable[[], T], lane: _Lane, client: Key) -> Future[T]:
        job = _Job(call, client, lane)
        lane.submit(job)
        return job

    def _lane(self, work: Work, device: int) -> _Lane:
        lane = self._lanes.get((work, device))
        if lane is None:
            if len(self._lanes) >= LANES:
                device = -1
            lane = self._lanes.setdefault((work, device), _Lane(work))
        return lane
