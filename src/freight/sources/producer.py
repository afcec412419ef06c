"""A reader without offsets, for content that is made or read while it is sent."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from freight.errors import ShortRead
from freight.protocols import MoreMemory
from freight.sources.disk_pool import DiskPool
from freight.sources.file_systems import is_local

PIECE_BYTES = 64 * 1024


def no_more() -> int:
    """Grant no more memory."""
    return 0


class Producer:
    """Produces ``pieces`` from the descriptor ``fd``, which it owns; a :class:`~freight.protocols.Reader`.

    :meth:`read` raises :class:`~freight.errors.ShortRead` if the reader is closed meanwhile, and whatever ``pieces``
    raises.
    """

    __slots__ = ("_closed", "_fd", "_is_local", "_more_memory", "_pieces", "_pool", "_reading", "device", "size")

    in_pieces = False

    size: int | None

    def __init__(self, fd: int, pieces: Iterator[bytes]) -> None:
        self._fd = fd
        self._closed = False
        self._reading = threading.Lock()
        self._more_memory: MoreMemory = no_more
        self._pieces = pieces
        self._pool: DiskPool | None = None
        self._is_local = is_local(fd)
        self.device = os.fstat(fd).st_dev
        self.size = None

    def close_in(self, pool: DiskPool) -> None:
        """Close the descriptor in ``pool`` if its file system is remote, which may make close(2) wait."""
        self._pool = None if self._is_local else pool

    def fileno(self) -> None:
        """Return None: this is a producer."""

    def check(self) -> None:
        """Do nothing: what has been read is what was there."""

    def read(self, more_memory: MoreMemory) -> bytes:
        """Return the next piece, at most 64 KiB; b"" at the end. May block."""
        with self.held_open():
            self._more_memory = more_memory
            return next(self._pieces, b"")

    @contextmanager
    def held_open(self) -> Iterator[None]:
        """Keep the descriptor open in this context, also if the reader is closed meanwhile."""
        try:
            with self._reading:
                self.raise_if_closed()
                yield
        finally:
            self._close_fd(os.close)

    def ask_for_memory(self) -> int:
        """Return how many more bytes ``pieces`` may use, 0 if none. Only within :meth:`read`."""
        return self._more_memory()

    def raise_if_closed(self) -> None:
        """Raise ShortRead once the reader is closed. For ``pieces`` that take long."""
        if self._closed:
            raise ShortRead("the reader is closed")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._closed = True
        self._close_fd(self._close_soon)

    def _close_soon(self, fd: int) -> None:
        if self._pool is None:
            os.close(fd)
        else:
            self._pool.close_file(fd, self.device)

    def _close_fd(self, close: Callable[[int], object]) -> None:
        """Close the descriptor by ``close`` once the reader is closed and no read runs.

        If a thread were reading, its next call could use the number for another client's file. Whatever holds the lock
        here calls this method when it ends: a read, or another close.
        """
        if self._closed and self._reading.acquire(blocking=False):
            try:
                fd, self._fd = self._fd, -1
                if fd >= 0:
                    close(fd)
                self._pieces = iter(())  # they may refer to this reader: without the cycle all is free at once
            finally:
                self._reading.release()
