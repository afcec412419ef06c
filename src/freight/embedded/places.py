"""Where the file of an answer comes from: a tree of files, or one path that the application gives."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Protocol

from freight.errors import ConfigurationError
from freight.http import etags
from freight.http.target import Target, encode
from freight.model import NotFound, NotFoundReason, Request, Resource
from freight.names import from_system
from freight.protocols import Reader
from freight.sources.disk_pool import DiskPool
from freight.sources.local import LocalSource
from freight.sources.lookup import SourceOptions

_ABSENT = NotFound(NotFoundReason.ABSENT)


class Place(Protocol):
    """Finds and opens the resource of a request, as :class:`freight.protocols.Source` does."""

    async def locate(self, request: Request) -> Resource | NotFound:
        """Find it, and keep nothing open."""

    async def open(self, resource: Resource, media_type: str, request: Request) -> Reader | NotFound:
        """Open what was located. Raise FileChanged if it has been replaced since."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A directory that the application serves: its absolute path, and whether directories are listed."""

    root: str
    listings: bool

    @classmethod
    def of(cls, root: str | os.PathLike[str], listings: bool) -> Folder:
        """Check that ``root`` is a directory. Raise ConfigurationError if it is none."""
        if not os.path.isdir(root):
            raise ConfigurationError(f"{os.fspath(root)} is not a directory", "root")
        return cls(os.path.abspath(os.fspath(root)), listings)

    def without_slash(self, target: str) -> Nowhere:
        """Return the place of a path that lacks the slash at its end: a redirect to ``target`` if that is listed."""
        return Nowhere(NotFound(NotFoundReason.MOVED, target) if self.listings else _ABSENT)


@dataclass(frozen=True, slots=True)
class Tree:
    """The files below a directory."""

    source: LocalSource
    listings: bool

    async def locate(self, request: Request) -> Resource | NotFound:
        found = await self.source.locate(request.target, request.client_key)
        if self.listings:
            return found
        is_listing = isinstance(found, Resource) and not found.name
        return _ABSENT if is_listing or _is_moved(found) else found

    async def open(self, resource: Resource, media_type: str, request: Request) -> Reader | NotFound:
        return await self.source.open(resource, media_type, request.client_key)


@dataclass(frozen=True, slots=True)
class Chosen:
    """How the application describes a file: "" leaves what freight finds out."""

    path: str
    filename: str = ""
    media_type: str = ""
    etag: str = ""
    disposition: str = ""

    @classmethod
    def of(
        cls, path: str | os.PathLike[str], filename: str | None, media_type: str | None, etag: str | None, inline: bool
    ) -> Chosen:
        """Check what the application says. Raise ConfigurationError for what a field cannot hold."""
        if etag is not None and not etags.is_tag(etag):
            raise ConfigurationError(f"{etag!r} is no entity tag: it has double quotes around it", "etag")
        if media_type is not None and not (media_type.isascii() and media_type.isprintable() and media_type.strip()):
            raise ConfigurationError(f"{media_type!r} is no media type", "media_type")
        if "\0" in os.fspath(path):
            raise ConfigurationError("a path has no NUL", "path")
        disposition = "inline" if inline else "attachment" if filename else ""
        return cls(os.path.abspath(os.fspath(path)), filename or "", media_type or "", etag or "", disposition)

    def describe(self, found: Resource) -> Resource:
        """Return the file as the application describes it."""
        return replace(
            found,
            name=self.filename or found.name,
            media_types=(self.media_type,) if self.media_type else found.media_types,
            etag=self.etag,
            disposition=self.disposition,
        )


@dataclass(frozen=True, slots=True)
class OneFile:
    """One file, below a source of the whole file system."""

    source: LocalSource
    chosen: Chosen

    async def locate(self, request: Request) -> Resource | NotFound:
        names = tuple(from_system(self.chosen.path).split("/")[1:])
        found = await self.source.locate(encode(names, False), request.client_key, Target(names, False))
        if isinstance(found, Resource) and found.name:
            return self.chosen.describe(found)
        return _ABSENT if isinstance(found, Resource) or _is_moved(found) else found

    async def open(self, resource: Resource, media_type: str, request: Request) -> Reader | NotFound:
        return await self.source.open(resource, media_type, request.client_key)


@dataclass(frozen=True, slots=True)
class Nowhere:
    """A request that the source is not asked for."""

    why: NotFound

    async def locate(self, request: Request) -> Resource | NotFound:
        return self.why

    async def open(self, resource: Resource, media_type: str, request: Request) -> Reader | NotFound:
        return self.why


def whole_file_system(pool: DiskPool) -> LocalSource:
    """Return a source of all files that the process may read: applications choose the path, and not a client."""
    return LocalSource("/", pool, SourceOptions(show_hidden=True, allow_links_to=("/",)))


def _is_moved(found: Resource | NotFound) -> bool:
    return isinstance(found, NotFound) and found.reason is NotFoundReason.MOVED
