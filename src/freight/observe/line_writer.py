"""Writes lines to a descriptor that other processes share, and that may fail or block for a while.

A Python stream would not do: its lock, held by a thread that waits, would block the exit. Each write has at most
PIPE_BUF bytes, which a pipe takes in one piece (pipe(7)): other workers write there too, but never within a line.
"""

from __future__ import annotations

import os
import select
import time
from select import PIPE_BUF


class LineWriter:
    """Writes to the descriptor ``fd``, and keeps what could not be written for the next attempt.

    A line of which only a part was written is completed by the next attempt. If the file has changed since (another
    process has written to it, or it was rotated), the line is written again, whole, in a line of its own.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._pending = b""
        self._begun = b""  # what is written of a line that is not complete
        self._size = 0  # of the file, after that

    def write(self, data: bytes = b"") -> None:
        """Write what is pending, then ``data``, which is whole lines. May block: on a full pipe, or a hung disk.

        Raises OSError, for example for a full disk; BlockingIOError for a full pipe that does not block. What is not
        written then is pending.
        """
        self._pending += data
        if self._begun and (size := self._file_size()) != self._size:
            self._pending = (b"\n" if size else b"") + self._begun + self._pending
            self._begun = b""
        try:
            while self._pending:
                piece = _first_piece(self._pending)
                count = os.write(self._fd, piece)
                self._begun = (self._begun + piece[:count]).rpartition(b"\n")[2]
                self._pending = self._pending[count:]
        finally:
            self._size = self._file_size() if self._begun else 0

    def take_pending(self) -> bytes:
        """Return what is not written, in whole lines, for another writer. Nothing is pending here any more."""
        pending, self._pending, self._begun = self._begun + self._pending, b"", b""
        return pending

    def wait(self, seconds: float) -> None:
        """Wait until a non-blocking pipe can take more, but not longer than ``seconds``."""
        writable = select.poll()
        writable.register(self._fd, select.POLLOUT)
        writable.poll(seconds * 1000)

    def _file_size(self) -> int:
        """Return the size of the file; 0 for a pipe, which tells nothing."""
        try:
            return os.fstat(self._fd).st_size
        except OSError:
            return 0


def _first_piece(data: bytes) -> bytes:
    """Return the first lines that a pipe takes in one piece; of a longer line, the start."""
    if len(data) <= PIPE_BUF:
        return data
    return data[: data.rfind(b"\n", 0, PIPE_BUF) + 1 or PIPE_BUF]


def write_within(fd: int, data: bytes, seconds: float) -> str:
    """Write lines to ``fd``, but wait no longer than ``seconds`` for a pipe. Return "", or why that failed."""
    deadline = time.monotonic() + seconds
    writable = select.poll()
    writable.register(fd, select.POLLOUT)
    try:
        while data:
            if not writable.poll(max(0.0, deadline - time.monotonic()) * 1000):
                return "its reader has stalled"
            data = data[os.write(fd, _first_piece(data)) :]
    except BlockingIOError:  # another process was faster
        return "its reader has stalled"
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""
