"""The memory that is private to a process."""

from __future__ import annotations

import os
from pathlib import Path

from freight.memory.heap import parse_statm
from freight.protocols import Clock

_FRESH_SECONDS = 1.0  # a measurement walks the whole address space: 0.3 ms or more
_PROC = Path("/proc/self")


def parse_rollup(text: bytes) -> int:
    """Return the private bytes of a process by its ``smaps_rollup``, proc(5): private dirty pages, and swapped pages.

    Clean pages do not count: the text of programs and libraries is private only while no other process runs the same
    program. The pages of a program that was just installed are dirty until they are on the disk, so the anonymous pages
    are an upper limit.

    Raises ValueError when ``text`` has no such line.
    """
    sizes = {name: int(rest.split()[0]) for line in text.splitlines() for name, _, rest in [line.partition(b":")]}
    dirty = sizes.get(b"Private_Dirty")
    if dirty is None:
        raise ValueError("no private memory in smaps_rollup")
    return (min(dirty, sizes.get(b"Anonymous", dirty)) + sizes.get(b"Swap", 0)) * 1024


class ProcessMemory:
    """Measures a process's private memory. ``proc`` is its directory below /proc."""

    def __init__(self, clock: Clock, proc: Path = _PROC) -> None:
        self._clock = clock
        self._proc = proc
        self._measured_at = -_FRESH_SECONDS
        self._bytes = 0

    def private_bytes(self) -> int:
        """Return the private bytes, at most one second old; 0 if the kernel does not say."""
        now = self._clock.monotonic()
        if now - self._measured_at >= _FRESH_SECONDS:
            self._measured_at, self._bytes = now, self._measure()
        return self._bytes

    def _measure(self) -> int:
        try:
            return parse_rollup((self._proc / "smaps_rollup").read_bytes())
        except (OSError, ValueError):
            pass  # Linux before 4.14, or a kernel without smaps_rollup
        try:
            return parse_statm((self._proc / "statm").read_bytes(), os.sysconf("SC_PAGE_SIZE"))
        except (OSError, ValueError):
            return self._bytes  # as last measured, if there is no descriptor left to ask again
