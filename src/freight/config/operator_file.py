"""Open files that the operator names, without waiting, and only regular ones.

Opening a FIFO or a terminal could block the event loop for ever, and reading a device could do anything. The server
reads such files at the start and again on SIGHUP.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading bytes. Raise OSError, also for a file of another type."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, f"it is {_kind(mode)}, not a regular file", os.fspath(path))
        return os.fdopen(fd, "rb")
    except BaseException:
        os.close(fd)
        raise


def read_regular(path: str | os.PathLike[str], most_bytes: int) -> bytes:
    """Return the first ``most_bytes`` of a regular file. Raise OSError as :func:`open_regular` does."""
    with open_regular(path) as file:
        return file.read(most_bytes)


def read_secret(path: str | os.PathLike[str], most_bytes: int) -> bytes:
    """Return the content of a regular file that decides who may do what.

    Raise OSError as :func:`open_regular` does, and for a file that every user may write, or with more than
    ``most_bytes``.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_mode & stat.S_IWOTH:
            raise OSError(errno.EPERM, "every user of this machine may write it; run: chmod o-w", os.fspath(path))
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise OSError(errno.EFBIG, f"it is longer than {most_bytes >> 10} KiB", os.fspath(path))
    return data


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a directory"
    if stat.S_ISFIFO(mode):
        return "a FIFO"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"
