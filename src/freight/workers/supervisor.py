"""The process that starts the workers, and replaces each one that dies. It serves no client itself.

**Rules.**

1. The supervisor has no event loop, and no thread but the log's, so it can fork at any time (fork(2)): a fork holds the
   interpreter's lock, so the log's thread is in a system call then. A child does not use that log.
2. The workers accept from listening sockets that the supervisor holds too, so the connections in their backlog survive
   a worker.
3. When a worker is killed, the kernel frees its sockets and its lock, and the supervisor clears its row.
4. A process whose main thread has ended counts as ended. The kernel reports it only when all its threads have, and one
   that waits for a file system that does not answer may never end (wait(2)).
5. A worker that ends within a second is replaced after a delay that doubles each time, up to 5 s. If five end in a row
   before they serve, and none serves, the server stops.
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

from freight.model import Level
from freight.protocols import LogNotice
from freight.runtime.service import Service
from freight.runtime.stop_report import LINGERING_REPORT_SECONDS, lingering, stopped, stopping
from freight.workers.aggregate import count_aborted
from freight.workers.child import KILLED_SECONDS, POLL_SECONDS, SIGNALS, ZOMBIE_SECONDS, Child, end, ending
from freight.workers.shared.state import Column, GlobalColumn, SharedState

_PR_SET_PDEATHSIG = 1  # prctl(2)
_SHORT_LIFE_SECONDS = 1.0
_RESTART_DELAY_SECONDS, _RESTART_DELAY_MAX = 0.1, 5.0
_FORK_RETRY_SECONDS = 1.0
_STARTUP_FAILURES_MAX = 5
_ADMIN_END_SECONDS = 5.0  # how long the admin process may take to end
_LATE_SECONDS, _ABORT_SECONDS = 10.0, 2.0  # how long a worker may take to end after its drain, and after an abort
_WAIT_MAX_SECONDS = 60.0
_SIGNAL_STATUS = 128


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the supervisor calls.

    ``log_failure``: in a child that fails, which must not use the supervisor's log. ``ready``: once, when all workers
    serve. ``hangup_stops``: returns whether SIGHUP stops the server. ``reload``: on another SIGHUP; returns messages.
    ``stopping``: when no more workers will be started. ``drain_and_delay_seconds``: returns how long downloads may take
    after the stop, and for how long requests are accepted before that.
    """

    log_notice: LogNotice
    log_failure: Callable[[str], None]
    ready: Callable[[], None]
    hangup_stops: Callable[[], bool] = lambda: False
    reload: Callable[[], list[tuple[Level, str]]] = list
    stopping: Callable[[], None] = lambda: None
    drain_and_delay_seconds: Callable[[], tuple[float, float]] = lambda: (0.0, 0.0)


@dataclass(slots=True)
class Supervisor:
    """Runs ``workers``, one for each row of ``state``, and ``admin`` beside them, if there is one."""

    state: SharedState
    workers: Sequence[Callable[[], int]]
    admin: Callable[[], int] | None
    service: Service
    hooks: Hooks
    _children: list[Child] = field(default_factory=list)
    _is_ready: bool = False
    _is_stopping: bool = False
    _stop_signals: int = 0  # how many were received
    _first_signal: int = 0
    _lingering_report_at: float = math.inf  # when to report connections that remain
    _give_up_at: float = math.inf  # when workers that have not ended are killed
    _startup_failures: int = 0  # in a row
    _status: int = 0

    def run(self) -> int:
        """Run until all processes have ended. Return the exit status.

        It is 0, or 128 plus the number of a second stop signal, or 1 if no worker could start.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self._children = [Child(work, row) for row, work in enumerate(self.workers)]
        while not self._end_if_drained():
            self._start_due()
            info = signal.sigtimedwait(SIGNALS, self._wait_seconds())
            if info is not None:
                self._handle_signal(info.si_signo)
            if time.monotonic() >= self._lingering_report_at:
                self._lingering_report_at = math.inf
                connections, (seconds, _) = self.state.total(Column.CONNECTIONS), self.hooks.drain_and_delay_seconds()
                self._log(lingering(connections, seconds, self._first_signal))
            self._reap()
            if time.monotonic() >= self._give_up_at:
                self._give_up()
            self._check_ready()
        self.service.close()
        counts = self.state.counts()
        self._log(self._prefix() + stopped(counts.completed, counts.aborted))
        return self._status

    def hand_over(self) -> None:
        """Stop, because another server accepts connections in place of this one. Running downloads are finished."""
        self.state.global_row[GlobalColumn.HANDED_OVER] = 1
        self._stop_workers()

    def _prefix(self) -> str:
        handed_over = self.state.global_row[GlobalColumn.HANDED_OVER]
        return f"process {os.getpid()}, which has handed over: " if handed_over else ""

    def _log(self, message: str) -> None:
        if message:
            self.hooks.log_notice(Level.INFO, message)

    def _check_ready(self) -> None:
        ready = self.state.total(Column.READY)
        if ready and self.admin is not None and len(self._children) == len(self.workers):
            self._children.append(Child(self.admin, None))  # earlier, it would report that no worker serves
        if ready == len(self.workers) and not self._is_ready:
            self._is_ready = True
            self.hooks.ready()
            self.service.started()

    def _wait_seconds(self) -> float:
        """Do what is due for the service manager. Return for how long nothing else is due."""
        due = self.service.run_due()
        if not self._is_ready or self._is_stopping:
            return min(due, POLL_SECONDS)
        now = time.monotonic()
        starts = [child.start_at - now for child in self._children if child.start_at is not None]
        return max(0.0, min(due, _WAIT_MAX_SECONDS, *starts))

    def _handle_signal(self, number: int) -> None:
        match number:
            case signal.SIGCHLD:
                pass  # the caller reaps
            case signal.SIGHUP:
                self._handle_hangup()
            case signal.SIGUSR2:
                self.service.hand_over()
            case _:
                self._handle_stop_signal(number)

    def _handle_hangup(self) -> None:
        """Stop if the terminal was closed, otherwise reload. A shell and the kernel may both send it: one counts."""
        if not self.hooks.hangup_stops():
            self._reload()
        elif not self._is_stopping:
            self._handle_stop_signal(signal.SIGHUP)

    def _reload(self) -> None:
        self.service.reloading()
        self._signal_workers(signal.SIGHUP)
        for level, message in self.hooks.reload():  # the workers do the same, and log nothing
            self.hooks.log_notice(level, message)
        self.service.ready()

    def _handle_stop_signal(self, number: int) -> None:
        """Drain at the first signal; end at the second. After a hand-over, the first signal changes nothing."""
        self._stop_signals += 1
        if not self._is_stopping:
            self.state.global_row[GlobalColumn.DRAINING] = 1
            self.service.stopping()
            self._first_signal = number
            message = stopping(self.state.total(Column.RUNNING), *self.hooks.drain_and_delay_seconds(), number)
            self._log(message)
            self._lingering_report_at = math.inf if message else time.monotonic() + LINGERING_REPORT_SECONDS
            self._stop_workers()
        elif self._stop_signals > 1:
            self._status = _SIGNAL_STATUS + number
            self._signal_workers(signal.SIGUSR1)
            self._give_up_at = min(self._give_up_at, time.monotonic() + _ABORT_SECONDS)

    def _stop_workers(self) -> None:
        """Stop all workers. The admin process answers until they have ended, unless another server answers instead."""
        self._is_stopping = True
        self._give_up_at = time.monotonic() + sum(self.hooks.drain_and_delay_seconds()) + _LATE_SECONDS
        self.hooks.stopping()
        self._signal_workers(signal.SIGTERM)
        if self.state.global_row[GlobalColumn.HANDED_OVER]:
            for child in self._children:
                if child.pid and child.row is None:
                    os.kill(child.pid, child.stop_signal)

    def _signal_workers(self, number: int) -> None:
        for child in self._children:
            if child.pid and child.row is not None:
                os.kill(child.pid, number)

    def _start_due(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.start_at is not None and child.start_at <= now and not self._is_stopping:
                try:
                    child.pid, child.start_at, child.started_at = self._fork(child), None, now
                except OSError as error:  # too many processes, or too little memory
                    child.start_at = now + _FORK_RETRY_SECONDS
                    message = f"{child.name} could not be started: {error.strerror}; trying again"
                    self.hooks.log_notice(Level.WARNING, message)

    def _fork(self, child: Child) -> int:
        sys.stdout.flush()
        parent, pid = os.getpid(), os.fork()
        if pid:
            return pid
        status = 1
        try:
            # Without the supervisor a worker drains and ends, because nothing would clear its row.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, child.stop_signal)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process: the supervisor handles it
            signal.signal(signal.SIGUSR1, signal.SIG_DFL)  # it ends a child that has no handler yet
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            self.service.close()
            if os.getppid() == parent:
                status = child.work()
        except BaseException as error:
            self.hooks.log_failure(f"{child.name} failed: {str(error) or type(error).__name__}")
        finally:
            os._exit(status)

    def _reap(self) -> None:
        for child in self._children:
            if child.pid:
                pid, ended = os.waitpid(child.pid, os.WNOHANG)
                if pid:
                    self._replace(child, ending(ended))
                elif child.hangs_at_end():
                    self._abandon(child)

    def _abandon(self, child: Child) -> None:
        """Go on without a process that cannot end."""
        message = f"{child.name} (pid {child.pid}) waits for a file system that does not answer; it ends when that does"
        self.hooks.log_notice(Level.WARNING, message)
        self._replace(child, "cannot end")

    def _give_up(self) -> None:
        """Kill the workers that have not ended in time, and a second later go on without them."""
        self._signal_workers(signal.SIGKILL)
        for child in self._children:
            if child.pid and child.row is not None and time.monotonic() >= self._give_up_at + ZOMBIE_SECONDS:
                self._abandon(child)

    def _replace(self, child: Child, how: str) -> None:
        """Free what a dead process held, and plan its replacement."""
        pid, child.pid, child.zombie_since = child.pid, 0, None
        served = child.row is None or self._clear_row(child.row)
        if self._is_stopping:
            return
        now = time.monotonic()
        self._startup_failures = 0 if served else self._startup_failures + 1
        child.short_lives = child.short_lives + 1 if now - child.started_at < _SHORT_LIFE_SECONDS else 0
        delay = 0.0
        if child.short_lives:
            delay = min(_RESTART_DELAY_MAX, _RESTART_DELAY_SECONDS * 2**child.short_lives)
        child.start_at = now + delay
        when = f"in {delay:.1f} s" if delay else "now"
        message = f"{child.name} (pid {pid}) {how}; a new one is started {when}"
        self.hooks.log_notice(Level.WARNING, message)
        if child.row is not None:
            self.state.global_row[GlobalColumn.RESTARTS] += 1
        if self._startup_failures >= _STARTUP_FAILURES_MAX and not self.state.total(Column.READY):
            message = "every worker failed before it served; stopping (see the errors above)"
            self.hooks.log_notice(Level.ERROR, message)
            self._status = 1
            self.state.global_row[GlobalColumn.DRAINING] = 1
            self._stop_workers()

    def _clear_row(self, number: int) -> bool:
        """Clear the row of a dead worker; count its running downloads as aborted. Return whether it had served."""
        row = self.state.row(number)
        served = bool(row[Column.READY])
        count_aborted(row[Column.COUNTERS :], row[Column.RUNNING])
        self.state.clear(number)
        return served

    def _end_if_drained(self) -> bool:
        """Return whether all workers have ended. If so, end the admin process: it reports on their drain until then."""
        if not self._is_stopping or any(child.pid for child in self._children if child.row is not None):
            return False
        for child in self._children:
            if child.pid:
                end(child.pid, child.stop_signal, KILLED_SECONDS if self._stop_signals > 1 else _ADMIN_END_SECONDS)
                child.pid = 0
        return True
