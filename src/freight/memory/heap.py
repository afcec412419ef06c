"""The heap of the process: free pages go back to the operating system after many clients have left.

Python's own allocator takes memory in arenas of 1 MiB, and returns an arena only when it is empty. After many clients
that is never, because a long-lived object lies in each. The C library returns every free page when asked to
(malloc_trim(3)), so a server runs with its allocator (``PYTHONMALLOC=malloc``). Decision 010 has the measurements.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
from pathlib import Path
from typing import Any

_STATM, _MAPS = Path("/proc/self/statm"), Path("/proc/self/maps")
_ITERATORS_KEPT = 255  # FI_FREELIST_MAXLEN in Modules/_asynciomodule.c
_MADV_POPULATE_WRITE = 23  # madvise(2), since Linux 5.14


def trim_heap() -> None:
    """Return free pages, if the C library can. Collects only the youngest objects, so it takes milliseconds."""
    gc.collect(0)
    _malloc_trim()


def trim_heap_thoroughly() -> None:
    """Empty Python's own free lists, then return free pages. Walks through all objects: call it when there are few."""
    gc.collect()
    _renew_iterators()
    _malloc_trim()


def _malloc_trim() -> None:
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        pass


class _NoLoop:
    """The part of a loop that a new future needs."""

    def get_debug(self) -> bool:
        return False


def _renew_iterators() -> None:
    """Replace the iterators of futures that CPython keeps for reuse.

    It keeps up to 255 of those that ``await future`` makes, and a collection does not free them (decision 010). Each
    lies where it was made, among the memory of clients that have left, and so holds a page of it.
    """
    loop: Any = _NoLoop()
    future: asyncio.Future[None] = asyncio.Future(loop=loop)
    old = [future.__await__() for _ in range(_ITERATORS_KEPT)]
    fresh = [future.__await__() for _ in range(_ITERATORS_KEPT)]
    fresh.clear()  # CPython keeps these, and then has no place for the old ones
    old.clear()


def unshare_pages() -> None:
    """Make the pages of the heap and of loaded programs private that a fork has left shared.

    A worker writes to most of them once it serves, if only to count references. No client causes that growth, so it
    must be there before the first client.
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
    """Return the resident memory that is neither of a file nor shared, in bytes; 0 if unknown. Takes microseconds.

    Pages of the heap that a fork has left shared are included: see :func:`unshare_pages`.
    """
    try:
        return parse_statm(_STATM.read_bytes(), os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError):
        return 0


def parse_statm(text: bytes, page_bytes: int) -> int:
    """Return the resident bytes of ``/proc/pid/statm`` (proc(5)) without those of files and of shared memory.

    Raise ValueError if the text has too few numbers.
    """
    pages = text.split()
    if len(pages) < 3:
        raise ValueError("too few numbers in statm")
    return (int(pages[1]) - int(pages[2])) * page_bytes
