"""A file that is kept open, and the way back to it (:class:`freight.protocols.KeptOpen`)."""

from __future__ import annotations

from freight.sources.beneath import join
from freight.sources.file_reader import FileReader
from freight.sources.followed_root import FollowedRoot
from freight.sources.lookup import FileKey
from freight.sources.lookup_calls import LookupCalls
from freight.sources.open_files import OpenFiles


class KeptFile:
    """The file of ``key`` in ``files``. It is looked up below the root by ``calls``, and ``followed`` is that root."""

    __slots__ = ("_calls", "_files", "_followed", "_identity", "_path")

    def __init__(self, key: FileKey, followed: FollowedRoot, calls: LookupCalls, files: OpenFiles) -> None:
        self._identity = key.identity
        self._path = join(key.names)
        self._followed = followed
        self._calls = calls
        self._files = files

    def fileno(self) -> int | None:
        """Return the descriptor, or None when the file is not open any more, or has changed."""
        reader = self._files.use_kept(self._identity)
        return None if reader is None else reader.fileno()

    def is_current(self) -> bool:
        """Return whether the path still names the file, with the same size and time of modification. Never waits."""
        if self._followed.is_due():
            return False
        try:
            found = self._calls.stat_cached(self._path)
        except OSError:
            return False
        return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns) == self._identity

    def check(self) -> None:
        """Raise FileChanged if the open file has changed."""
        self._files.kept(self._identity).check()

    def share(self) -> FileReader:
        """Return the reader of the open file for one more user."""
        return self._files.kept(self._identity).share()
