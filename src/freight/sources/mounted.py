"""Several paths as one source (``--mount``): each is served below its mount point.

Rules:

1. The names of a path choose its mount: the longest mount point that they begin with. They are what
   :func:`freight.http.target.parse` returns, so escapes are decoded, and dot segments and empty names are gone.
2. The mount gets the names that are left, and opens them beneath its own root. It never sees a name of another mount,
   and a link from one mount to another leads out (``--allow-links-to``).
3. A mount hides what its parent directory has at that name, in look-ups and in listings.
4. A directory that exists only because something is mounted below it is virtual: its entries are mounts.
5. What a listing shows of a mount is looked up in the queue of the mount's own file system. If that does not answer
   within a second, the mount is listed without size and time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from freight.config.mounts import Mount, show_point
from freight.errors import ConfigurationError
from freight.http.target import Target, encode, parse
from freight.model import NotFound, NotFoundReason, Resource
from freight.protocols import KeptOpen, LogNotice, Reader
from freight.sources.disk_pool import DiskPool, Home
from freight.sources.entries import Directory
from freight.sources.listing import JSON, ListingLimits, ListingReader
from freight.sources.local import MALFORMED, LocalSource, Place, device_name
from freight.sources.lookup import ABSENT, SourceOptions, listing, not_found, query_of
from freight.sources.mount_table import MountTable, Names
from freight.sources.records import Facts
from freight.sources.types import media_type

_SERVED = "All files"  # the title of a listing if no path is served at the root
_EXAMINE_SECONDS = 1.0
_UNKNOWN: Facts = ("directory", 0, None, None)
_ROOT_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class _Key:
    """The mount that a resource is of, and the mount's own key. None: a virtual directory."""

    source: LocalSource | None
    key: object


class MountedSource:
    """Serves ``path`` at the root, unless it is None, and each of ``mounts`` at its point.

    The other parameters are as in :class:`~freight.sources.local.LocalSource`. Raises
    :class:`~freight.errors.ConfigurationError` when a path cannot be served.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        mounts: tuple[Mount, ...],
        pool: DiskPool,
        options: SourceOptions | None = None,
        listing_limits: ListingLimits | None = None,
    ) -> None:
        self._options = options or SourceOptions()
        self._listing_limits = listing_limits or ListingLimits()
        self._sources: list[LocalSource] = []
        self._served = _SERVED
        by_point: dict[Names, LocalSource] = {}
        try:
            if path is not None:
                by_point[()] = self._open(path, pool, Place(number=0))
                self._served = by_point[()].served
            for number, mount in enumerate(mounts, 1):
                place = Place(mount.point, self._served, number)
                by_point[mount.point] = self._open(mount.path, pool, place)
            self._table = MountTable(by_point)
            self._check_files(path, by_point)
        except BaseException:
            self.close()
            raise
        self._virtual_device = -1 - len(mounts) - 1  # in place of an st_dev: a queue in which nothing waits for a disk

    def _open(self, path: str | os.PathLike[str], pool: DiskPool, place: Place) -> LocalSource:
        source = LocalSource(path, pool, self._options, self._listing_limits, place)
        self._sources.append(source)
        return source

    def _check_files(self, path: str | os.PathLike[str] | None, by_point: Mapping[Names, LocalSource]) -> None:
        """Raise ConfigurationError if something is mounted below a file."""
        root = by_point.get(())
        if path is not None and root is not None and root.is_file:
            name = os.path.basename(os.path.abspath(path))
            raise ConfigurationError(
                f"{path} is a file, so nothing can be mounted beside it; mount it too: /{name}={path}",
                "path",
            )
        for point, above in self._table.nested():
            if above.is_file:
                raise ConfigurationError(f"{show_point(point)} is below another mount point, which is a file", "mount")

    def close(self) -> None:
        """Close the descriptors of the roots. Open readers stay open."""
        for source in self._sources:
            source.close()

    @property
    def homes(self) -> tuple[Home, ...]:
        """The file systems of the served paths."""
        return tuple(source.home for source in self._sources)

    @property
    def only_file(self) -> str:
        """Always "": a mounted file is at its mount point only."""
        return ""

    @property
    def may_hang(self) -> bool:
        """Whether a file system that is served is remote, so that a call on it may never return."""
        return any(source.may_hang for source in self._sources)

    def path_of(self, device: int) -> str:
        """Return where a file system is mounted, for a message to the operator."""
        if device == self._virtual_device:
            return "/"
        found = (source.find_path_of(device) for source in self._sources)
        return next(filter(None, found), "") or device_name(device)

    def start(self, log_notice: LogNotice) -> None:
        """Prepare this process for look-ups. Log to the operator when a path names another directory, or none."""
        for source in self._sources:
            source.start(log_notice)

    def check_path_soon(self) -> None:
        """Look up, before the next request, which directories the paths name."""
        for source in self._sources:
            source.check_path_soon()

    def set_listing_limits(self, limits: ListingLimits) -> None:
        """Use these limits for listings from now on."""
        self._listing_limits = limits
        for source in self._sources:
            source.set_listing_limits(limits)

    async def locate(self, target: str, client: str | bytes, *, revealed: bool = False) -> Resource | NotFound:
        """Look a request target up (:class:`freight.protocols.Source`). Raises OSError for a failing disk."""
        parsed = parse(target)
        if parsed is None:
            return MALFORMED
        if parsed.unresolvable:
            return ABSENT
        entries = self._table.entries(parsed.segments)
        mounted = () if entries is None or not parsed.directory else await self._examine(entries, client)
        found = await self._locate_in_mount(target, parsed, client, mounted, revealed=revealed)
        if entries is not None and _is_no_directory(found):
            return self._locate_virtual(target, parsed, mounted)
        return found

    async def locate_encoded(
        self, resource: Resource, codings: tuple[str, ...], most: int, client: str | bytes
    ) -> tuple[Resource, ...]:
        """Find compressed forms of a located file, beside it in its mount (:class:`freight.protocols.Source`)."""
        key = resource.key
        assert isinstance(key, _Key) and key.source is not None
        own = replace(resource, key=key.key)
        forms = await key.source.locate_encoded(own, codings, most, client)
        return tuple(replace(form, key=_Key(key.source, form.key)) for form in forms)

    async def open(self, resource: Resource, media_type: str, client: str | bytes) -> Reader | NotFound:
        """Open what :meth:`locate` found (:class:`freight.protocols.Source`). Raises as its mount does."""
        key = resource.key
        assert isinstance(key, _Key)
        if key.source is not None:
            return await key.source.open(replace(resource, key=key.key), media_type, client)
        assert isinstance(key.key, Directory)
        return self._open_virtual(key.key, media_type)

    def keep_open(self, resource: Resource) -> KeptOpen | None:
        """Keep an open file open for a while (:class:`freight.protocols.Source`)."""
        key = resource.key
        if not isinstance(key, _Key) or key.source is None:
            return None
        return key.source.keep_open(replace(resource, key=key.key))

    async def _locate_in_mount(
        self,
        target: str,
        parsed: Target,
        client: str | bytes,
        mounted: tuple[tuple[str, Facts], ...],
        *,
        revealed: bool,
    ) -> Resource | NotFound:
        at = self._table.find(parsed.segments)
        if at is None:
            return ABSENT
        point, source = at
        names = parsed.segments[len(point) :]
        if source.is_file:
            if names or parsed.directory:
                return ABSENT
            found = await source.locate(target, client, Target((), True, parsed.query))
            return _renamed(found, source, point[-1])
        if not names and not parsed.directory:
            return _moved(target, parsed)
        below = Target(names, parsed.directory, parsed.query)
        found = await source.locate(target, client, below, mounted, revealed=revealed)
        return replace(found, key=_Key(source, found.key)) if isinstance(found, Resource) else found

    async def _examine(
        self, entries: Mapping[str, LocalSource | None], client: str | bytes
    ) -> tuple[tuple[str, Facts], ...]:
        """Return what a listing shows of mounts, and of directories that lead to one."""
        calls = {
            name: asyncio.create_task(source.examine(client)) for name, source in entries.items() if source is not None
        }
        if calls:
            try:
                await asyncio.wait(calls.values(), timeout=_EXAMINE_SECONDS)
            finally:
                for call in calls.values():
                    call.cancel()
        return tuple((name, _result(calls.get(name), source)) for name, source in entries.items())

    def _locate_virtual(
        self, target: str, parsed: Target, mounted: tuple[tuple[str, Facts], ...]
    ) -> Resource | NotFound:
        if not parsed.directory:
            return _moved(target, parsed)
        directory = Directory.from_query((), parsed.query, self._served, parsed.segments)
        directory = replace(directory, mounted=mounted)
        reader = self._open_virtual(directory, JSON)
        if isinstance(reader, NotFound):
            return reader
        with reader:
            version = reader.version()
        found = replace(listing(directory), key=_Key(None, directory))
        return found if version is None else replace(found, mtime_ns=version.changed_ns, tag=version.tag)

    def _open_virtual(self, directory: Directory, media_type: str) -> ListingReader | NotFound:
        try:
            fd = os.open("/", _ROOT_FLAGS)  # a reader owns a descriptor; this one is not read
        except OSError as error:
            return not_found(error)
        reader = ListingReader(
            media_type,
            fd,
            directory,
            root=None,
            show_hidden=self._options.show_hidden,
            limits=self._listing_limits,
        )
        reader.device = self._virtual_device
        return reader


def _is_no_directory(found: Resource | NotFound) -> bool:
    """Return whether a directory that leads to a mount must be virtual: nothing is there, or a file is."""
    if isinstance(found, NotFound):
        return found.reason is NotFoundReason.ABSENT
    return not (isinstance(found.key, _Key) and isinstance(found.key.key, Directory))


def _renamed(found: Resource | NotFound, source: LocalSource, name: str) -> Resource | NotFound:
    """Return a mounted file as what its mount point says: its name, and the media type of that name."""
    if isinstance(found, NotFound):
        return replace(found, only_file="")
    return replace(found, name=name, media_types=(media_type(name),), only_file="", key=_Key(source, found.key))


def _moved(target: str, parsed: Target) -> NotFound:
    return NotFound(NotFoundReason.MOVED, encode(parsed.segments, True) + query_of(target))


def _result(call: asyncio.Task[Facts] | None, source: LocalSource | None) -> Facts:
    """Return what was found out within the time."""
    if call is not None and call.done() and not call.cancelled() and call.exception() is None:
        return call.result()
    return ("file", 0, None, None) if source is not None and source.is_file else _UNKNOWN
