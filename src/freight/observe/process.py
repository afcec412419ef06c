"""How much memory this process has to itself."""

from __future__ import annotations

import os
from pathlib import Path

from freight.heap import parse_statm
from freight.ports import Clock

_FRESH_SECONDS = 1.0  # the kernel walks the whole address space for an answer: a third of a millisecond, or more
_PROC = Path("/proc/self")


def parse_rollup(text: bytes) -> int:
    """The private bytes in ``smaps_rollup``, proc(5): what would come back if the process ended.

    Raises ValueError when they are not in it.
    """
    sizes = [int(line.split()[1]) for line in text.splitlines() if line.startswith(b"Private_")]
    if not sizes:
        raise ValueError("no private memory in smaps_rollup")
    return sum(sizes) * 1024


class ProcessMemory:
    """Looks at this process's own memory. ``proc`` is its directory below /proc."""

    def __init__(self, clock: Clock, proc: Path = _PROC) -> None:
        self._clock = clock
        self._proc = proc
        self._at = -_FRESH_SECONDS
        self._bytes = 0

    def private_bytes(self) -> int:
        """Memory that is the process's own (USS), in bytes, as it was within the last second; 0 where nobody says."""
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
