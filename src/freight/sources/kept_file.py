"""A file that is kept open, and the way back to it (:class:`freight.protocols.KeptOpen`)."""

from __future__ import annotations

from freight.sources.beneath import join
from freight.sources.file_reader import FileReader
from freight.sources.followed_root import FollowedRoot
from freight.sources.lookup import FileKey, identity_of
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
        reader = self._files.kept(self._identity)
        return None if reader is None or reader.changed else reader.fileno()

    def is_current(self) -> bool:
        """Return whether the path still names the file, unchanged. That is a use of the open file. Never waits."""
        if self._followed.is_due():
            return False
        try:
            found = self._calls.stat_cached(self._path)
        except OSError:
            return False
        return identity_of(found) == self._identity and self._files.use(self._identity, found.st_ctime_ns)

    def check(self) -> None:
        """Raise FileChanged if the open file has changed."""
        self._reader().check()

    def share(self) -> FileReader:
        """Return the reader of the open file for one more user."""
        return self._reader().share()

    def _reader(self) -> FileReader:
        reader = self._files.kept(self._identity)
        assert reader is not None, "it was open, and nothing has run since"
        return reader
