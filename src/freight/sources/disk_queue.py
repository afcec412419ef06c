"""The queue and the threads of one kind of work on one file system.

Goal: a call that hangs costs one thread and its own client's patience, and nothing else waits for it.

Rules:

1. A call that has run for the time limit is *lost*: its job fails, and its thread is no longer counted, though it
   exists until the call returns. Nothing can end it: a thread in the kernel's uninterruptible sleep takes no signal.
2. If no other call has returned since the lost one began, the file system is *unresponsive*. Its queued jobs fail, and
   so does every new one, until a call returns.
3. Meanwhile one job may run as a probe: after 5 s the first, and each time after twice as long as before, at most one
   at once.
4. A queue has at most SPARE_THREADS more threads than its kind of work. When all of them are lost, it is unresponsive
   whatever else returned, and probes end: only a call that returns can help.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from enum import Enum
from functools import partial
from time import monotonic
from typing import Any

from freight.errors import DiskTimeout
from freight.fair_queue import FairQueue, Key
from freight.threads import OutOfThreads, start_daemon

IDLE_SECONDS = 30.0
"""A thread that has been idle for this long ends, because it holds a stack. The last one of a queue stays."""

SPARE_THREADS = 6
"""How many threads a queue may start in place of lost ones, at most."""

PROBE_SECONDS = 5.0
"""How long after a file system became unresponsive the first job may try it."""

_NEVER = float("-inf")


class Work(Enum):
    """A kind of work. At most ``threads`` jobs of a kind run at once on one file system, not counting lost ones."""

    LOOKUP = ("lookup", 2)  # stat and open: short, and every request needs one
    READ = ("read", 4)  # bytes of files: four threads keep a disk busy
    LISTING = ("listing", 2)  # passes over directories: mostly computation

    def __init__(self, label: str, threads: int) -> None:
        self.label = label
        self.threads = threads


class Job(Future[Any]):
    """A call and its result. A job that is cancelled before it starts leaves its queue."""

    def __init__(self, call: Callable[[], Any], client: Key, queue: DeviceQueue) -> None:
        super().__init__()
        self._call = call
        self._queue = queue
        self.client = client
        self.active_at = 0.0
        """When it started, or last reported progress, by the monotonic clock."""

    def cancel(self) -> bool:
        cancelled = super().cancel()
        if cancelled:
            self._queue.leave(self)
        return cancelled

    def fail(self) -> None:
        """End it with DiskTimeout, whether it runs or not. A result that comes later is closed."""
        try:
            self.set_exception(DiskTimeout("the file system does not answer"))
        except InvalidStateError:
            pass  # it has just ended, or was cancelled

    def run(self) -> Callable[[], None]:
        """Make the call, unless the job was cancelled. Return what passes its outcome on."""
        if not self.set_running_or_notify_cancel():
            return lambda: None
        try:
            result = self._call()
        except BaseException as error:
            return partial(self._end, self.set_exception, error)
        return partial(self._end, self.set_result, result)

    @staticmethod
    def _end(finish: Callable[[Any], None], outcome: Any) -> None:
        try:
            finish(outcome)
        except InvalidStateError:  # it was lost, and nobody waits for it
            if hasattr(outcome, "__exit__"):
                outcome.__exit__(None, None, None)


class DeviceQueue:
    """Jobs in turn by client, and the threads that run them. All methods but those of the threads are for one thread.

    ``work``: the kind. ``keeps_thread``: whether the last thread stays when it is idle.
    """

    def __init__(self, work: Work, *, keeps_thread: bool = True) -> None:
        self._work = work
        self._kept = 1 if keeps_thread else 0
        self._queue: FairQueue[Job] = FairQueue()
        self._threads = 0  # lost ones included
        self._idle = 0
        self._running: set[Job] = set()
        self._lost: set[Job] = set()
        self._returned_at = _NEVER
        self._failed_at = _NEVER  # when it became unresponsive; a later return ends that
        self._probe_at = self._probe_seconds = 0.0
        self._changed = threading.Condition(threading.Lock())
        self._closing = False

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def is_unresponsive(self) -> bool:
        """Whether the file system does not answer calls of this kind."""
        return self._failed_at > self._returned_at or len(self._lost) >= self._most

    @property
    def lost(self) -> int:
        """How many calls are lost now."""
        return len(self._lost)

    @property
    def lost_since(self) -> float:
        """When the oldest lost call was last active, by the monotonic clock; infinite without one."""
        with self._changed:
            return min((job.active_at for job in self._lost), default=float("inf"))

    def admits(self, now: float) -> bool:
        """Return whether a job would run: the file system answers, or a probe is due."""
        if not self.is_unresponsive:
            return True
        return now >= self._probe_at and not self._running and len(self._lost) < self._most

    def submit(self, job: Job) -> None:
        """Queue a job, or fail it if the file system is unresponsive. Raises OutOfThreads if no thread could run it."""
        now = monotonic()
        with self._changed:
            if not self.admits(now):
                job.fail()
                return
            if self.is_unresponsive:
                self._probe_seconds *= 2
                self._probe_at = now + self._probe_seconds
            self._queue.join(job.client, job)
            if self._idle >= len(self._queue):
                self._changed.notify()
            elif self._may_start:
                try:
                    self._start()
                except OutOfThreads:
                    if self._threads == len(self._lost):
                        self._queue.leave(job.client, job)
                        raise

    def leave(self, job: Job) -> None:
        """Remove a job that waits."""
        with self._changed:
            self._queue.leave(job.client, job)

    def start(self) -> None:
        """Start the first thread. Raises OutOfThreads."""
        with self._changed:
            if not self._threads:
                self._start()

    def expire(self, now: float, limit_seconds: float) -> int:
        """Fail what has waited for the disk too long; return how many jobs that were."""
        with self._changed:
            late = [job for job in self._running if now - job.active_at >= limit_seconds]
            if late and not self.is_unresponsive and self._returned_at <= min(job.active_at for job in late):
                self._failed_at, self._probe_seconds = now, PROBE_SECONDS
                self._probe_at = now + PROBE_SECONDS
            self._running.difference_update(late)
            self._lost.update(late)
            if not self.is_unresponsive:
                self._replace_lost()
            elif late:  # what joins the queue from now on is a probe
                late += self._take_all()
        for job in late:
            job.fail()
        return len(late)

    def close(self) -> list[Job]:
        """End the threads when they are idle; return the jobs that have not started."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            return self._take_all()

    @property
    def _most(self) -> int:
        return self._work.threads + SPARE_THREADS

    @property
    def _may_start(self) -> bool:
        return self._threads - len(self._lost) < self._work.threads and self._threads < self._most

    def _take_all(self) -> list[Job]:
        jobs = []
        while next_job := self._queue.pop(lambda _: True):
            jobs.append(next_job[1])
        return jobs

    def _replace_lost(self) -> None:
        for _ in range(len(self._queue) - self._idle):
            if not self._may_start:
                return
            try:
                self._start()
            except OutOfThreads:
                return  # the next sweep tries again

    def _start(self) -> None:
        start_daemon(self._run, f"disk-{self._work.label}")
        self._threads += 1

    def _run(self) -> None:
        while (job := self._next()) is not None:
            _current.job = job
            pass_on = job.run()
            _current.job = None
            with self._changed:
                self._running.discard(job)
                self._lost.discard(job)
                self._returned_at = monotonic()
            pass_on()
            del job, pass_on  # free what they hold while waiting for the next job

    def _next(self) -> Job | None:
        with self._changed:
            while self._threads - len(self._lost) <= self._work.threads:  # a lost one that returns may be too many
                if next_job := self._queue.pop(lambda _: True):
                    job = next_job[1]
                    job.active_at = monotonic()
                    self._running.add(job)
                    return job
                if self._closing:
                    break
                self._idle += 1
                # The last thread of a queue stays, because the system may refuse another one later.
                notified = self._changed.wait(IDLE_SECONDS if self._threads > self._kept else None)
                self._idle -= 1
                if not notified and not self._queue and self._threads > self._kept:
                    break
            self._threads -= 1
            return None


class _Current(threading.local):
    job: Job | None = None


_current = _Current()


def note_progress() -> None:
    """Note that the job of this thread proceeds: its time limit starts again. Does nothing in other threads."""
    if _current.job is not None:
        _current.job.active_at = monotonic()
