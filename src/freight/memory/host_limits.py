"""The limits of the host: the largest send queue of the kernel, and the memory and processors of our cgroup."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_DEFAULT_SEND_QUEUE = 4 * 1024 * 1024
MEMORY_DEFAULT = 64 * 1024 * 1024
"""``--memory auto`` without a cgroup that has less than four times as much, in bytes."""

_CGROUP_DIVISOR = 4
_UNLIMITED = 1 << 60  # cgroup version 1 writes "no limit" as the largest multiple of a page


def largest_send_queue(root: Path = Path("/")) -> int:
    """Return the largest send queue that TCP chooses by itself, in bytes: the third number of ``tcp_wmem``, tcp(7)."""
    try:
        return int((root / "proc/sys/net/ipv4/tcp_wmem").read_text().split()[2])
    except (OSError, ValueError, IndexError):
        return _DEFAULT_SEND_QUEUE


def default_memory(root: Path = Path("/")) -> int:
    """Return ``--memory auto`` in bytes: 64 MiB, or 1/4 of the cgroup's limit if that is less."""
    limit = cgroup_memory_limit(root)
    return MEMORY_DEFAULT if limit is None else min(MEMORY_DEFAULT, limit // _CGROUP_DIVISOR)


def usable_cpus(root: Path = Path("/")) -> int:
    """Return how many processors this process may keep busy, at least 1.

    It may run on those of sched_getaffinity(2), within the quota of its cgroup, rounded up: ``cpu.max`` or
    ``cpu.cfs_quota_us``, cgroups(7).
    """
    quotas = list(_quotas(root))
    return max(1, min([len(os.sched_getaffinity(0)), *quotas]))


def _quotas(root: Path) -> Iterator[int]:
    for text, folder in _values(root, "cpu", "cpu.max", "cpu.cfs_quota_us"):
        quota, _, period = text.partition(" ")
        try:
            period = period or (folder / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            continue
        if quota.isdecimal() and period.isdecimal() and int(period):
            yield -(-int(quota) // int(period))


def cgroup_memory_limit(root: Path = Path("/")) -> int | None:
    """Return the least memory limit, in bytes, of this process's cgroup and its ancestors; None if there is none.

    Reads ``memory.max`` and ``memory.limit_in_bytes``, cgroups(7), of both versions at their usual mount points.
    """
    texts = [text for text, _ in _values(root, "memory", "memory.max", "memory.limit_in_bytes")]
    limits = [int(text) for text in texts if text.isdecimal() and int(text) < _UNLIMITED]
    return min(limits, default=None)


def _values(root: Path, controller: str, name: str, v1_name: str) -> Iterator[tuple[str, Path]]:
    """Yield content and folder of the files ``name`` (version 1: ``v1_name``) of our cgroup and its ancestors."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        yield from _values_of_line(root / "sys/fs/cgroup", line, controller, name, v1_name)


def _values_of_line(mount: Path, line: str, controller: str, name: str, v1_name: str) -> Iterator[tuple[str, Path]]:
    """Yield the same for one line of /proc/self/cgroup (``id:controllers:path``)."""
    number, _, rest = line.partition(":")
    controllers, _, path = rest.partition(":")
    if number == "0" and not controllers:
        mounts: tuple[Path, ...] = (mount, mount / "unified")
    elif controller in controllers.split(","):
        mounts, name = (mount / controller,), v1_name
    else:
        return
    parts = [part for part in path.split("/") if part and part != ".."]
    for each in mounts:
        for depth in range(len(parts) + 1):
            folder = each.joinpath(*parts[:depth])
            try:
                yield (folder / name).read_text().strip(), folder
            except OSError:
                continue  # in a container the path may be that of the host
