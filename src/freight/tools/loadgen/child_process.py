"""Start processes that end with this process, even if it is killed."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PACKAGES = Path(__file__).resolve().parents[3]
_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_TERM_SECONDS, _KILL_SECONDS = 2.0, 10.0


def start(command: Sequence[str], environment: Mapping[str, str] | None = None, **more: Any) -> subprocess.Popen[bytes]:
    """Start a command that the kernel kills when this process ends (prctl(2), PR_SET_PDEATHSIG).

    It imports this freight, and inherits no FREIGHT_* setting of the user, so only the command decides.
    """
    parent = os.getpid()

    def end_with_parent() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent ended before the call
            os._exit(1)

    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FREIGHT_")}
    paths = [str(PACKAGES), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = inherited | {"PYTHONPATH": os.pathsep.join(paths)} | dict(environment or {})
    return subprocess.Popen(command, env=env, preexec_fn=end_with_parent, **more)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that :func:`start` started: SIGTERM first, then SIGKILL."""
    for end, seconds in ((process.terminate, _TERM_SECONDS), (process.kill, _KILL_SECONDS)):
        end()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
        return


def raise_descriptor_limit() -> int:
    """Raise the soft limit of descriptors to the hard limit, for child processes too, and return it (getrlimit(2))."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else sys.maxsize
