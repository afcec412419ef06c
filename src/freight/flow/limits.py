"""What the host allows: the kernel's largest send queue, and the memory of the cgroup we are in."""

from __future__ import annotations

import os
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


def usable_cpus(root: Path = Path("/")) -> int:
    """How many processors this process may keep busy: those it may run on, and no more than its cgroup has time for.

    sched_getaffinity(2), and ``cpu.max`` or ``cpu.cfs_quota_us`` of cgroups(7), rounded up; at least 1.
    """
    quotas = list(_quotas(root))
    return max(1, min([len(os.sched_getaffinity(0)), *quotas]))


def _quotas(root: Path) -> Iterator[int]:
    for text, folder in _said(root, "cpu", "cpu.max", "cpu.cfs_quota_us"):
        quota, _, period = text.partition(" ")
        try:
            period = period or (folder / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            continue
        if quota.isdecimal() and period.isdecimal() and int(period):
            yield -(-int(quota) // int(period))


def cgroup_memory_limit(root: Path = Path("/")) -> int | None:
    """The least memory limit, in bytes, of the cgroup this process is in and of those above it; None: there is none.

    Both versions, where they are mounted as usual: cgroups(7), ``memory.max`` and ``memory.limit_in_bytes``.
    """
    texts = [text for text, _ in _said(root, "memory", "memory.max", "memory.limit_in_bytes")]
    limits = [int(text) for text in texts if text.isdecimal() and int(text) < _UNLIMITED]
    return min(limits, default=None)


def _said(root: Path, controller: str, name: str, first_name: str) -> Iterator[tuple[str, Path]]:
    """What files of a name say, and their folders: of our cgroup and those above; ``first_name`` is version 1's."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        yield from _found(root / "sys/fs/cgroup", line, controller, name, first_name)


def _found(mounted: Path, line: str, controller: str, name: str, first_name: str) -> Iterator[tuple[str, Path]]:
    """The files that one line of /proc/self/cgroup (``id:controllers:path``) leads to."""
    number, _, rest = line.partition(":")
    controllers, _, path = rest.partition(":")
    if number == "0" and not controllers:
        places: tuple[Path, ...] = (mounted, mounted / "unified")
    elif controller in controllers.split(","):
        places, name = (mounted / controller,), first_name
    else:
        return
    parts = [part for part in path.split("/") if part and part != ".."]
    for place in places:
        for depth in range(len(parts) + 1):
            folder = place.joinpath(*parts[:depth])
            try:
                yield (folder / name).read_text().strip(), folder
            except OSError:
                continue  # inside a container the path may be the host's
