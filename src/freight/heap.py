"""The process's heap: what a crowd has left there goes back to the operating system.

Python's own allocator takes memory in megabytes and gives one back when nothing at all is left in it, which after a
crowd is never: some long-lived object lies in each. The C library's gives back every free page when asked to
(malloc_trim(3)), so a server runs with that one (``PYTHONMALLOC=malloc``). docs/decisions/010 has the measurement.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
from pathlib import Path
from typing import Any

_STATM, _MAPS = Path("/proc/self/statm"), Path("/proc/self/maps")
_ITERATORS = 255  # FI_FREELIST_MAXLEN in Modules/_asynciomodule.c
_MADV_POPULATE_WRITE = 23  # madvise(2), since Linux 5.14


def give_back(thorough: bool) -> None:
    """Give free pages back, where the C library can.

    ``thorough``: empty Python's own free lists first, which walks through all objects that are there: where few are.
    """
    gc.collect(2 if thorough else 0)
    if thorough:
        _renew_iterators()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        pass


class _NoLoop:
    """What a future asks of its loop when it is made."""

    def get_debug(self) -> bool:
        return False


def _renew_iterators() -> None:
    """Have CPython keep other iterators of futures than those that a crowd has left it.

    It keeps up to 255 of those that ``await future`` makes for the next ones, and a collection does not free them
    (docs/decisions/010). Each lies where it was made, among what the crowd had, and holds a page of it.
    """
    loop: Any = _NoLoop()
    future: asyncio.Future[None] = asyncio.Future(loop=loop)
    left = [future.__await__() for _ in range(_ITERATORS)]
    fresh = [future.__await__() for _ in range(_ITERATORS)]
    fresh.clear()  # these are kept now, and there is no room for the others
    left.clear()


def own_pages() -> None:
    """Have the pages of the heap and of loaded programs for ourselves, where a fork has left us to share them.

    A worker writes to most of them once it serves, if only to count references. What it would then grow by is no
    client's, so it is to be there from the start.
    """
    try:
        madvise = ctypes.CDLL(None).madvise
        for line in _MAPS.read_text().splitlines():
            span, access, *_, path = line.split(maxsplit=5)
            if access.startswith("rw-p") and (path == "[heap]" or path.startswith("/")):
                start, stop = (int(part, 16) for part in span.split("-"))
                madvise(ctypes.c_void_p(start), ctypes.c_size_t(stop - start), _MADV_POPULATE_WRITE)
    except (OSError, AttributeError):
        pass


def private_bytes() -> int:
    """Memory that is this process's own, in bytes, in some microseconds; 0 where nobody says."""
    try:
        return parse_statm(_STATM.read_bytes(), os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError):
        return 0


def parse_statm(text: bytes, page_bytes: int) -> int:
    """The resident bytes in ``statm``, proc(5), less those that a file or another process has too.

    Raises ValueError when they are not in it.
    """
    pages = text.split()
    if len(pages) < 3:
        raise ValueError("too few numbers in statm")
    return (int(pages[1]) - int(pages[2])) * page_bytes
