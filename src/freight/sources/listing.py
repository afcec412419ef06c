"""A directory's listing as a producer of bytes: as HTML (:mod:`freight.sources.page`), whole or a page, or as JSON."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from freight.core.target import encode
from freight.errors import Changed, ShortRead
from freight.legible import IN_JSON
from freight.sources import page
from freight.sources.beneath import Root
from freight.sources.entries import Directory, Entries

HTML, JSON = "text/html", "application/json"
PAGES = "text/html; pages"
"""What a browser has in place of :data:`HTML`: one page of the listing, not all of it."""

PIECE = 64 * 1024
# Long enough for the kernel to run another thread: without it the loop would wait for the interpreter's switch interval
# (5 ms) at each of its turns, as this thread takes the lock back at once after every call that releases it.
_PAUSE_SECONDS = 50e-6


class ListingReader:
    """Produces a directory's listing. Takes over the directory's descriptor ``fd``, also when it raises.

    :meth:`read` raises :class:`~freight.errors.ShortRead` when the directory is removed or the reader closed
    meanwhile, OSError when the directory cannot be read on. JSON is ``{"path", "entries": [{"name", "type", "size",
    "modified", "href"}]}``: sizes in bytes (null for directories), times in ISO 8601 UTC, links relative to the
    listing; bytes of a name that are not UTF-8 are spelt ``\\xNN`` in the name and true in the link.
    """

    __slots__ = ("_fd", "_left", "_pieces", "_reading", "device", "size")

    size: int | None

    def __init__(
        self, media_type: str, fd: int, directory: Directory, *, root: Root, hidden: bool, at_once: int, piece: int
    ) -> None:
        self._fd = fd
        self._left = False
        self._reading = threading.Lock()
        self.device = os.fstat(fd).st_dev
        entries = Entries(fd, directory, root, hidden, self._pause, at_once)
        if media_type == JSON:
            texts = _json(directory, entries)
        else:
            # What came by a link to a page has a page; who asks for the listing has all of it, unless by a browser.
            paged = media_type == PAGES or directory.start is not None
            texts = _html(directory, entries, page.ENTRIES if paged else None)
        self._pieces = _gathered(texts, piece)
        self.size = None

    def fileno(self) -> None:
        """None: this is a producer."""

    def check(self) -> None:
        """Raise :class:`~freight.errors.Changed` when the directory has been removed."""
        if os.fstat(self._fd).st_nlink == 0:
            raise Changed("the directory was removed")

    def read(self) -> bytes:
        """The next piece, at most 64 KiB; b"" at the end. Blocks on the disk, for a whole pass of the directory."""
        try:
            with self._reading:
                if self._left:
                    raise ShortRead("the listing is closed")
                return next(self._pieces, b"")
        finally:
            self._close_if_left()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._left = True
        self._close_if_left()

    def _pause(self) -> None:
        time.sleep(_PAUSE_SECONDS)
        if self._left:
            raise ShortRead("the listing is closed")

    def _close_if_left(self) -> None:
        # Whoever comes last closes: a descriptor closed under a read in the pool could be another client's by its next
        # call. A lock that is taken here is a read's (which comes by here when it ends) or another one closing.
        if self._left and self._reading.acquire(blocking=False):
            try:
                fd, self._fd = self._fd, -1
                if fd >= 0:
                    os.close(fd)
            finally:
                self._reading.release()


def _gathered(texts: Iterable[str], most: int) -> Iterator[bytes]:
    """Texts joined to pieces of at most ``most`` bytes."""
    piece = bytearray()
    for text in texts:
        piece += text.encode()
        while len(piece) > most:
            yield bytes(piece[:most])
            del piece[:most]
    yield bytes(piece)


def _html(directory: Directory, entries: Entries, most: int | None) -> Iterator[str]:
    windows = entries.windows(most)
    first = next(windows)
    size = None
    if not first.ahead and not first.behind:  # all that there is: its size is said in front of the names
        size = sum(item.size or 0 for item in entries.items(first))
    yield page.head(directory, first, most, size)
    edges = first.keys[:1]
    shown = 0
    for window in itertools.chain((first,), windows):
        for item in entries.items(window):
            yield page.row(item)
        shown += len(window.keys)
        edges[1:] = window.keys[-1:]
    yield page.foot(directory, first, edges, shown)


def _json(directory: Directory, entries: Entries) -> Iterator[str]:
    path = _legible("/" + "".join(name + "/" for name in directory.names))
    separator = "\n"
    yield f'{{"path": {json.dumps(path, ensure_ascii=False).translate(IN_JSON)}, "entries": ['
    for item in (item for window in entries.windows() for item in entries.items(window)):
        entry = {
            "name": _legible(item.name),
            "type": "directory" if item.size is None else "file",
            "size": item.size,
            "modified": page.utc(item.mtime_ns),
            "href": "." + encode((item.name,), item.size is None),
        }
        yield separator + json.dumps(entry, ensure_ascii=False).translate(IN_JSON)
        separator = ",\n"
    yield "\n]}\n"


def _legible(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
