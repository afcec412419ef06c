"""The process that starts the workers, and a new one when one has died. It has no loop and no thread, so that it can be
forked at any time, and it serves no client itself.

A worker that is killed gives back what it held: the kernel its sockets and locks, the supervisor its row. The workers
accept from sockets that the supervisor has too, so that a connection in their queues is not lost with a worker.
"""

from __future__ import annotations

import ctypes
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from freight.flow.rows import COUNTED, COUNTS, DRAINING, METER, READY, RESTARTS, SUCCEEDED, Rows
from freight.model import Level
from freight.ports import Say
from freight.server.service import Service
from freight.stopping import LINGER_SECONDS, lingering, stopped, stopping
from freight.workers.totals import add_cut, total

_PR_SET_PDEATHSIG = 1  # prctl(2)
_AT_ONCE_SECONDS = 1.0  # who lives no longer is started again a little later,
_BACK_OFF_SECONDS, _BACK_OFF_MOST = 0.1, 5.0  # each time twice as late, to here
_RETRY_SECONDS = 1.0  # where the system has no process for us
_VAIN_MOST = 5  # deaths in a row before serving, while no worker serves: give up then
_LOOK_SECONDS = 0.01  # while workers start, or come to their end
_LONGEST_SECONDS = 60.0
_SIGNALLED = 128
_TOLD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR2)


@dataclass(slots=True)
class _Place:
    """Where a worker is, or is to be. ``work`` is all it does; it returns an exit status."""

    work: Callable[[], int]
    row: int | None  # None: it serves no files
    pid: int = 0
    since: float = 0.0
    due: float | None = 0.0  # when one is to be started here
    deaths: int = 0  # at once, one after another

    @property
    def name(self) -> str:
        """What the operator reads of it."""
        return "the process of the admin listener" if self.row is None else f"worker {self.row + 1}"

    @property
    def end(self) -> int:
        """The signal by which it is to end. The desk answers to the end, so SIGTERM, sent to all, is not its signal."""
        return signal.SIGUSR1 if self.row is None else signal.SIGTERM


@dataclass(slots=True)
class Supervisor:
    """Runs ``works``, a worker for each row, and ``desk``, if any, beside them; ``say`` logs a message to the operator.
    ``service`` is what manages all of it. ``begun`` is called once, when all workers serve; ``reload`` on SIGHUP, and
    returns messages; ``let_go`` when no more workers are to be started. ``drain`` says how long what runs may take when
    it stops, and how long requests are accepted before that, in seconds.
    """

    rows: Rows
    works: Sequence[Callable[[], int]]
    desk: Callable[[], int] | None
    say: Say
    service: Service
    begun: Callable[[], None]
    reload: Callable[[], list[tuple[Level, str]]] = list
    let_go: Callable[[], None] = lambda: None
    drain: Callable[[], tuple[float, float]] = lambda: (0.0, 0.0)
    _places: list[_Place] = field(default_factory=list)
    _signals: int = 0  # that asked to stop
    _lingers_at: float = math.inf  # when to say that connections take their time
    _ceased: bool = False
    _status: int = 0
    _vain: int = 0  # deaths in a row before serving
    _has_begun: bool = False
    _number: int = 0  # of the signal that asked to stop

    def run(self) -> int:
        """Until all have ended; the exit status: 0, 128 + a signal that would not wait, 1 where no worker can live."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _TOLD)
        self._places = [_Place(work, row) for row, work in enumerate(self.works)]
        while not self._is_over():
            self._start_due()
            info = signal.sigtimedwait(_TOLD, self._patience())
            if info is not None:
                self._hear(info.si_signo)
            if time.monotonic() >= self._lingers_at:
                self._lingers_at = math.inf
                self._say(lingering(self._sum("connections"), self.drain()[0], self._number))
            self._bury()
            if self.desk is not None and len(self._places) == len(self.works) and any(row[READY] for row in self.rows):
                self._places.append(_Place(self.desk, None))  # not before: it would answer that nobody serves
            if not self._has_begun and all(row[READY] for row in self.rows):
                self._has_begun = True
                self.begun()
                self.service.begun()
        self.service.close()
        counts = total(row[METER:] for row in self.rows)
        own = f"process {os.getpid()}, which has handed over: " if self.rows.common[SUCCEEDED] else ""
        self._say(own + stopped(counts.completed, counts.aborted))
        return self._status

    def _say(self, message: str) -> None:
        if message:
            self.say(Level.INFO, message)

    def _sum(self, name: str) -> int:
        """The sum of a column of COUNTS over all workers."""
        return sum(row[COUNTED + COUNTS.index(name)] for row in self.rows)

    def give_way(self) -> None:
        """Another server accepts in the place of this one: what runs is finished."""
        self.rows.common[SUCCEEDED] = 1
        self._cease()

    def _patience(self) -> float:
        """For how long nothing is to be done."""
        turn = self.service.turn()
        if not self._has_begun or self._ceased:
            return min(turn, _LOOK_SECONDS)
        now = time.monotonic()
        return max(0.0, min(turn, _LONGEST_SECONDS, *(each.due - now for each in self._places if each.due is not None)))

    def _hear(self, number: int) -> None:
        if number == signal.SIGHUP:
            self.service.reloading()
            self._tell(signal.SIGHUP)
            for level, message in self.reload():  # as each worker does, without a word
                self.say(level, message)
            self.service.ready()
        elif number == signal.SIGUSR2:
            self.service.succeed()
        elif number != signal.SIGCHLD:
            self._signals += 1
            if not self._ceased:
                self.rows.common[DRAINING] = 1
                self.service.stopping()
                self._number = number
                message = stopping(self._sum("running"), *self.drain(), number)
                self._say(message)
                self._lingers_at = math.inf if message else time.monotonic() + LINGER_SECONDS
                self._cease()
            elif self._signals > 1:  # a first signal changes nothing where a hand-over has begun the drain
                self._status = _SIGNALLED + number
                self._tell(signal.SIGUSR1)

    def _cease(self) -> None:
        """No more are started. The desk answers until the workers have ended, unless another does in its place."""
        self._ceased = True
        self.let_go()
        self._tell(signal.SIGTERM)
        for place in self._places:
            if place.pid and place.row is None and self.rows.common[SUCCEEDED]:
                os.kill(place.pid, place.end)

    def _tell(self, number: int) -> None:
        for place in self._places:
            if place.pid and place.row is not None:
                os.kill(place.pid, number)

    def _start_due(self) -> None:
        now = time.monotonic()
        for place in self._places:
            if place.due is not None and place.due <= now and not self._ceased:
                try:
                    place.pid, place.due, place.since = self._fork(place), None, now
                except OSError as error:  # a bound on processes, or want of memory: those that are there go on
                    place.due = now + _RETRY_SECONDS
                    self.say(Level.WARNING, f"{place.name} could not be started: {error.strerror}; trying again")

    def _fork(self, place: _Place) -> int:
        sys.stdout.flush()
        parent, pid = os.getpid(), os.fork()
        if pid:
            return pid
        status = 1
        try:
            # Without its supervisor a worker drains and ends: nothing would clear its row any more.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, place.end)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process: the supervisor acts on it
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _TOLD)
            self.service.close()
            if os.getppid() == parent:
                status = place.work()
        except BaseException as error:
            self.say(Level.ERROR, f"{place.name} failed: {str(error) or type(error).__name__}")
        finally:
            os._exit(status)

    def _bury(self) -> None:
        """Take note of all that have died."""
        for place in self._places:
            if place.pid:
                pid, ended = os.waitpid(place.pid, os.WNOHANG)
                if pid:
                    self._succeed(place, ended)

    def _succeed(self, place: _Place, ended: int) -> None:
        """One has died: what it held is free, and another is to come."""
        now, pid, place.pid = time.monotonic(), place.pid, 0
        served = True
        if place.row is not None:
            row = self.rows.row(place.row)
            served = bool(row[READY])
            add_cut(row[METER:], row[COUNTED + COUNTS.index("running")])
            self.rows.clear(place.row)
        if self._ceased:
            return
        self._vain = 0 if served else self._vain + 1
        place.deaths = place.deaths + 1 if now - place.since < _AT_ONCE_SECONDS else 0
        wait = min(_BACK_OFF_MOST, _BACK_OFF_SECONDS * 2**place.deaths) if place.deaths else 0.0
        place.due = now + wait
        again = f"in {wait:.1f} s" if wait else "now"
        self.say(Level.WARNING, f"{place.name} (pid {pid}) {_ending(ended)}; a new one is started {again}")
        if place.row is not None:
            self.rows.common[RESTARTS] += 1
        if self._vain >= _VAIN_MOST and not any(row[READY] for row in self.rows):
            self.say(Level.ERROR, "every worker failed before it served; stopping (see the errors above)")
            self._status = 1
            self.rows.common[DRAINING] = 1
            self._cease()

    def _is_over(self) -> bool:
        """Whether all have ended. The desk is the last: it says how the others come to their end."""
        if not self._ceased or any(place.pid for place in self._places if place.row is not None):
            return False
        for place in self._places:
            if place.pid:
                os.kill(place.pid, place.end)
                os.waitpid(place.pid, 0)
                place.pid = 0
        return True


def _ending(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"was ended by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"ended with status {os.waitstatus_to_exitcode(status)}"
