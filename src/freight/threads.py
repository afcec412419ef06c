"""Start a thread, and report a system that refuses one."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable


class OutOfThreads(OSError):
    """The system starts no more threads: pthread_create(3), EAGAIN."""

    def __init__(self) -> None:
        super().__init__(errno.EAGAIN, "no thread can be started; raise ulimit -u, or pids.max of the cgroup")


def start_daemon(run: Callable[[], None], name: str) -> threading.Thread:
    """Start a thread that does not keep the process alive. Raise :class:`OutOfThreads`."""
    thread = threading.Thread(target=run, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise OutOfThreads from error
    return thread
