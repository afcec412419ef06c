"""Files whose stated size says nothing: those of /proc, /sys and some FUSE file systems.

They state 0 bytes, or one page, and occupy no blocks. Only a read tells whether such a file ends where it says. If it
does not, its content has no known length, no ranges and no validators, and is read from the start for each request.

What a read would have to wait for, such as the next line of /proc/kmsg, is not waited for: it ends the content.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator

_STATED_SIZES = frozenset({0, mmap.PAGESIZE})  # proc(5), and sysfs, whose attributes all state a page


def is_doubtful(found: os.stat_result) -> bool:
    """Return whether the size of a regular file must be checked: :func:`size_holds`."""
    return found.st_blocks == 0 and found.st_size in _STATED_SIZES


def size_holds(fd: int, found: os.stat_result) -> bool:
    """Return whether an open file has as many bytes as its stat ``found`` says, or is a file that grows. May block.

    Reads one byte: the last of a page, and of an empty file the one after its end. Raises OSError.
    """
    has_byte = bool(_read_at(fd, max(0, found.st_size - 1)))
    return has_byte == (found.st_size > 0) or os.fstat(fd).st_size != found.st_size


def _read_at(fd: int, offset: int) -> bytes:
    try:
        return os.pread(fd, 1, offset) if offset else os.read(fd, 1)  # not every stream has offsets
    except BlockingIOError:
        return b""  # a stream that has nothing at the moment


def pieces(fd: int, piece_bytes: int) -> Iterator[bytes]:
    """Yield the content of a file that was just opened, in pieces of at most ``piece_bytes``. May block."""
    while True:
        try:
            piece = os.read(fd, piece_bytes)
        except BlockingIOError:
            return
        if not piece:
            return
        yield piece
