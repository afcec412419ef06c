"""An open regular file, shared by all its downloads."""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Self

from freight import unsupported
from freight.errors import FileChanged
from freight.protocols import MoreMemory
from freight.sources.disk_pool import DiskPool
from freight.sources.file_systems import is_local

# write(2) sets the time before the size: 5 us apart on ext4 and tmpfs, 0.12 ms at most in 20,000 appends.
_APPEND_SECONDS = 0.001


class FileReader:
    """A descriptor of a regular file, and the ``size`` in bytes that its downloads send.

    A file may grow while it is sent: a log, or an export that still runs. Appending leaves the announced bytes as they
    are. ``found`` is its stat when it was opened. ``changed`` is set by the first check that fails.

    A file that is not on a local file system is read in pieces, by threads: a call for it may never return.

    All downloads of one file share a reader, because each reads at its own offsets: ten thousand of them cost one
    descriptor. Each user leaves the context once, and the last one closes it. Use it on the event loop only, except
    :meth:`check`.
    """

    __slots__ = ("_fd", "_known", "_on_close", "_pool", "_users", "changed", "ctime_ns", "device", "in_pieces", "size")

    size: int | None

    def __init__(self, fd: int, size: int, found: os.stat_result) -> None:
        self._fd = fd
        self.device = found.st_dev
        self.size = size
        self.in_pieces = not is_local(fd)
        self.changed = False
        self._known = found.st_size, found.st_mtime_ns
        self.ctime_ns = found.st_ctime_ns
        """When it was last changed before it was opened, its permissions included."""
        self._users = 1
        self._on_close: Callable[[], object] | None = None
        self._pool: DiskPool | None = None
        if not self.in_pieces:
            _disable_readahead(fd)

    def share(self) -> Self:
        """Return this reader for one more user."""
        self._users += 1
        return self

    def is_as_opened(self) -> bool:
        """Return whether it has not changed since it was opened, its permissions included. Never waits.

        A file that only threads may ask counts as unchanged until a check has failed.
        """
        return not self.changed and (self.in_pieces or os.fstat(self._fd).st_ctime_ns == self.ctime_ns)

    def call_when_closed(self, on_close: Callable[[], object]) -> None:
        """Call ``on_close`` when the last user has left."""
        self._on_close = on_close

    def close_in(self, pool: DiskPool) -> None:
        """Close the file in ``pool`` if it is read in pieces: a remote file system may make close(2) wait."""
        self._pool = pool

    def fileno(self) -> int:
        """Return the descriptor; -1 once closed, like a socket."""
        return self._fd

    def check(self) -> None:
        """Raise :class:`~freight.errors.FileChanged` if the file shrank, or was modified without growing.

        Once it has changed, every later check fails: a file that was truncated may have grown again before the next
        download that shares this reader checks it.
        """
        now = os.fstat(self._fd)
        size, mtime_ns = self._known
        if now.st_size == size and now.st_mtime_ns != mtime_ns:
            now = self._wait_for_growth(size)
        self._known = now.st_size, now.st_mtime_ns
        if now.st_size < size or (now.st_size == size and now.st_mtime_ns != mtime_ns):
            self.changed = True  # assigned and not computed from itself: threads may check at the same time
        if self.changed:
            raise FileChanged("the file changed while it was sent")

    def _wait_for_growth(self, size: int) -> os.stat_result:
        """Return the file's stat when another process that may be appending to it has set its new size."""
        deadline = monotonic() + _APPEND_SECONDS
        while (now := os.fstat(self._fd)).st_size == size and monotonic() < deadline:
            os.sched_yield()
        return now

    def read(self, more_memory: MoreMemory) -> bytes:
        """Raise TypeError: a file is read at offsets through its descriptor."""
        raise TypeError("a file is read through its descriptor")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the context. The last user closes the file."""
        self._users -= 1
        if self._users > 0 or self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        if self._on_close is not None:
            self._on_close()
        if self.in_pieces and self._pool is not None:
            self._pool.close_file(fd, self.device)
        else:
            os.close(fd)


def _disable_readahead(fd: int) -> None:
    """Forbid the kernel to read ahead by itself: it would start on the loop, and could wait there for the disk."""
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    except OSError as error:
        unsupported.note("posix_fadvise(2)", error, "cold files may be read with less foresight")
