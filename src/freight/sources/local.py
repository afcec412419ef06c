"""A file, or everything beneath a directory.

Looking is a stat through an O_PATH descriptor, so that nothing is opened that could hang or act (a FIFO, a device). It
happens on the loop where the kernel has it in memory and in the pool where it does not.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

from freight.core.client import client_key
from freight.core.target import Target, encode, parse
from freight.disk import DiskPool, Work
from freight.errors import Changed, Unservable
from freight.model import Absence, Missing, Resource
from freight.ports import Reader
from freight.sources import page
from freight.sources.beneath import Root
from freight.sources.entries import WINDOW, Directory
from freight.sources.listing import HTML, JSON, PAGES, PIECE, ListingReader
from freight.sources.types import media_type
from freight.threads import OutOfThreads

_LOOK = os.O_PATH | os.O_CLOEXEC
# O_NONBLOCK: should a FIFO or a device have taken the file's place since it was located, the open must not wait for it.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_ABSENT = Absence(Missing.ABSENT)
_UNREADABLE = Absence(Missing.UNREADABLE)
_BUSY = Absence(Missing.BUSY)
_MALFORMED = Absence(Missing.MALFORMED)

_ABSENCES = {
    **dict.fromkeys((errno.EACCES, errno.EPERM), _UNREADABLE),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN), _BUSY),
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.ENAMETOOLONG), _ABSENT),
    **dict.fromkeys((errno.ENXIO, errno.ENODEV, errno.EINVAL, errno.EILSEQ, errno.ESTALE), _ABSENT),
}

_Found = TypeVar("_Found")


_Identity = tuple[int, int, int, int]  # device, inode, size, mtime_ns: two descriptors with the same read the same


@dataclass(frozen=True, slots=True)
class _File:
    """The way back to a regular file; ``size`` here too, because a Resource without a length does not have it."""

    names: tuple[str, ...]
    size: int
    identity: _Identity


class FileReader:
    """An open regular file: a descriptor and what it must stay. ``size`` in bytes.

    All downloads of the same file share one, as they read at offsets of their own: ten thousand of them cost one
    descriptor. Each leaves the context once; the last one closes it. Used on the loop only.
    """

    __slots__ = ("_fd", "_mtime_ns", "_on_close", "_users", "device", "size")

    size: int | None

    def __init__(self, fd: int, size: int, mtime_ns: int | None, device: int) -> None:
        self._fd = fd
        self.device = device
        self.size = size
        self._mtime_ns = mtime_ns
        self._users = 1
        self._on_close: Callable[[], object] | None = None

    def share(self) -> Self:
        """This reader for one more user."""
        self._users += 1
        return self

    def call_when_closed(self, on_close: Callable[[], object]) -> None:
        """Have ``on_close`` called when the last user has left."""
        self._on_close = on_close

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        return self._fd

    def check(self) -> None:
        """Raise :class:`Changed` when the file's size or mtime_ns are no longer those that were located."""
        now = os.fstat(self._fd)
        if now.st_size != self.size or now.st_mtime_ns != self._mtime_ns:
            raise Changed("the file changed while it was sent")

    def read(self) -> bytes:
        """Never: a file is read at offsets through its descriptor."""
        raise TypeError("a file is read through its descriptor")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._users -= 1
        if self._users > 0 or self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        os.close(fd)
        if self._on_close is not None:
            self._on_close()


class LocalSource:
    """Serves ``path``: a directory and what is beneath it, or one file, at ``/`` and at ``/<its name>``.

    A directory is held open from here on; a file's path is looked up each time, so that a link the operator turns to
    another file is followed. Links inside a directory are followed with ``follow_links`` only, and then only beneath
    it. Names that start with a dot are absent unless ``hidden``. With ``no_length`` a file's size is not told. ``pool``
    takes the calls that may wait for a disk; ``entries_at_once`` is how many a listing holds, which is
    made in pieces of ``piece_bytes``. ``stepwise``: see
    :class:`~freight.sources.beneath.Root`.

    Raises :class:`~freight.errors.Unservable` when the path cannot be served.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        follow_links: bool = False,
        hidden: bool = False,
        no_length: bool = False,
        pool: DiskPool,
        stepwise: bool = False,
        entries_at_once: int = WINDOW,
        piece_bytes: int = PIECE,
    ) -> None:
        whole = os.path.abspath(os.fspath(path))
        self._hidden = hidden
        self._entries_at_once = entries_at_once
        self._piece_bytes = piece_bytes
        self._no_length = no_length
        self._pool = pool
        self._served = os.path.basename(whole) or "freight"
        self._only = ""
        self._absent = _ABSENT
        self._open_files: dict[_Identity, FileReader] = {}
        try:
            # Opened for reading, to say now rather than to the first client that it cannot be.
            probe = os.open(whole, _READ)
            try:
                found = os.fstat(probe)
            finally:
                os.close(probe)
            self.device, mode = found.st_dev, found.st_mode
            if stat.S_ISDIR(mode):
                self._root = Root(whole, "beneath" if follow_links else "refused", stepwise=stepwise)
            elif stat.S_ISREG(mode):
                above, self._only = os.path.split(whole)
                self._absent = Absence(Missing.ABSENT, only=self._only)
                self._root = Root(above, "anywhere", stepwise=stepwise)
            else:
                raise Unservable(f"{os.fspath(path)} is neither a file nor a directory", "path")
        except OSError as error:
            raise Unservable(f"cannot serve {os.fspath(path)}: {error.strerror}", "path") from error

    def close(self) -> None:
        """Give back the root's descriptor; readers that are open stay so."""
        self._root.close()

    def list_by(self, entries_at_once: int, piece_bytes: int) -> None:
        """From now on listings hold so many entries, and are made in pieces of so many bytes."""
        self._entries_at_once, self._piece_bytes = entries_at_once, piece_bytes

    async def locate(self, target: str, client: str) -> Resource | Absence:
        """What is at a request target (:class:`freight.ports.Source`). Raises OSError for a failing disk."""
        parsed = parse(target)
        if parsed is None:
            return _MALFORMED
        if parsed.nowhere or not self._shown(parsed):
            return self._absent
        return await self._now_or_in_pool(client, lambda cached: self._look(parsed, target, cached))

    async def open(self, resource: Resource, media_type: str, client: str) -> Reader | Absence:
        """Open what :meth:`locate` found, in one of its media types.

        Raises :class:`~freight.errors.Changed` when it is gone or another by now, OSError for a failing disk.
        """
        key = resource.key
        shared = self._open_files.get(key.identity) if isinstance(key, _File) else None
        if shared is not None:
            return shared.share()
        reader = await self._now_or_in_pool(client, lambda cached: self._open(resource, media_type, cached))
        if isinstance(reader, FileReader) and isinstance(key, _File) and key.identity not in self._open_files:
            self._open_files[key.identity] = reader
            reader.call_when_closed(lambda: self._open_files.pop(key.identity))
        return reader

    async def _now_or_in_pool(self, client: str, call: Callable[[bool], _Found]) -> _Found | Absence:
        try:
            return call(True)
        except BlockingIOError:
            pass
        try:
            future = self._pool.submit(
                lambda: _unless_busy(call), work=Work.LOOKUP, device=self.device, client=client_key(client)
            )
        except OutOfThreads:
            return _BUSY
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            # The pool may be past the point of cancelling: what it still opens is nobody's, and must be closed.
            future.add_done_callback(_discard)
            raise

    def _shown(self, target: Target) -> bool:
        if self._only:
            return (target.segments == (self._only,) and not target.directory) or not target.segments
        return self._hidden or not any(name.startswith(".") for name in target.segments)

    def _look(self, target: Target, raw: str, cached: bool) -> Resource | Absence:
        names = (self._only,) if self._only else target.segments
        try:
            fd = self._root.open(names, _LOOK, cached=cached)
            try:
                found = os.fstat(fd)
            finally:
                os.close(fd)
        except OSError as error:
            return _absence(error)
        if stat.S_ISREG(found.st_mode) and (self._only or not target.directory):
            size = found.st_size
            return Resource(
                names[-1],
                None if self._no_length else size,
                found.st_mtime_ns,
                (media_type(names[-1]),),
                _File(names, size, _identity(found)),
                only=self._only,
            )
        if stat.S_ISDIR(found.st_mode) and not self._only:
            if not target.directory:
                return Absence(Missing.MOVED, encode(names, True) + _query(raw))
            key = Directory.asked(names, target.query, self._served)
            offered, policy = (HTML, JSON), page.POLICY
            return Resource("", None, None, offered, key, produced=True, browser_type=PAGES, policy=policy)
        return self._absent

    def _open(self, resource: Resource, media_type: str, cached: bool) -> Reader | Absence:
        key = resource.key
        assert isinstance(key, _File | Directory)
        try:
            if isinstance(key, Directory):
                fd = self._root.open(key.names, _READ | os.O_DIRECTORY, cached=cached)
                return ListingReader(
                    media_type,
                    fd,
                    key,
                    root=self._root,
                    hidden=self._hidden,
                    at_once=self._entries_at_once,
                    piece=self._piece_bytes,
                )
            fd = self._root.open(key.names, _READ, cached=cached)
        except OSError as error:
            absence = _absence(error)
            if absence.why is Missing.ABSENT:
                raise Changed("gone since it was located") from error
            return absence
        reader = FileReader(fd, key.size, resource.mtime_ns, key.identity[0])
        try:
            found = os.fstat(fd)
            if stat.S_ISREG(found.st_mode) and _identity(found) == key.identity:
                # No readahead behind our back: it would be started, and could have to wait for the disk, on the loop.
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
                return reader
            raise Changed("another file since it was located")
        except BaseException:
            reader.__exit__(None, None, None)
            raise


def _identity(found: os.stat_result) -> _Identity:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _absence(error: OSError) -> Absence:
    """What an error of open(2) means to a client. Raises the error itself when a surprise, or asking for the pool."""
    if isinstance(error, BlockingIOError) or error.errno not in _ABSENCES:
        raise error
    return _ABSENCES[error.errno]


def _unless_busy(call: Callable[[bool], _Found]) -> _Found | Absence:
    try:
        return call(False)
    except BlockingIOError:
        return _BUSY


def _discard(future: Future[_Found]) -> None:
    if not future.cancelled() and future.exception() is None:
        result = future.result()
        if hasattr(result, "__exit__"):
            result.__exit__(None, None, None)


def _query(raw: str) -> str:
    """A target's query with its question mark, as it came; what may not stand in a field is percent-encoded."""
    _, mark, query = raw.partition("?")
    return mark + "".join(c if "!" <= c <= "~" else f"%{ord(c):02X}" for c in query)
