"""Walk the files below a directory in order, read them, and set their times. Links are never followed."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from freight.names import from_system, to_bytes
from freight.sources.beneath import Root
from freight.tools.stamp.manifest import Names

_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file; ``size`` in bytes, ``mtime_ns`` since the epoch."""

    names: Names
    size: int
    mtime_ns: int


def walk(root: Root, hidden: bool, but: Collection[Names] = ()) -> Iterator[Found]:
    """Yield all regular files in order, except ``but``. Names that begin with a dot need ``hidden``.

    It holds the names of one directory per level. Raises OSError for a directory that cannot be read.
    """
    pending = [_entries(root, (), hidden)]
    while pending:
        names = next(pending[-1], None)
        if names is None:
            pending.pop()
            continue
        try:
            fd = root.open(names, os.O_PATH | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue  # removed since
        try:
            about = os.fstat(fd)
        finally:
            os.close(fd)
        if stat.S_ISDIR(about.st_mode):
            pending.append(_entries(root, names, hidden))
        elif stat.S_ISREG(about.st_mode) and names not in but:
            yield Found(names, about.st_size, about.st_mtime_ns)


def _entries(root: Root, names: Names, hidden: bool) -> Iterator[Names]:
    try:
        fd = root.open(names, os.O_RDONLY | os.O_DIRECTORY)
        try:
            listed = map(from_system, os.listdir(fd))
        finally:
            os.close(fd)
    except OSError as error:
        raise OSError(error.errno, error.strerror, "/".join(names) or ".") from None
    for name in sorted(listed, key=to_bytes):
        if hidden or not name.startswith("."):
            yield (*names, name)


def digest(root: Root, found: Found, read: Callable[[int], object]) -> str | None:
    """Return the digest of a file, in hex; None if it has changed since it was found.

    ``read`` is called with the length of each piece. Raises OSError if the file cannot be read.
    """
    fd = root.open(found.names, _READ)
    try:
        if not _is_still(fd, found):
            return None
        hashed, piece = hashlib.sha256(), bytearray(_PIECE_BYTES)
        view = memoryview(piece)
        while count := os.readv(fd, [piece]):
            hashed.update(view[:count])
            read(count)
        return hashed.hexdigest() if _is_still(fd, found) else None
    finally:
        os.close(fd)


def set_time(root: Root, found: Found, mtime_ns: int) -> bool:
    """Set the modification time of a file. Return False if the file has changed, or did not keep the time.

    Not every file system stores nanoseconds. Raises OSError without permission.
    """
    fd = root.open(found.names, _READ)
    try:
        if not _is_still(fd, found):
            return False
        os.utime(fd, ns=(os.fstat(fd).st_atime_ns, mtime_ns))
        return os.fstat(fd).st_mtime_ns == mtime_ns
    finally:
        os.close(fd)


def _is_still(fd: int, found: Found) -> bool:
    about = os.fstat(fd)
    return stat.S_ISREG(about.st_mode) and (about.st_size, about.st_mtime_ns) == (found.size, found.mtime_ns)
