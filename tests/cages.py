"""A control group with a limit of memory, as a container has, for the server to run in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from serving import until

_ROOT = Path("/sys/fs/cgroup")
_numbers = count()


class Unmade(Exception):
    """A cage cannot be made here; the text says why."""


@dataclass(frozen=True, slots=True)
class Cage:
    """A control group, of version 1 or 2."""

    directory: Path

    @property
    def within(self) -> tuple[str, ...]:
        """The words in front of a command that run it in the cage, under the process id that they had."""
        return ("sh", "-c", 'echo $$ >"$0" && exec "$@"', str(self.directory / "cgroup.procs"))

    def kills(self) -> int:
        """How many processes the kernel has ended here for want of memory."""
        for name in ("memory.events", "memory.oom_control"):
            with suppress(FileNotFoundError):
                lines = (self.directory / name).read_text().splitlines()
                return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
        raise AssertionError(f"{self.directory} does not say what it has killed")

    def peak(self) -> int:
        """The most memory that was in use here, the page cache included, in bytes; -1 where the kernel does not say."""
        for name in ("memory.peak", "memory.max_usage_in_bytes"):
            with suppress(FileNotFoundError):
                return int((self.directory / name).read_text())
        return -1

    def cached(self) -> int:
        """How much page cache is charged to it now, in bytes."""
        lines = (self.directory / "memory.stat").read_text().splitlines()
        found = {name: int(count) for name, count in (line.split() for line in lines)}
        return found["file"] if "file" in found else found["cache"]


@contextmanager
def cage(limit_bytes: int) -> Iterator[Cage]:
    """A cage of so many bytes, for as long as the context lasts; what runs in it has ended by then."""
    root = _ROOT / "memory" if (_ROOT / "memory").is_dir() else _ROOT
    made = Cage(root / f"freight-{os.getpid()}-{next(_numbers)}")
    try:
        if root == _ROOT and (root / "cgroup.subtree_control").exists():
            (root / "cgroup.subtree_control").write_text("+memory")
        made.directory.mkdir()
    except OSError as error:
        raise Unmade(f"control groups cannot be made: {error}") from error
    try:
        _limit(made.directory, limit_bytes)
        yield made
    finally:
        until(lambda: _removed(made.directory), f"{made.directory} is empty, and removed")


def _limit(directory: Path, limit_bytes: int) -> None:
    # The second of version 1 is a limit of its own for TCP's buffers, the third for what could be swapped out.
    names = ("memory.limit_in_bytes", "memory.kmem.tcp.limit_in_bytes", "memory.memsw.limit_in_bytes")
    wanted = [directory / name for name in ("memory.max", "memory.swap.max", *names)]
    found = [path for path in wanted if path.exists()]
    if not {"memory.max", "memory.limit_in_bytes"} & {path.name for path in found}:
        raise Unmade("control groups have no limit of memory here")
    try:
        for path in found:
            path.write_text("0" if path.name == "memory.swap.max" else str(limit_bytes))
    except OSError as error:
        raise Unmade(f"{path.name} cannot be set: {error}") from error


def _removed(directory: Path) -> bool:
    with suppress(OSError):
        directory.rmdir()
    return not directory.exists()
