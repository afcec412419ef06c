"""A source of local files: one file, or everything below a directory.

:mod:`freight.sources.lookup_calls` decides what runs on the event loop, and what in the pool.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from freight.errors import ConfigurationError, FileChanged, TransferError
from freight.http.target import Target, parse
from freight.model import NotFound, NotFoundReason, Resource
from freight.names import from_system
from freight.protocols import KeptOpen, LogNotice, Reader
from freight.sources.beneath import Links, Root
from freight.sources.disk_pool import DiskPool, Home, Work
from freight.sources.entries import Directory
from freight.sources.file_reader import FileReader
from freight.sources.followed_root import FollowedRoot
from freight.sources.kept_file import KeptFile
from freight.sources.listing import JSON, ListingLimits, ListingReader
from freight.sources.listing_version import Version
from freight.sources.lookup import (
    PATH_ONLY,
    READ,
    FileKey,
    Lookup,
    Opener,
    SourceOptions,
    identity_of,
    not_found,
)
from freight.sources.lookup_calls import LookupCalls
from freight.sources.open_files import OpenFiles
from freight.sources.producer import Producer
from freight.sources.records import Facts, Kind
from freight.sources.served_path import ServedPath, examine
from freight.sources.unsized import pieces
from freight.threads import OutOfThreads

_VERSION_SECONDS = 1.0  # a listing without validators is better than a longer wait

_Reader = TypeVar("_Reader", FileReader, Producer)

MALFORMED = NotFound(NotFoundReason.MALFORMED)
"""The outcome for a target that is no path."""


@dataclass(frozen=True, slots=True)
class Place:
    """A source's place among several.

    - ``point``: the names of the URL path at which it is.
    - ``served``: the name of all that is served; "": the path's.
    - ``number``: no other source has the same.
    """

    point: tuple[str, ...] = ()
    served: str = ""
    number: int = 0


class LocalSource:
    """Serves ``path``: a directory and everything below it, or one file, at ``/`` and at ``/<its name>``.

    One of several sources has a ``place`` among them, where targets begin.

    The path is looked up again, that of a directory at most once a second, so the operator can turn a link. Links
    inside a directory are followed with ``follow_symlinks``, and out of it only to ``allow_links_to``. ``pool`` runs
    the calls that may wait for a disk.

    Raises :class:`~freight.errors.ConfigurationError` when the path cannot be served.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        pool: DiskPool,
        options: SourceOptions | None = None,
        listing_limits: ListingLimits | None = None,
        place: Place | None = None,
    ) -> None:
        options = options or SourceOptions()
        place = place or Place()
        setting = "mount" if place.point else "path"
        path = os.fspath(path)
        try:
            found = examine(path, setting)
            self._followed = FollowedRoot(found.root, _opener(found, options))
        except OSError as error:
            raise ConfigurationError(f"cannot serve {path}: {error.strerror}", setting) from error
        for each in options.allow_links_to:
            if not os.path.isdir(each):
                raise ConfigurationError(f"{each} is not a directory", "allow-links-to")
        self._show_hidden = options.show_hidden
        self._listing_limits = listing_limits or ListingLimits()
        self._pool = pool
        self._open_files = OpenFiles()
        self._path = os.path.abspath(path)
        self._only_file = found.only_file
        self.home = Home(found.device, self._probe)
        """The file system of the served path."""
        self._calls = LookupCalls(
            pool, self.home, self._root, found.on_local, follows_file=self.is_file, number=place.number
        )
        served = place.served or from_system(os.path.basename(self._path)) or "freight"
        self._lookup = Lookup(options, served, found.only_file, place.point)

    def close(self) -> None:
        """Close the root's descriptor, and the files that no download uses. Open readers stay open."""
        self._open_files.close()
        self._calls.close()
        self._root.close()

    @property
    def homes(self) -> tuple[Home, ...]:
        """The file systems of the served paths."""
        return (self.home,)

    @property
    def is_file(self) -> bool:
        """Whether one file is served."""
        return bool(self._only_file)

    @property
    def only_file(self) -> str:
        """The name of the one file that is served, which is at ``/`` too; "" if a directory is served."""
        return self._only_file

    @property
    def may_hang(self) -> bool:
        """Whether a file system that is served is remote, so that a call on it may never return."""
        return self._calls.may_hang

    def path_of(self, device: int) -> str:
        """Return where a file system is mounted, for a message to the operator."""
        return self.find_path_of(device) or device_name(device)

    def find_path_of(self, device: int) -> str:
        """Return where a file system is mounted, or "" if it is not that of the served path or of something below."""
        return self._path if device == self.home.device else self._calls.path_of(device) or ""

    @property
    def served(self) -> str:
        """The name of all that is served."""
        return self._lookup.served

    async def examine(self, client: str | bytes) -> Facts:
        """Return what a listing shows of the served path; only its kind if that cannot be found out."""
        names = (self._only_file,) if self._only_file else ()
        kind: Kind = "file" if self._only_file else "directory"
        found = await self._calls.now_or_in_pool(client, names, lambda open_path: _stat(names, open_path))
        if isinstance(found, NotFound):
            return kind, 0, None, None
        return kind, found.st_size if self._only_file else 0, found.st_mtime_ns, found.st_ctime_ns

    def _probe(self) -> None:
        """Return if the served path's file system answers. May never return."""
        os.fstatvfs(self._root.fileno())

    def start(self, log_notice: LogNotice) -> None:
        """Prepare this process for look-ups. Log to the operator when the path names another directory, or none."""
        self._calls.start()
        self._followed.log_notice = log_notice

    def check_path_soon(self) -> None:
        """Look up, before the next request, which directory the path names."""
        self._followed.check_soon()

    @property
    def _root(self) -> Root:
        return self._followed.current

    def set_listing_limits(self, limits: ListingLimits) -> None:
        """Use these limits for listings from now on."""
        self._listing_limits = limits

    async def locate(
        self,
        target: str,
        client: str | bytes,
        parsed: Target | None = None,
        mounted: tuple[tuple[str, Facts], ...] = (),
        *,
        revealed: bool = False,
    ) -> Resource | NotFound:
        """Look a request target up (:class:`freight.protocols.Source`). Raises OSError for a failing disk.

        ``parsed``: the target as it is below this source's place; None if that is the root. ``mounted``: the entries of
        a listing that are other sources.
        """
        if parsed is None:
            parsed = parse(target)
        if parsed is None:
            return MALFORMED
        if not self._lookup.is_visible(parsed, revealed):
            return self._lookup.absent
        if self._followed.needs_check():
            await self._follow_path(client)
        names = parsed.segments
        found = await self._calls.now_or_in_pool(
            client, names, lambda open_path: self._lookup.find(parsed, target, open_path)
        )
        if isinstance(found, Resource) and isinstance(found.key, FileKey) and found.key.unsized:
            doubtful, device = found, found.key.device
            return await self._calls.read_in_pool(
                client, device, lambda open_path: self._lookup.measure(doubtful, open_path)
            )
        if isinstance(found, Resource) and isinstance(found.key, Directory):
            if mounted:
                found = replace(found, key=replace(found.key, mounted=mounted))
            version = await self._version_of(found, client)
            return replace(found, mtime_ns=version.changed_ns, tag=version.tag) if version else found
        return found

    async def _version_of(self, listing: Resource, client: str | bytes) -> Version | None:
        """Return the version of a listing; None if that takes too long, or fails: :meth:`open` will say why."""
        try:
            async with asyncio.timeout(_VERSION_SECONDS):
                reader = await self.open(listing, JSON, client)
                if not isinstance(reader, ListingReader):
                    return None
                with reader:
                    return await asyncio.wrap_future(
                        self._pool.submit(reader.version, work=Work.LISTING, device=reader.device, client=client)
                    )
        except (OSError, TransferError, OutOfThreads):
            return None

    async def locate_encoded(
        self, resource: Resource, codings: tuple[str, ...], most: int, client: str | bytes
    ) -> tuple[Resource, ...]:
        """Find compressed forms of a file that :meth:`locate` found (:class:`freight.protocols.Source`)."""
        from freight.sources.siblings import find

        key = resource.key
        assert isinstance(key, FileKey)
        found = await self._calls.now_or_in_pool(
            client, key.names, lambda open_path: find(self._lookup, resource, key, codings, most, open_path)
        )
        return () if isinstance(found, NotFound) else found

    async def open(self, resource: Resource, media_type: str, client: str | bytes) -> Reader | NotFound:
        """Open what :meth:`locate` found, in one of its media types.

        Raises :class:`~freight.errors.FileChanged` if it was removed or replaced, and OSError for a failing disk.
        """
        key = resource.key
        if isinstance(key, Directory):
            root = self._root  # the listing looks its links up where it was opened
            return self._closing_in_pool(
                await self._calls.now_or_in_pool(
                    client, key.names, lambda open_path: self._open_listing(key, media_type, root, open_path)
                )
            )
        assert isinstance(key, FileKey)
        if key.unsized:
            return self._closing_in_pool(
                await self._calls.read_in_pool(client, key.device, lambda open_path: self._open_unsized(key, open_path))
            )
        if key.original is not None and (why := await self._check_original(key.original, client)):
            return why
        if shared := self._open_files.share(key.identity):
            return shared
        reader = self._closing_in_pool(
            await self._calls.now_or_in_pool(client, key.names, lambda open_path: _open_file(key, open_path))
        )
        if isinstance(reader, FileReader):
            self._open_files.add(key.identity, reader)
        return reader

    def keep_open(self, resource: Resource) -> KeptOpen | None:
        """Keep an open file open for a while (:class:`freight.protocols.Source`)."""
        key = resource.key
        if not isinstance(key, FileKey) or key.unsized or key.original is not None:
            return None
        self._open_files.keep(key.identity)
        return KeptFile(key, self._followed, self._calls, self._open_files)

    def _closing_in_pool(self, reader: _Reader | NotFound) -> _Reader | NotFound:
        """Return the reader, which from now on does not wait on the event loop when it is closed."""
        if not isinstance(reader, NotFound):
            reader.close_in(self._pool)
        return reader

    async def _check_original(self, original: FileKey, client: str | bytes) -> NotFound | None:
        """Raise FileChanged if the file of which a compressed form is opened has been replaced since."""
        from freight.sources.siblings import is_current

        found = await self._calls.now_or_in_pool(
            client, original.names, lambda open_path: is_current(original, open_path)
        )
        if isinstance(found, NotFound):
            return found
        if not found:
            raise FileChanged("the file was replaced since its compressed form was located")
        return None

    async def _follow_path(self, client: str | bytes) -> None:
        found = await self._calls.at_home(client, lambda _: self._followed.reopen())
        if not isinstance(found, NotFound):
            self._followed.adopt(found)
            if isinstance(found, Root):
                self._calls.set_root(found)

    def _open_listing(self, key: Directory, media_type: str, root: Root, open_path: Opener) -> ListingReader | NotFound:
        fd = _open_located(key.names, READ | os.O_DIRECTORY, open_path)
        if isinstance(fd, NotFound):
            return fd
        try:
            return ListingReader(
                media_type,
                fd,
                key,
                root=root,
                show_hidden=self._show_hidden,
                limits=self._listing_limits,
                avoided=self._calls.remote_entries(key.names),
            )
        except OSError as error:
            return not_found(error)

    def _open_unsized(self, key: FileKey, open_path: Opener) -> Producer | NotFound:
        fd = _open_located(key.names, READ, open_path)
        if isinstance(fd, NotFound):
            return fd
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise FileChanged("replaced since it was located")
        return Producer(fd, pieces(fd, self._listing_limits.piece_bytes))


def _opener(served: ServedPath, options: SourceOptions) -> Callable[[], Root]:
    """Return what opens the root. Links may lead from one served file anywhere, because the operator chose it."""
    links: Links = "anywhere" if served.only_file else "beneath" if options.follow_symlinks else "refused"
    allowed = tuple(map(os.path.abspath, options.allow_links_to))
    return lambda: Root(served.root, links, allowed, stepwise=options.stepwise)


def device_name(device: int) -> str:
    """Return a file system whose path is not known, for a message to the operator."""
    return f"device {os.major(device)}:{os.minor(device)}"


def _stat(names: tuple[str, ...], open_path: Opener) -> os.stat_result | NotFound:
    try:
        fd = open_path(names, PATH_ONLY)
    except OSError as error:
        return not_found(error)
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def _open_file(key: FileKey, open_path: Opener) -> FileReader | NotFound:
    fd = _open_located(key.names, READ, open_path)
    if isinstance(fd, NotFound):
        return fd
    try:
        found = os.fstat(fd)
        # Not even growth is allowed: a larger file may be another one, as inode numbers are used again at once.
        if not stat.S_ISREG(found.st_mode) or identity_of(found) != key.identity:
            raise FileChanged("replaced since it was located")
        return FileReader(fd, key.size, found)
    except BaseException:
        os.close(fd)
        raise


def _open_located(names: tuple[str, ...], flags: int, open_path: Opener) -> int | NotFound:
    """Return a descriptor. Raises FileChanged if the path, which was located before, no longer exists."""
    try:
        return open_path(names, flags)
    except OSError as error:
        outcome = not_found(error)
        if outcome.reason is NotFoundReason.ABSENT:
            raise FileChanged("removed since it was located") from error
        return outcome
