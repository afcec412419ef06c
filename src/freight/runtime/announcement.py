"""The start lines: the addresses of a server, its process, and how many downloads its memory allows at once."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from freight.config.unix_address import UNIX_PREFIX
from freight.names import from_system, shown
from freight.runtime.listeners import ListeningSockets
from freight.server.addresses import hosts
from freight.units import chosen_size

URLS_SHOWN = 8
"""The most addresses shown for one socket: a machine with many bridges has many more."""


PLACES_SHOWN = 16
"""The most paths shown, each with its address."""


@dataclass(frozen=True, slots=True)
class Place:
    """A path that is served, and its URL path, percent-encoded: "/" without mounts."""

    path: Path
    url_path: str


@dataclass(frozen=True, slots=True)
class Announcement:
    """What the start lines say. ``scheme`` is that of the files, ``fingerprint`` a self-signed certificate's or "".

    ``served`` is never empty. ``root`` is the URL path of everything: "/", or that of the prefix.
    """

    served: tuple[Place, ...]
    sockets: ListeningSockets
    scheme: str
    fingerprint: str
    memory_bytes: int
    slots: int
    workers: int
    root: str = "/"

    def lines(self) -> list[str]:
        """Return the start lines. An address ends its line."""
        lines = [*self._addresses()]
        if self.fingerprint:
            lines.append(f"self-signed certificate, SHA-256 fingerprint {self.fingerprint}")
        processes = "" if self.workers == 1 else f"{self.workers} workers, "
        downloads = "1 download" if self.slots == 1 else f"{self.slots:,} downloads"
        lines.append(f"pid {os.getpid()}, {processes}memory {chosen_size(self.memory_bytes)}: {downloads} at once")
        return [f"freight: {line}" for line in lines]

    def _addresses(self) -> Iterator[str]:
        first, *others = (url for each in self.sockets.files for url in urls(each, self.scheme))
        for place in self.served[:PLACES_SHOWN]:
            yield f"serving {_printable_path(place.path)} at {url_below(first, place.url_path)}"
        if len(self.served) > PLACES_SHOWN:
            yield f"serving {len(self.served) - PLACES_SHOWN} more mounts"
        for each in self.sockets.files:
            if each.family == socket.AF_UNIX:
                yield f"try: {curl_command(each, self.scheme)}{self.root[1:]}"
        for url in others[: URLS_SHOWN - 1]:
            yield f"also at {url_below(url, self.root)}"
        if len(others) >= URLS_SHOWN:
            yield f"also at {len(others) - URLS_SHOWN + 1} more addresses of this machine"
        if self.sockets.admin is not None:
            yield f"admin at {urls(self.sockets.admin)[0]}"
        for each in self.sockets.redirect:
            yield f"redirecting to HTTPS from {urls(each)[0]}"
        if self.sockets.agent is not None:
            yield f"agent-check at {urls(self.sockets.agent, 'tcp')[0]}"


def urls(listening: socket.socket, scheme: str = "http") -> list[str]:
    """Return the URLs by which clients reach a listening socket, the most useful first.

    Of a Unix socket it is ``unix:PATH``. The "%" before the zone of a link-local address is written as RFC 6874
    section 2 demands.
    """
    if listening.family == socket.AF_UNIX:
        return [UNIX_PREFIX + _path_of(listening)]
    port = listening.getsockname()[1]
    written = (f"[{host.replace('%', '%25')}]" if ":" in host else host for host in hosts(listening))
    return [f"{scheme}://{host}:{port}/" for host in written]


def url_below(url: str, path: str) -> str:
    """Return the URL of a path, such as ``/data/``, on a listening socket. A Unix socket's address has no path."""
    return url if url.startswith(UNIX_PREFIX) else url + path[1:]


def curl_command(listening: socket.socket, scheme: str) -> str:
    """Return the command that asks on a Unix socket."""
    from shlex import quote  # here, because few servers listen so

    path = _path_of(listening)
    abstract, path = path.startswith("@"), path.removeprefix("@")
    option = "--abstract-unix-socket" if abstract else "--unix-socket"
    return f"curl {option} {quote(path)} {scheme}://localhost/"


def _path_of(listening: socket.socket) -> str:
    """Return the path of a Unix socket in printable characters. systemd may pass an abstract one: ``@NAME``."""
    name = listening.getsockname()
    if isinstance(name, bytes):
        return "@" + _printable(os.fsdecode(name[1:]))
    return _printable(os.path.abspath(name))


def _printable_path(path: Path) -> str:
    text = str(path)
    if text == ".":
        text = os.getcwd()  # "." would mean nothing to an operator who reads the log later
    return _printable(text)


def _printable(text: str) -> str:
    text = shown(from_system(text))
    return text if text.isprintable() else repr(text)
