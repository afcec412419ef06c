"""Ports for servers that start later, or again at the same port."""

from __future__ import annotations

import socket
from pathlib import Path
from secrets import randbelow  # pytest-randomly gives all processes of a run the same seed

_LEAST, _LEAST_CHOSEN = 10_000, 20_000


def free_port(*beside: int) -> int:
    """Return a free port of 127.0.0.1, from which the ports at the distances ``beside`` are free too.

    It is below those that the kernel chooses for clients and for port 0 (ip_local_port_range), so that none of the
    tests that run meanwhile gets it.
    """
    chosen = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = _LEAST + randbelow(max(chosen, _LEAST_CHOSEN) - _LEAST - max(beside, default=0))
        if all(_is_free(port + distance) for distance in (0, *beside)):
            return port


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
