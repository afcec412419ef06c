"""A child process of the supervisor, and its end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR2)
"""The signals that the supervisor waits for."""

POLL_SECONDS = 0.01
"""The time between two looks at children that start or end."""

KILLED_SECONDS = 1.0
"""How long a killed process may take to end."""

ZOMBIE_SECONDS = 1.0
"""After its main thread, the other threads of a process end within milliseconds, unless one of them hangs."""


@dataclass(slots=True)
class Child:
    """A child process, or the next one while none runs. ``work`` is all that it does; it returns an exit status.

    ``row`` is None for the admin process. ``zombie_since`` is when its main thread was first seen to have ended though
    the process has not, None before. ``start_at`` is when it is to be started, None while it runs.
    ``short_lives`` counts the processes before it that ended within a second.
    """

    work: Callable[[], int]
    row: int | None
    pid: int = 0
    started_at: float = 0.0
    start_at: float | None = 0.0
    short_lives: int = 0
    zombie_since: float | None = None

    @property
    def name(self) -> str:
        """Its name in messages to the operator."""
        return "the process of the admin listener" if self.row is None else f"worker {self.row + 1}"

    @property
    def stop_signal(self) -> int:
        """The signal that stops it. The admin process ignores SIGTERM: it answers until the workers have ended."""
        return signal.SIGUSR1 if self.row is None else signal.SIGTERM

    def hangs_at_end(self) -> bool:
        """Return whether its main thread ended ZOMBIE_SECONDS ago, though the process has not."""
        if not _is_zombie(self.pid):
            return False
        now = time.monotonic()
        self.zombie_since = self.zombie_since or now
        return now - self.zombie_since >= ZOMBIE_SECONDS


def end(pid: int, number: int, seconds: float) -> None:
    """End a child by signal ``number``. Kill it after ``seconds``, or at a stop signal, and wait a second for that."""
    os.kill(pid, number)
    kill_at = time.monotonic() + seconds
    while not os.waitpid(pid, os.WNOHANG)[0]:
        if time.monotonic() >= kill_at:
            os.kill(pid, signal.SIGKILL)
            if time.monotonic() >= kill_at + KILLED_SECONDS:
                return  # it waits for a disk that does not answer
        info = signal.sigtimedwait(SIGNALS, POLL_SECONDS)
        if info is not None and info.si_signo in (signal.SIGTERM, signal.SIGINT):
            kill_at = min(kill_at, time.monotonic())


def _is_zombie(pid: int) -> bool:
    """Return whether the main thread of a child has ended: the state in proc_pid_stat(5)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:
        return False


def ending(status: int) -> str:
    """Return how a process ended, by its status of wait(2), for a message."""
    if os.WIFSIGNALED(status):
        return f"was ended by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"ended with status {os.waitstatus_to_exitcode(status)}"
