"""Processes that tests start. Each has a session of its own, so that its descendants can be killed with it.

Every wait has a timeout. Nothing reads a pipe to its end while another process may hold it open.
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

from freight.tools.loadgen.gauge import children

RUN_SECONDS = 60.0
"""How long a program may take before a test fails. No test uses it to measure speed."""

END_SECONDS = 20.0
"""How long a killed process may take to end."""
_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


def environment(**more: str) -> dict[str, str]:
    """Return our environment with ``more``, for a Python with the import path of the tests."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | more


def start_process(words: Sequence[str | os.PathLike[str]], **options: Any) -> subprocess.Popen[Any]:
    """Start a program in a session of its own, with Popen's ``options``. The caller must kill its process group."""
    return subprocess.Popen(words, start_new_session=True, **options)


def kill_process_group(process: subprocess.Popen[Any]) -> None:
    """Kill a process and its descendants, such as a server's workers and successors."""
    with suppress(ProcessLookupError):  # the group exists while one of its processes does
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(END_SECONDS)


@contextmanager
def running(words: Sequence[str | os.PathLike[str]], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Run a program within the context. At its end the process group is killed and the pipes are closed."""
    process = start_process(words, **options)
    try:
        yield process
    finally:
        kill_process_group(process)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with suppress(BrokenPipeError):  # close() flushes to a process that has ended
                    pipe.close()


def run(
    *words: str | os.PathLike[str],
    env: Mapping[str, str] | None = None,
    input: str | None = None,
    seconds: float = RUN_SECONDS,
    **options: Any,
) -> subprocess.CompletedProcess[str]:
    """Run a program until it exits, with its output as text. Kill it after ``seconds`` and raise TimeoutExpired."""
    pipes = {"stdin": subprocess.DEVNULL if input is None else subprocess.PIPE}
    pipes |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with running(words, env=env, text=True, **(pipes | options)) as process:
        out, err = process.communicate(input, seconds)
        return subprocess.CompletedProcess(words, process.returncode, out, err)


def state_of(pid: int) -> str:
    """Return the state of a process as proc_pid_stat(5) has it, "X" if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def is_running(pid: int) -> bool:
    """Return whether a process runs. A zombie does not."""
    return state_of(pid) not in "ZX"


def descriptor_targets(pid: int) -> list[str]:
    """Return what each descriptor of a process refers to (proc_pid_fd(5)), without those that it closes meanwhile."""
    targets = list[str]()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            targets.append(os.readlink(link))
    return targets


def adopt_orphans() -> None:
    """Make orphaned descendants our children (PR_SET_CHILD_SUBREAPER, prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_orphans() -> list[str]:
    """Kill all our descendants. Return their command lines."""
    ended = []
    while pids := [pid for pid in children(os.getpid()) if is_running(pid)]:
        for pid in pids:
            with suppress(OSError):
                ended.append(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in pids:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
    return ended
