"""A control group with a memory limit, as a container has, for a server to run in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from support.servers import wait_until

_ROOT = Path("/sys/fs/cgroup")
_numbers = count()


class CgroupUnavailable(Exception):
    """A control group with a memory limit cannot be created here."""


@dataclass(frozen=True, slots=True)
class Cgroup:
    """A control group, of version 1 or 2."""

    directory: Path

    @property
    def command_prefix(self) -> tuple[str, ...]:
        """Words before a command that run it in the group, without a change of its process id."""
        return ("sh", "-c", 'echo $$ >"$0" && exec "$@"', str(self.directory / "cgroup.procs"))

    def oom_kills(self) -> int:
        """Return the number of processes that the kernel has killed here because memory was short."""
        for name in ("memory.events", "memory.oom_control"):
            with suppress(FileNotFoundError):
                lines = (self.directory / name).read_text().splitlines()
                return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
        raise AssertionError(f"{self.directory} has no count of killed processes")

    def peak_bytes(self) -> int:
        """Return the peak of memory in use, page cache included, in bytes; -1 if the kernel does not count it."""
        for name in ("memory.peak", "memory.max_usage_in_bytes"):
            with suppress(FileNotFoundError):
                return int((self.directory / name).read_text())
        return -1

    def page_cache_bytes(self) -> int:
        """Return the bytes of page cache that are charged to the group."""
        lines = (self.directory / "memory.stat").read_text().splitlines()
        found = {name: int(count) for name, count in (line.split() for line in lines)}
        return found["file"] if "file" in found else found["cache"]


@contextmanager
def memory_cgroup(limit_bytes: int) -> Iterator[Cgroup]:
    """Create a group with this limit for the context. All its processes must end within the context."""
    root = _ROOT / "memory" if (_ROOT / "memory").is_dir() else _ROOT
    made = Cgroup(root / f"freight-{os.getpid()}-{next(_numbers)}")
    try:
        if root == _ROOT and (root / "cgroup.subtree_control").exists():
            (root / "cgroup.subtree_control").write_text("+memory")
        made.directory.mkdir()
    except OSError as error:
        raise CgroupUnavailable(f"control groups cannot be created: {error}") from error
    try:
        _limit(made.directory, limit_bytes)
        yield made
    finally:
        wait_until(lambda: _remove(made.directory), f"{made.directory} is empty and removed")


def _limit(directory: Path, limit_bytes: int) -> None:
    # Version 1 has separate limits for TCP's buffers and for memory with swap.
    names = ("memory.limit_in_bytes", "memory.kmem.tcp.limit_in_bytes", "memory.memsw.limit_in_bytes")
    wanted = [directory / name for name in ("memory.max", "memory.swap.max", *names)]
    found = [path for path in wanted if path.exists()]
    if not {"memory.max", "memory.limit_in_bytes"} & {path.name for path in found}:
        raise CgroupUnavailable("control groups have no memory limit here")
    try:
        for path in found:
            path.write_text("0" if path.name == "memory.swap.max" else str(limit_bytes))
    except OSError as error:
        raise CgroupUnavailable(f"{path.name} cannot be set: {error}") from error


def _remove(directory: Path) -> bool:
    """Remove a group if it is empty. Return whether it is gone."""
    with suppress(OSError):
        directory.rmdir()
    return not directory.exists()
