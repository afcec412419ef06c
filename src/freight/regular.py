"""Files that the operator names: opened without waiting, and only if they are regular.

A FIFO or a terminal in a file's place would block the one who opens it for ever, and with it the event loop; a device
could do anything. The server reads such files again while it runs (SIGHUP), so this holds for the start and for later.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading bytes. Raises OSError; its ``strerror`` says so for a file of another kind."""
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
    """The first ``most_bytes`` of a regular file, or all of a shorter one. Raises OSError as :func:`open_regular`."""
    with open_regular(path) as file:
        return file.read(most_bytes)


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a directory"
    if stat.S_ISFIFO(mode):
        return "a FIFO"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"
