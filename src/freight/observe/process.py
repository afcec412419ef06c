"""How much memory this process has to itself."""

from __future__ import annotations

import os
from pathlib import Path

from freight.heap import parse_statm
from freight.ports import Clock

_FRESH_SECONDS = 1.0  # the kernel walks the whole address space for an answer: a third of a millisecond, or more
_PROC = Path("/proc/self")


def parse_rollup(text: bytes) -> int:
    """Return the process's own bytes by ``smaps_rollup``, proc(5): private dirty pages, and what is swapped out.

    Clean pages are left out: the text of programs and libraries is private only while no other process runs the same
    program. A program's file that was just installed has dirty pages too, until it is on the disk, so the anonymous
    pages are an upper bound.

    Raises ValueError when ``text`` does not say.
    """
    sizes = {name: int(rest.split()[0]) for line in text.splitlines() for name, _, rest in [line.partition(b":")]}
    dirty = sizes.get(b"Private_Dirty")
    if dirty is None:
        raise ValueError("no private memory in smaps_rollup")
    return (min(dirty, sizes.get(b"Anonymous", dirty)) + sizes.get(b"Swap", 0)) * 1024


class ProcessMemory:
    """Looks at this process's own memory. ``proc`` is its directory below /proc."""

    def __init__(self, clock: Clock, proc: Path = _PROC) -> None:
        self._clock = clock
        self._proc = proc
        self._at = -_FRESH_SECONDS
        self._bytes = 0

    def private_bytes(self) -> int:
        """Return the bytes that are the process's own, as they were within the last second; 0 where nobody says."""
        now = self._clock.monotonic()
        if now - self._at >= _FRESH_SECONDS:
            self._at, self._bytes = now, self._look()
        return self._bytes

    def _look(self) -> int:
        try:
            return parse_rollup((self._proc / "smaps_rollup").read_bytes())
        except (OSError, ValueError):
            pass  # before Linux 4.14, or a kernel without it
        try:
            return parse_statm((self._proc / "statm").read_bytes(), os.sysconf("SC_PAGE_SIZE"))
        except (OSError, ValueError):
            return 0
