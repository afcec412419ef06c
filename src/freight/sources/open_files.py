"""The open files of a source: one descriptor for all downloads of a file, and for ranges of it that follow soon.

**Invariants.**

1. A file is open while a download uses it, and otherwise at most KEPT_SECONDS after its last use.
2. At most MAX_KEPT files are open that no download uses.
3. A file whose permissions have changed since it was opened has no further users: it is opened again, if that is still
   permitted.

**Left out.** Whether a path still names a file: the caller looks that up for each request.
"""

from __future__ import annotations

import asyncio

from freight.sources.file_reader import FileReader
from freight.sources.lookup import Identity

KEPT_SECONDS = 2.0
"""The longest time that a file stays open after its last use."""

MAX_KEPT = 32
"""The largest number of files that stay open without a download."""


class OpenFiles:
    """Keeps the readers of open files by the identity of the file. Use it on the event loop only."""

    __slots__ = ("_kept", "_readers", "_timer", "_used")

    def __init__(self) -> None:
        self._readers: dict[Identity, FileReader] = {}
        self._kept: dict[Identity, FileReader] = {}  # in the order in which they were kept
        self._used: set[Identity] = set()  # of those that are kept: used since the last sweep
        self._timer: asyncio.TimerHandle | None = None

    def add(self, identity: Identity, reader: FileReader) -> None:
        """Add an open file until it is closed. One that is there already stays instead, if it can still be shared."""
        before = self._readers.get(identity)
        if before is None or not before.is_as_opened():
            self._readers[identity] = reader
            reader.call_when_closed(lambda: self._forget(identity, reader))

    def share(self, identity: Identity) -> FileReader | None:
        """Return the reader of an open file for one more user. None: it is not open, or has changed."""
        reader = self._readers.get(identity)
        return reader.share() if reader is not None and reader.is_as_opened() else None

    def kept(self, identity: Identity) -> FileReader | None:
        """Return the reader of a file that is kept open, which may have changed. None: it is not."""
        return self._kept.get(identity)

    def use(self, identity: Identity, ctime_ns: int) -> bool:
        """Note that a file that is kept open is used. Return False if it is not, or its status has changed meanwhile.

        A change of its permissions shows in ``ctime_ns``.
        """
        reader = self._kept.get(identity)
        if reader is None or reader.ctime_ns != ctime_ns:
            return False
        self._used.add(identity)
        return True

    def keep(self, identity: Identity) -> None:
        """Keep a file open that is open now, in place of the one kept first if there are MAX_KEPT."""
        reader = self.share(identity)
        if reader is None:
            return
        if reader.in_pieces or self._kept.get(identity) is reader:
            reader.close()
            return
        if identity in self._kept:
            self._drop(identity)
        elif len(self._kept) >= MAX_KEPT:
            self._drop(next(iter(self._kept)))
        self._kept[identity] = reader
        self._used.add(identity)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(KEPT_SECONDS / 2, self._sweep)

    def close(self) -> None:
        """Keep no file open any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for identity in tuple(self._kept):
            self._drop(identity)

    def _sweep(self) -> None:
        """Close the files that were not used since the last sweep, which was half of KEPT_SECONDS ago."""
        self._timer = None
        for identity in tuple(self._kept):
            if identity not in self._used:
                self._drop(identity)
        self._used.clear()
        if self._kept:
            self._timer = asyncio.get_running_loop().call_later(KEPT_SECONDS / 2, self._sweep)

    def _forget(self, identity: Identity, reader: FileReader) -> None:
        if self._readers.get(identity) is reader:
            del self._readers[identity]

    def _drop(self, identity: Identity) -> None:
        self._used.discard(identity)
        self._kept.pop(identity).close()
