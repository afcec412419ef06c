"""What a server prints when it has started: where it can be reached, its process, and how many downloads fit."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

from freight.quantities import chosen_size
from freight.server.addresses import hosts
from freight.settings import Settings
from freight.sockets import Sockets
from freight.standard import print_lines

URLS_SHOWN = 8
"""At most so many addresses are shown: a machine with many bridges has many more."""


def announce(
    settings: Settings, sockets: Sockets, scheme: str, fingerprint: str, memory_bytes: int, slots: int, workers: int
) -> str:
    """Print it; "" or why that could not be.

    ``scheme`` is that of the files; ``fingerprint`` that of a self-signed certificate, or "".
    """
    lines = [*_addresses(settings.path, sockets, scheme)]
    if fingerprint:
        lines.append(f"self-signed certificate, SHA-256 fingerprint {fingerprint}")
    processes = "" if workers == 1 else f"{workers} workers, "
    downloads = "1 download" if slots == 1 else f"{slots:,} downloads"
    lines.append(f"pid {os.getpid()}, {processes}memory {chosen_size(memory_bytes)}: {downloads} at once")
    return print_lines([f"freight: {line}" for line in lines])


def _addresses(path: Path, sockets: Sockets, scheme: str) -> Iterator[str]:
    """A line for each address, which ends it. The files' own come first."""
    first, *others = urls(sockets.files, scheme)
    yield f"serving {_shown(path)} at {first}"
    for url in others[: URLS_SHOWN - 1]:
        yield f"also at {url}"
    if len(others) >= URLS_SHOWN:
        yield f"also at {len(others) - URLS_SHOWN + 1} more addresses of this machine"
    if sockets.admin is not None:
        yield f"admin at {urls(sockets.admin)[0]}"
    if sockets.redirect is not None:
        yield f"redirecting to HTTPS from {urls(sockets.redirect)[0]}"
    if sockets.agent is not None:
        yield f"agent-check at {urls(sockets.agent, 'tcp')[0]}"


def urls(listening: socket.socket, scheme: str = "http") -> list[str]:
    """The URLs of a listening socket by which others reach it, the most useful first."""
    port = listening.getsockname()[1]
    return [f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/" for host in hosts(listening)]


def _shown(path: Path) -> str:
    text = str(path)
    if text == ".":
        text = os.getcwd()  # "." would say nothing to who reads it later
    return text if text.isprintable() else repr(text)
