"""Never a cold read on the loop: ask whether the next bytes are in the page cache, and have a thread fetch them if not.

The question is preadv2(2) with ``RWF_NOWAIT``: it gives a byte that is in memory and EAGAIN for one that is not, in
about a microsecond. A file system that does not know the flag is either one that keeps its files in memory, where every
byte can be read at once, or one of which nothing is known: then a thread fetches every range first, which costs a
hand-over and never the loop.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable

from freight.core.line import Key
from freight.disk import DiskPool, Work

_STRIDE_BYTES = 512 * 1024  # one question each; the page cache fills and empties in runs of readahead, not by pages
_ADVICE_BYTES = 1024 * 1024  # more at once is cut short by the kernel (mm/readahead.c, force_page_cache_ra)

_NOWAIT = getattr(os, "RWF_NOWAIT", None)
_IN_MEMORY = frozenset((0x01021994, 0x858458F6, 0x958458F6))  # tmpfs, ramfs, hugetlbfs: linux/magic.h
_STATFS_BYTES = 256  # more than struct statfs has on any architecture
_BYTE = [bytearray(1)]


def resident(fd: int, start: int, stop: int) -> bool:
    """Whether the bytes ``[start, stop)`` of a file can be read without waiting for a disk, by samples.

    A part that is missing between two samples is read on the loop, the price of not asking for every page.
    """
    if _NOWAIT is None:
        return False
    try:
        for offset in range(start, stop, _STRIDE_BYTES):
            os.preadv(fd, _BYTE, offset, _NOWAIT)
        os.preadv(fd, _BYTE, stop - 1, _NOWAIT)
    except BlockingIOError:
        return False  # cold
    except OSError:  # EOPNOTSUPP, as a rule; a failing disk is met again by the thread, which can tell
        return _is_in_memory(fd)
    return True


def _is_in_memory(fd: int) -> bool:
    """Whether a file is of a file system that has no disk: statfs(2), whose ``f_type`` Python does not tell."""
    found = ctypes.create_string_buffer(_STATFS_BYTES)
    try:
        if ctypes.CDLL(None).fstatfs(fd, found):
            return False
    except (OSError, AttributeError):
        return False
    return int.from_bytes(found.raw[: ctypes.sizeof(ctypes.c_long)], sys.byteorder) in _IN_MEMORY


class Warmer:
    """Fetches cold ranges into the page cache, in the threads of ``pool``."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pool: DiskPool) -> None:
        self._loop = loop
        self._pool = pool

    def fetch(
        self, fd: int, start: int, stop: int, device: int, client: Key, done: Callable[[OSError | None], None]
    ) -> None:
        """Bring ``[start, stop)`` of ``fd`` into memory, then call ``done`` on the loop, with the error or None.

        ``device`` and ``client`` say whose turn it is: see :class:`freight.disk.DiskPool`.
        A descriptor closed meanwhile does no harm: what is read goes nowhere.
        """

        def job() -> None:
            try:
                _read_through(fd, start, stop)
            except OSError as error:
                outcome: OSError | None = error
            else:
                outcome = None
            self._loop.call_soon_threadsafe(done, outcome)

        self._pool.submit(job, work=Work.READ, device=device, client=client)


def _read_through(fd: int, start: int, stop: int) -> None:
    """Have a range read, and drop it. Unlike POSIX_FADV_WILLNEED this is back only when every page is there.

    By sendfile(2) to nowhere: nothing is copied, and one call does it all without the interpreter's lock, which a
    thread that is put aside while it holds it takes from the loop for as long.
    """
    for ahead in range(start, stop, _ADVICE_BYTES):
        try:
            os.posix_fadvise(fd, ahead, min(_ADVICE_BYTES, stop - ahead), os.POSIX_FADV_WILLNEED)
        except OSError:
            break  # advice; what follows does the work
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    try:
        while start < stop:
            count = os.sendfile(nowhere, fd, start, stop - start)
            if count == 0:
                return  # the file has become shorter, which the pump finds out
            start += count
    finally:
        os.close(nowhere)
