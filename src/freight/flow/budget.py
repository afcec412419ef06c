"""The memory that may grow with clients, and how much of it a running transfer may pin in the kernel.

A client that stops reading pins its send queue in the kernel whatever the process does: megabytes each, unless the
queue is bounded. The bound is a *window*: the bytes of one transfer that the kernel holds and has not yet sent.
"""

from __future__ import annotations

from pathlib import Path

WINDOW_MIN = 32 * 1024
"""The least window, in bytes. Below it one client on loopback, whose segments are 64 KiB, crawls."""

RUNNING_COST = 4 * 1024
"""The user memory of one running download, in bytes: connection, request, plan, descriptor bookkeeping."""

_LARGEST_DEFAULT = 4 * 1024 * 1024


class Budget:
    """Cuts windows for running transfers from ``memory_bytes``.

    ``largest``: what the kernel lets one send queue grow to by itself, in bytes. While the budget holds that much for
    every running transfer there is no bound to set, and none is set. Otherwise all have the same share.
    """

    __slots__ = ("_largest", "_memory_bytes", "_running", "window")

    def __init__(self, memory_bytes: int, largest: int) -> None:
        self._memory_bytes = memory_bytes
        self._largest = largest
        self._running = 0
        self.window: int | None = None
        self._cut()

    @property
    def running(self) -> int:
        """How many transfers run."""
        return self._running

    def take(self) -> None:
        """One more transfer runs."""
        self._running += 1
        self._cut()

    def give_back(self) -> None:
        """One transfer has ended."""
        self._running -= 1
        self._cut()

    def _cut(self) -> None:
        share = self._memory_bytes // max(1, self._running) - RUNNING_COST
        self.window = None if share >= self._largest else max(WINDOW_MIN, share)


def largest_send_queue() -> int:
    """The most the kernel lets a TCP send queue grow to by itself, in bytes: tcp(7), ``tcp_wmem``."""
    try:
        return int(Path("/proc/sys/net/ipv4/tcp_wmem").read_text().split()[2])
    except (OSError, ValueError, IndexError):
        return _LARGEST_DEFAULT
