"""A log in a file of its own: opened again when it was moved, rotated by size, shared by several processes.

**Goal.** Whatever happens to the file (moved, deleted, truncated, a full disk, a directory that is gone), no line is
lost that the queue has space for, and none is split.

**Rules.**

1. Every process has a descriptor of its own, which appends (O_APPEND, open(2)). So lines of several workers never mix,
   and a file that was truncated goes on at its start.
2. Before lines are written, the path is looked up. If it has another file, or none, it is opened again. So SIGHUP does
   nothing that the next line would not do; it only does it at once.
3. If that fails, the process writes to the file that it has, and says so once. If that file was deleted, lines wait.
4. To rotate, a process renames the files while it has the lock of the present one (flock(2)), if that is still at its
   path. The others notice by rule 2. A process that cannot get the lock writes on: another one rotates.

**Left out.** A process that hangs between rule 2 and its write may write to a file that was renamed meanwhile.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from freight.errors import ConfigurationError
from freight.model import Entry, Level
from freight.observe.line_writer import LineWriter
from freight.observe.log import Format, Log, Writer, lost_message
from freight.protocols import LogNotice

_MODE = 0o640
# O_NONBLOCK: a FIFO without a reader is an error, and no reason to wait.
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK


class Rotation(NamedTuple):
    """A file is rotated when it would exceed ``max_bytes``. ``kept`` rotated files remain."""

    max_bytes: int
    kept: int


def check_log_file(path: Path) -> None:
    """Raise ConfigurationError if the file cannot be written. It is not made: another user may check the settings."""
    directory = path.parent
    try:
        os.close(os.open(path, _FLAGS & ~os.O_CREAT))
    except FileNotFoundError:
        if not directory.is_dir():
            raise ConfigurationError(f"there is no directory {directory}; make it first", "log-file") from None
        if not os.access(directory, os.W_OK | os.X_OK):
            raise ConfigurationError(f"cannot make {path}: no permission to write to {directory}", "log-file") from None
    except OSError as error:
        raise ConfigurationError(f"cannot write to {path}: {error.strerror}", "log-file") from None


class FileLog(Log):
    """Writes notices to a descriptor, or to another ``target``, and entries to a file."""

    def __init__(
        self,
        target: int | Writer,
        form: Format,
        notice_bytes: int,
        path: Path,
        rotation: Rotation | None,
        entry_bytes: int,
    ) -> None:
        """Start two threads. ``notice_bytes`` and ``entry_bytes`` are the sizes of the queues."""
        super().__init__(target, form, notice_bytes)
        self._entries = _EntryLog(LogFile(path, rotation, self.notice), form, entry_bytes, self.warn)
        self._entries.reopen()  # the thread opens it, which may wait for a disk

    @property
    def lost_total(self) -> int:
        return self._lost_total + self._entries.lost_total

    def record(self, entry: Entry) -> None:
        self._entries.record(entry)

    def reopen(self) -> None:
        self._entries.reopen()

    def close(self, wait_seconds: float = 1.0) -> None:
        self._entries.close(wait_seconds)
        super().close(wait_seconds)


class _EntryLog(Log):
    """The lines of requests. ``warn`` logs how many were lost: the file has only lines of one form."""

    def __init__(self, file: LogFile, form: Format, queue_bytes: int, warn: Callable[[str], None]) -> None:
        self._warn = warn
        super().__init__(file, form, queue_bytes)

    def reopen(self) -> None:
        with self._condition:
            self._checking = True
            self._condition.notify()

    def _lost_line(self, count: int) -> str:
        self._warn(lost_message(count))
        return ""


class LogFile:
    """Appends lines to the file at ``path`` (:class:`freight.observe.log.Writer`). Opens it at the first call."""

    def __init__(self, path: str | os.PathLike[str], rotation: Rotation | None, notice: LogNotice) -> None:
        self._path = os.path.abspath(path)
        self._rotation = rotation
        self._notice = notice
        self._fd: int | None = None
        self._writer: LineWriter | None = None
        self._pending = b""  # while no file is open
        self._problem = ""  # the last one that was logged

    def write(self, data: bytes = b"") -> None:
        """Write what is pending, then ``data``, to the file that is at the path now.

        Raise OSError if none can be opened and the present one was deleted, or if that cannot be written.
        """
        self._pending += data
        writer = self._current(len(self._pending))
        data, self._pending = self._pending, b""
        writer.write(data)

    def wait(self, seconds: float) -> None:
        """Wait until a pipe can take more, but not longer than ``seconds``."""
        if self._writer is not None:
            self._writer.wait(seconds)

    def close(self) -> None:
        """Close the file."""
        fd, self._fd, self._writer = self._fd, None, None
        if fd is not None:
            with suppress(OSError):  # close(2): the descriptor is free whatever the disk says
                os.close(fd)

    def _current(self, more_bytes: int) -> LineWriter:
        """Return the writer of the file that is at the path, after it was rotated if ``more_bytes`` exceed its size."""
        if self._fd is None or self._writer is None:
            try:
                return self._open()
            except OSError as error:
                self._report(f"cannot open the log file {self._path}: {error.strerror}; trying again")
                raise
        status = os.fstat(self._fd)
        if self._is_at_path(status) and not self._rotate_if_due(self._fd, status, more_bytes):
            return self._writer
        try:
            return self._open()
        except OSError as error:
            if not status.st_nlink:  # what is written to a deleted file is lost
                self._report(f"cannot open the log file {self._path}: {error.strerror}; trying again")
                raise
            self._report(f"cannot open the log file {self._path}: {error.strerror}; writing to the one that was moved")
            return self._writer

    def _open(self) -> LineWriter:
        """Open the file at the path in place of the present one. A line that was begun there is written again here."""
        fd = os.open(self._path, _FLAGS, _MODE)
        if self._fd is not None and self._writer is not None:
            with suppress(OSError):
                if os.fstat(self._fd).st_nlink:  # else it was deleted
                    self._writer.write()  # its disk may have space by now
            self._pending = self._writer.take_pending() + self._pending
        self.close()
        self._fd, self._writer = fd, LineWriter(fd)
        if self._problem:
            self._problem = ""
            self._notice(Level.INFO, f"the log file {self._path} is open again")
        return self._writer

    def _is_at_path(self, status: os.stat_result) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), status)
        except OSError:
            return False

    def _rotate_if_due(self, fd: int, status: os.stat_result, more_bytes: int) -> bool:
        """Rotate the present file if it is large enough. Return whether another one is to be opened."""
        rotation = self._rotation
        if rotation is None or not stat.S_ISREG(status.st_mode) or not status.st_size:
            return False
        if status.st_size + more_bytes <= rotation.max_bytes:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            self._report(f"cannot rotate the log file {self._path}: {error.strerror}")
            return False
        try:
            if self._is_at_path(status):  # else another process has rotated it before this one had the lock
                _shift(os.path.realpath(self._path), rotation.kept)
        except OSError as error:
            self._report(f"cannot rotate the log file {self._path}: {error.strerror}")
            return False
        finally:
            fcntl.flock(fd, fcntl.LOCK_UN)
        return True

    def _report(self, problem: str) -> None:
        """Log a problem once."""
        if problem != self._problem:
            self._problem = problem
            self._notice(Level.WARNING, problem)


def _shift(path: str, kept: int) -> None:
    """Rename PATH to PATH.1, PATH.1 to PATH.2, and so on. The last one of ``kept`` files is replaced."""
    unused = next((number for number in range(1, kept) if not os.path.lexists(f"{path}.{number}")), kept)
    for number in range(unused - 1, 0, -1):
        with suppress(FileNotFoundError):
            os.rename(f"{path}.{number}", f"{path}.{number + 1}")
    os.rename(path, f"{path}.1")
