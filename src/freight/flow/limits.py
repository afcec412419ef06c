"""What the host allows: the kernel's largest send queue, and the memory of the cgroup we are in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_LARGEST_DEFAULT = 4 * 1024 * 1024
MEMORY_DEFAULT = 64 * 1024 * 1024
_CGROUP_SHARE = 4
_UNLIMITED = 1 << 60  # version 1 says "no limit" as the largest multiple of a page


def largest_send_queue(root: Path = Path("/")) -> int:
    """The most the kernel lets a TCP send queue grow to by itself, in bytes: tcp(7), ``tcp_wmem``."""
    try:
        return int((root / "proc/sys/net/ipv4/tcp_wmem").read_text().split()[2])
    except (OSError, ValueError, IndexError):
        return _LARGEST_DEFAULT


def default_memory(root: Path = Path("/")) -> int:
    """``--memory auto``: 64 MiB, or a quarter of the cgroup's limit where that is less; in bytes."""
    limit = cgroup_memory_limit(root)
    return MEMORY_DEFAULT if limit is None else min(MEMORY_DEFAULT, limit // _CGROUP_SHARE)


def cgroup_memory_limit(root: Path = Path("/")) -> int | None:
    """The least memory limit, in bytes, of the cgroup this process is in and of those above it; None: there is none.

    Both versions, where they are mounted as usual: cgroups(7), ``memory.max`` and ``memory.limit_in_bytes``.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    limits = [limit for line in lines for limit in _limits(root / "sys/fs/cgroup", line)]
    return min(limits, default=None)


def _limits(mounted: Path, line: str) -> Iterator[int]:
    """The limits that one line of /proc/self/cgroup (``id:controllers:path``) leads to."""
    number, _, rest = line.partition(":")
    controllers, _, path = rest.partition(":")
    if number == "0" and not controllers:
        places: tuple[Path, ...] = (mounted, mounted / "unified")
        name = "memory.max"
    elif "memory" in controllers.split(","):
        places, name = (mounted / "memory",), "memory.limit_in_bytes"
    else:
        return
    parts = [part for part in path.split("/") if part and part != ".."]
    for place in places:
        for depth in range(len(parts) + 1):
            try:
                text = place.joinpath(*parts[:depth], name).read_text().strip()
            except OSError:
                continue  # inside a container the path may be the host's
            if text.isdecimal() and int(text) < _UNLIMITED:
                yield int(text)
