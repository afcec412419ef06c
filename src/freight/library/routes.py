"""What an application can serve at a URL path: a directory, a file, bytes, or a stream that its code makes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from freight.config.mounts import read_mounts
from freight.errors import ConfigurationError
from freight.http.response_fields import check_value

Path = str | os.PathLike[str]
Buffer = bytes | bytearray | memoryview
Pieces = Iterable[Buffer] | AsyncIterable[Buffer]
Names = tuple[str, ...]

_UNKNOWN_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Directory:
    """Everything below the directory ``path``, as ``mount`` serves it."""

    path: Path


@dataclass(frozen=True, slots=True)
class File:
    """The file ``path``. Its name and media type are those of its URL path."""

    path: Path


@dataclass(frozen=True, slots=True)
class Bytes:
    """``content``, with a length, ranges and an ETag, as a file has them.

    ``media_type`` is told by the name if it is "". ``filename`` is the name to save under; "": the last name of its URL
    path. A server keeps a copy in an anonymous file (memfd_create(2)), so sending it costs no memory for each client.
    """

    content: bytes = field(repr=False)
    media_type: str = ""
    filename: str = ""


@dataclass(frozen=True, slots=True)
class Stream:
    """A body that the application makes while it is sent, for each request by another call of ``factory``.

    The factory returns an iterator of bytes, or an async iterator; it may be a generator function of either kind, or a
    coroutine function that returns one::

        async def export():
            async with connect() as connection:
                async for rows in connection.copy("COPY data TO STDOUT"):
                    yield rows


        freight.Server(routes={"/export.csv": freight.Stream(export)})

    - Nothing is called before the request has its slot, and for HEAD nothing at all.
    - The next piece is asked for when the kernel has taken the last one, so a client that stops reading stops the
      iterator. Each step costs some 100 us: yield pieces of about 64 KiB.
    - When the client leaves, an async iterator is cancelled where it waits, and a generator of either kind is closed
      (``finally`` runs). A sync iterator is closed when its current step returns.
    - If it raises an error, the body ends without its end, and clients see that it is incomplete. The error goes to the
      exception handler of the event loop.
    - Sync iterators run in at most four threads for each route, in turn by client.

    The length is unknown, so there are no ranges. ``media_type`` and ``filename`` are as in :class:`Bytes`.
    """

    factory: Callable[[], Pieces | Awaitable[Pieces]]
    media_type: str = ""
    filename: str = ""


Route = Directory | File | Bytes | Stream


class Routes(NamedTuple):
    """The routes of a server: ``path`` and ``mounts`` as settings, and ``code`` by the names of its URL path."""

    path: Path | None
    mounts: dict[str, Path]
    code: dict[Names, Bytes | Stream]


def split(routes: Mapping[str, Route]) -> Routes:
    """Check routes. Raise ConfigurationError if one is not possible."""
    found = Routes(None, {}, {})
    for at, route in routes.items():
        try:
            if isinstance(route, (Directory, File)):
                if at == "/":
                    found = found._replace(path=route.path)
                else:
                    found.mounts[_point(at)[0]] = route.path
            elif isinstance(route, (Bytes, Stream)):
                names = _point(at)[1]
                if names in found.code:
                    raise ValueError("is given twice")
                found.code[names] = route
                check_value(route.media_type or _UNKNOWN_TYPE)
            else:
                raise ValueError(f"must be a Directory, File, Bytes or Stream, not {type(route).__name__}")
        except ValueError as error:
            raise ConfigurationError(f"routes: {at}: {error}") from None
    return found


def _point(text: str) -> tuple[str, Names]:
    """Return a URL path without percent-encoding, and its names. Raise ValueError."""
    (mount,) = read_mounts(f"{text}=.") if "=" not in text and ":" not in text else (None,)
    if mount is None:
        raise ValueError("must not contain '=' or ':'")
    return mount.shown_point, mount.point
