"""The standard streams of a server: it serves whether or not anybody can take what it prints."""

from __future__ import annotations

import os
import select
import sys

_STDIN, STDOUT, STDERR = 0, 1, 2
_WRITABLE_SECONDS = 0.5  # how long a reader that stalls may keep a start waiting


def open_missing() -> None:
    """Have all three descriptors open: one that was closed leads to nowhere from now on.

    The first socket would have its number otherwise, and be sent what is printed. Programs that are started in our
    place find the descriptor open too.
    """
    for fd in (_STDIN, STDOUT, STDERR):
        try:
            os.fstat(fd)
        except OSError:
            silence(fd)
    sys.stdout = sys.stdout or os.fdopen(STDOUT, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(STDERR, "w", closefd=False)


def silence(fd: int) -> None:
    """Lead a descriptor to nowhere: what is still in the buffers of its stream is not to fail at the exit."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere == fd:
        os.set_inheritable(fd, True)
    else:
        os.dup2(nowhere, fd)
        os.close(nowhere)


def print_lines(lines: list[str]) -> str:
    """Print lines on standard output; "" or, where nobody can take them, why.

    A pipe without a reader, a full disk and a reader that stalls are no reason not to serve.
    """
    watch = select.poll()
    watch.register(STDOUT, select.POLLOUT)
    try:
        if not watch.poll(_WRITABLE_SECONDS * 1000):
            return "its reader takes nothing"
        print("\n".join(lines), flush=True)
    except OSError as error:
        silence(STDOUT)
        return error.strerror or type(error).__name__
    return ""
