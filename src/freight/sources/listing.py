"""Directory listings as producers of bytes: a page for a browser, or all entries as HTML or JSON for a program."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from freight.errors import FileChanged
from freight.sources import page, plain_page, rows
from freight.sources.beneath import Root
from freight.sources.disk_queue import note_progress
from freight.sources.entries import MEMORY_BYTES, Directory, Entries
from freight.sources.listing_version import Version, version_of
from freight.sources.producer import PIECE_BYTES, Producer
from freight.sources.records import item, key_of
from freight.sources.scans import Scans

HTML, JSON = "text/html", "application/json"
PAGES = "text/html; pages"
"""A browser gets this instead of :data:`HTML`: one page of the listing, not all of it."""

# Long enough for the kernel to run another thread. Without it, the loop would wait for the interpreter's switch
# interval (5 ms) in each of its turns: this thread takes the lock back at once after every call that releases it.
_YIELD_SECONDS = 50e-6


@dataclass(frozen=True, slots=True)
class ListingLimits:
    """The memory of one listing in bytes: for its entries, and for one piece."""

    memory_bytes: int = MEMORY_BYTES
    piece_bytes: int = PIECE_BYTES


class ListingReader(Producer):
    """Produces a directory's listing. Owns the directory's descriptor ``fd``, also if the constructor raises.

    ``root`` and ``avoided`` are as in :class:`~freight.sources.entries.Entries`. With a ``root``, it holds another
    descriptor, so that no pass fails for want of one; the constructor raises OSError if there is none.

    :meth:`read` raises :class:`~freight.errors.ShortRead` if the directory is removed or the reader closed meanwhile,
    :class:`~freight.errors.FileChanged` instead of the end if the directory has been removed by then, and OSError if
    the directory cannot be read further.

    JSON is ``{"path", "entries": [{"name", "type", "size", "modified", "href"}]}`` (docs/reference/listings.md).
    """

    __slots__ = ("_entries",)

    def __init__(
        self,
        media_type: str,
        fd: int,
        directory: Directory,
        *,
        root: Root | None,
        show_hidden: bool,
        limits: ListingLimits,
        avoided: frozenset[str] | None = None,
    ) -> None:
        if media_type == JSON:
            form, stamp = _json, rows.utc_time
        elif media_type == PAGES or directory.start is not None:  # a link to a page leads to a page for every client
            form, stamp = _browser_page, rows.utc_time
        else:
            form, stamp = _plain_page, rows.log_time
        self._entries: Entries | None
        try:
            scans = Scans(fd)
        except OSError:
            os.close(fd)
            raise
        self._entries = Entries(
            fd,
            directory,
            root,
            show_hidden,
            stamp,
            self._yield_interpreter,
            limits.memory_bytes,
            self.ask_for_memory,
            avoided,
            scans,
        )
        texts = form(directory, self._entries)
        super().__init__(fd, _checked(_joined(texts, limits.piece_bytes), fd))

    def version(self) -> Version | None:
        """Return the version of the listing; None for too many entries. Blocks on the disk, and raises as :meth:`read`.

        Reads the directory from its start: do not mix it with :meth:`read`.
        """
        with self.held_open():
            assert self._entries is not None  # the reader is open
            changed_ns = 0 if self._entries.root is None else os.fstat(self._fd).st_ctime_ns
            return version_of(self._entries, changed_ns)

    def _close_fd(self, close: Callable[[int], object]) -> None:
        super()._close_fd(close)
        if self._fd < 0 and self._entries is not None:
            self._entries.scans.close()
            self._entries = None  # they refer to this reader: without the cycle all is free at once

    def _yield_interpreter(self) -> None:
        note_progress()
        time.sleep(_YIELD_SECONDS)
        self.raise_if_closed()


def _joined(texts: Iterable[str], max_bytes: int) -> Iterator[bytes]:
    """Yield the texts as pieces of at most ``max_bytes``."""
    piece = bytearray()
    for text in texts:
        piece += text.encode()
        while len(piece) > max_bytes:
            yield bytes(piece[:max_bytes])
            del piece[:max_bytes]
    yield bytes(piece)


def _checked(pieces: Iterable[bytes], fd: int) -> Iterator[bytes]:
    """Yield the pieces, and raise FileChanged at their end if the directory has been removed."""
    yield from pieces
    if os.fstat(fd).st_nlink == 0:
        raise FileChanged("the directory was removed")


def _browser_page(directory: Directory, entries: Entries) -> Iterator[str]:
    max_entries = page.PAGE_ENTRIES
    first = entries.first_pass(max_entries)
    shows_all = first.is_whole and first.entries <= max_entries
    yield page.head(directory, first, max_entries, first.total_size if shows_all else None)
    begin = end = ""
    shown = 0
    for records in entries.records(first, max_entries):
        yield rows.html_rows(map(item, records))
        begin, end = begin or records[0], records[-1]
        shown += len(records)
    yield page.foot(directory, first, (key_of(begin), key_of(end)) if begin else None, shown)


def _plain_page(directory: Directory, entries: Entries) -> Iterator[str]:
    first = entries.first_pass()
    yield plain_page.head(directory, first, first.total_size if first.is_whole else None)
    for records in entries.records(first):
        yield rows.lines(records)
    yield plain_page.FOOT


def _json(directory: Directory, entries: Entries) -> Iterator[str]:
    path = "/" + "".join(name + "/" for name in directory.path)
    separator = "\n"
    yield f'{{"path": {rows.json_text(path)}, "entries": ['
    for records in entries.records(entries.first_pass()):
        yield separator + rows.json_elements(records)
        separator = ",\n"
    yield "\n]}\n"
