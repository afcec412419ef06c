"""Keep reads of files off the event loop: fetch what is cold into the page cache, and read remote files by pieces.

**Goal.** A cold file, or a file system that does not answer, delays its own downloads only.

**Rules.**

1. A probe is preadv2(2) of one byte with ``RWF_NOWAIT``: it reads a cached byte, and fails with EAGAIN for any other,
   in about 1 us (decision 004). A range is probed every 512 KiB.
2. Where the flag is not supported, all bytes of a file system in memory are cached. Those of others are fetched, which
   costs a thread's time.
3. A fetch reads the range in a thread, with sendfile(2) to /dev/null: it copies nothing, and a single call does it all
   without the interpreter's lock. (A thread that is descheduled while it holds the lock would stall the loop.) Where
   that cannot be opened, as there is no /dev or no descriptor left, or is refused, pread(2) reads a buffer at a time.
4. A piece is bytes of a file that only a thread may touch (:attr:`freight.protocols.Reader.in_pieces`). Nothing is
   assumed of the page cache then: another machine may take its pages back at any time (decision 029).
5. A small body is read as in rule 1, if all of it is cached. It is copied twice, which costs less than the
   calls that sendfile(2) needs.

**Left out.** Bytes that are missing between two probes are read on the loop: probing every page would cost more. A page
may be evicted between probe and use.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from freight.fair_queue import Key
from freight.protocols import Reader
from freight.sources.disk_pool import DiskPool, Work
from freight.sources.file_systems import Storage, storage_of

T = TypeVar("T")

_PROBE_STRIDE = 512 * 1024  # the page cache fills and empties in runs of readahead, not by single pages
_ADVICE_BYTES = 1024 * 1024  # the kernel cuts larger requests (mm/readahead.c, force_page_cache_ra)

_NOWAIT = getattr(os, "RWF_NOWAIT", None)
_BYTE = [bytearray(1)]
_DISCARDED_BYTES = 64 * 1024  # read at a time, where nobody wants them


def read_cached(fd: int, data: memoryview, start: int) -> bool:
    """Fill ``data`` from a file if all of these bytes are in the page cache. Return whether they are known to be."""
    if _NOWAIT is None:
        return False
    try:
        return os.preadv(fd, [data], start, _NOWAIT) == len(data)
    except OSError:  # cold, or not supported; a thread reports a failing disk
        return False


def is_cached(fd: int, start: int, stop: int) -> bool:
    """Return whether the bytes ``[start, stop)`` of a file can be read without waiting for a disk, judged by probes.

    Takes about 1 us for each 512 KiB.
    """
    if _NOWAIT is None:
        return False
    try:
        for offset in range(start, stop, _PROBE_STRIDE):
            os.preadv(fd, _BYTE, offset, _NOWAIT)
        os.preadv(fd, _BYTE, stop - 1, _NOWAIT)
    except BlockingIOError:
        return False  # cold
    except OSError:  # usually EOPNOTSUPP; of a failing disk, the thread gets the same error and reports it
        return storage_of(fd) is Storage.MEMORY
    return True


class Prefetcher:
    """Reads files in the threads of ``pool``: cold ranges into the page cache, and pieces."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pool: DiskPool) -> None:
        self._loop = loop
        self._pool = pool

    def fetch(
        self, fd: int, start: int, stop: int, device: int, client: Key, done: Callable[[Exception | None], None]
    ) -> None:
        """Read ``[start, stop)`` of ``fd`` in a thread, then call ``done`` on the loop with the error or None.

        ``device`` and ``client`` decide the order: see :class:`freight.sources.disk_pool.DiskPool`. The descriptor may
        be closed meanwhile, as what is read is dropped. The error is an OSError, or a DiskTimeout when the file system
        does not answer.
        """
        self._submit(lambda: _read_through(fd, start, stop), device, client, done)

    def read(
        self,
        reader: Reader,
        start: int,
        stop: int,
        client: Key,
        done: Callable[[bytes | Exception], None],
        check: Callable[[], None] | None,
    ) -> None:
        """Read the piece ``[start, stop)`` of a file in a thread, then call ``done`` on the loop with it or an error.

        The piece is shorter at the file's end. ``check`` is called in the thread after the read. The error is one of
        :meth:`fetch`, or what ``check`` has raised.
        """
        fd = reader.fileno()
        assert fd is not None  # a producer is not read at offsets
        self._submit(lambda: _read_piece(fd, start, stop, check), reader.device, client, done)

    def _submit(self, call: Callable[[], T], device: int, client: Key, done: Callable[[T | Exception], None]) -> None:
        job = self._pool.submit(call, work=Work.READ, device=device, client=client)
        job.add_done_callback(lambda ended: self._report(ended, done))

    def _report(self, job: Future[T], done: Callable[[T | Exception], None]) -> None:
        if job.cancelled() or self._loop.is_closed():
            return  # the server ends
        error = job.exception()
        assert error is None or isinstance(error, Exception)
        self._loop.call_soon_threadsafe(done, job.result() if error is None else error)


def _read_piece(fd: int, start: int, stop: int, check: Callable[[], None] | None) -> bytes:
    piece = os.pread(fd, stop - start, start)
    if check is not None:
        check()
    return piece


def _read_through(fd: int, start: int, stop: int) -> None:
    """Read a range and drop it. Unlike POSIX_FADV_WILLNEED alone, this returns when every page is cached."""
    for ahead in range(start, stop, _ADVICE_BYTES):
        try:
            os.posix_fadvise(fd, ahead, min(_ADVICE_BYTES, stop - ahead), os.POSIX_FADV_WILLNEED)
        except OSError:
            break  # advice only: the reads below do the work
    try:
        with open(os.devnull, "wb", buffering=0) as null:
            while start < stop and (count := os.sendfile(null.fileno(), fd, start, stop - start)):
                start += count
    except OSError:
        pass  # of a failing disk, the reads below get the same error
    else:
        return  # all of it, or the file has become shorter, which the sender detects
    while start < stop and (count := len(os.pread(fd, min(_DISCARDED_BYTES, stop - start), start))):
        start += count
