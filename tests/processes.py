"""Processes that tests start: each has a session of its own, so that all it has started in turn ends with it.

Nothing here waits without a limit, and nothing reads a pipe until its end while somebody else may hold it open.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

RUN_SECONDS = 60.0  # how long a program may take before a test gives up; never a measure of speed
END_SECONDS = 20.0  # how long a killed process may take to end
_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


def environment(**more: str) -> dict[str, str]:
    """Return our environment with ``more`` in it, for a Python that imports what these tests import."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | more


def start(words: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """Start a program in a session of its own. ``options`` are Popen's; :func:`end` ends it."""
    return subprocess.Popen(words, start_new_session=True, **options)


def end(process: subprocess.Popen[Any]) -> None:
    """Kill a process and all that it has started, such as a server's workers and successors."""
    with suppress(ProcessLookupError):  # the group is there as long as one of its processes is
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(END_SECONDS)


@contextmanager
def running(words: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A program, for as long as the context lasts at most; its pipes are closed then."""
    process = start(words, **options)
    try:
        yield process
    finally:
        end(process)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with suppress(BrokenPipeError):  # what was written and not sent has nobody to go to
                    pipe.close()


def run(
    *words: str,
    env: Mapping[str, str] | None = None,
    input: str | None = None,
    seconds: float = RUN_SECONDS,
    **options: Any,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; what it printed is text. Raises TimeoutExpired where it takes too long, and ends it."""
    pipes = {"stdin": subprocess.DEVNULL if input is None else subprocess.PIPE}
    pipes |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with running(words, env=env, text=True, **(pipes | options)) as process:
        out, err = process.communicate(input, seconds)
        return subprocess.CompletedProcess(words, process.returncode, out, err)


def children(pid: int) -> list[int]:
    """Return the processes that one has started and not waited for, the oldest first.

    A child may be left out of ``/proc/PID/task/TID/children`` while others of its parent end (proc(5)), so what counts
    is what it says twice.
    """
    before, found = None, _children(pid)
    while found != before:
        before, found = found, _children(pid)
    return found


def runs(pid: int) -> bool:
    """Return whether a process is there that has not ended; one that nobody has waited for yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _children(pid: int) -> list[int]:
    lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(child) for children in lists for child in children.split()]


def adopt_orphans() -> None:
    """Have whatever is left behind by what we have started become our child (prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_orphans() -> list[str]:
    """Kill all our descendants, to the last; what they were, for who wants to know."""
    ended = []
    while pids := [pid for pid in children(os.getpid()) if runs(pid)]:
        for pid in pids:
            with suppress(OSError):
                ended.append(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in pids:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
    return ended
