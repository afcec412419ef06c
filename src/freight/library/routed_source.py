"""The routes of an application as one source: files by mounts, and in front of them what comes from code."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass

from freight.config.settings import Settings
from freight.http.target import parse
from freight.library.routes import Bytes, Names, Stream
from freight.library.stream_reader import StreamReader
from freight.model import NotFound, Resource
from freight.protocols import KeptOpen, LogNotice, Reader
from freight.runtime.build import source_options
from freight.sources.disk_pool import DiskPool, Home
from freight.sources.file_reader import FileReader
from freight.sources.listing import ListingLimits
from freight.sources.mounted import MountedSource
from freight.sources.types import media_type

_END_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Key:
    """What a resource from code is: an open anonymous file, or a stream and the number of its queue of threads."""

    of: FileReader | Stream
    number: int


class RoutedSource:
    """Serves ``code`` at the paths with these names, and else what the settings name (:class:`ServedSource`).

    Listings show files only.
    """

    def __init__(
        self, code: Mapping[Names, Bytes | Stream], settings: Settings, pool: DiskPool, limits: ListingLimits
    ) -> None:
        self._files = MountedSource(settings.path, settings.mount, pool, source_options(settings), limits)
        self._threads = DiskPool()  # it has no time limit: a query may take long
        self._closing: set[asyncio.Task[None]] = set()
        self._readers: list[FileReader] = []
        self._found: dict[Names, Resource] = {}
        try:
            for number, (names, route) in enumerate(code.items(), 1):
                self._found[names] = self._resource(names[-1], route, number)
        except BaseException:
            self.close()
            raise

    def _resource(self, name: str, route: Bytes | Stream, number: int) -> Resource:
        name = route.filename or name
        types = (route.media_type or media_type(name),)
        if isinstance(route, Stream):
            return Resource(name, None, None, types, _Key(route, -number))
        reader = _open_bytes(route.content)
        self._readers.append(reader)
        return Resource(name, reader.size, os.fstat(reader.fileno()).st_mtime_ns, types, _Key(reader, -number))

    async def locate(self, target: str, client: str | bytes, *, revealed: bool = False) -> Resource | NotFound:
        """Find what is at a request target (:class:`freight.protocols.Source`)."""
        parsed = parse(target)
        found = None if parsed is None or parsed.directory else self._found.get(parsed.segments)
        return await self._files.locate(target, client, revealed=revealed) if found is None else found

    async def locate_encoded(
        self, resource: Resource, codings: tuple[str, ...], most: int, client: str | bytes
    ) -> tuple[Resource, ...]:
        """Find compressed forms of a located file (:class:`freight.protocols.Source`)."""
        return await self._files.locate_encoded(resource, codings, most, client)

    async def open(self, resource: Resource, media_type: str, client: str | bytes) -> Reader | NotFound:
        """Open what was located (:class:`freight.protocols.Source`). No code of the application runs yet."""
        key = resource.key
        if not isinstance(key, _Key):
            return await self._files.open(resource, media_type, client)
        if isinstance(key.of, FileReader):
            return key.of.share()
        return StreamReader(key.of.factory, self._threads, key.number, client, self._closing)

    def keep_open(self, resource: Resource) -> KeptOpen | None:
        """Keep an open file open for a while (:class:`freight.protocols.Source`)."""
        return self._files.keep_open(resource)

    @property
    def homes(self) -> tuple[Home, ...]:
        """The file systems of the served paths; one that is none if there are none."""
        return self._files.homes or (Home(0),)

    @property
    def only_file(self) -> str:
        """Always "": nothing is at another path than its own."""
        return ""

    @property
    def may_hang(self) -> bool:
        """Whether a file system that is served is remote, so that a call on it may never return."""
        return self._files.may_hang

    def path_of(self, device: int) -> str:
        """Return where a file system is mounted, for a message to the operator."""
        return self._files.path_of(device)

    def start(self, log_notice: LogNotice) -> None:
        """Prepare this process for look-ups."""
        self._files.start(log_notice)

    def check_path_soon(self) -> None:
        """Look up, before the next request, which directories the paths name."""
        self._files.check_path_soon()

    def set_listing_limits(self, limits: ListingLimits) -> None:
        """Use these limits for listings from now on."""
        self._files.set_listing_limits(limits)

    async def end_streams(self) -> None:
        """Wait for a second until the application's code has ended. What is stuck ends in threads of its own."""
        if self._closing:
            await asyncio.wait(self._closing, timeout=_END_SECONDS)
            for task in self._closing:
                task.cancel()
            await asyncio.sleep(0)

    def close(self) -> None:
        """Close the roots and the anonymous files, and end the threads."""
        for reader in self._readers:
            reader.__exit__(None, None, None)
        self._threads.close()
        self._files.close()


def _open_bytes(content: bytes) -> FileReader:
    """Return a reader of an anonymous file with this content. Its own user keeps it open."""
    fd = os.memfd_create("freight", os.MFD_CLOEXEC)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(fd, rest) :]
        return FileReader(fd, len(content), os.fstat(fd))
    except BaseException:
        os.close(fd)
        raise
