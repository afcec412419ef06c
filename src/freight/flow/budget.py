"""The memory that may grow with clients, and how much of it a running transfer may pin in the kernel.

A client that stops reading pins its send queue in the kernel whatever the process does: megabytes each, unless the
queue is bounded. The bound is a *window*: the bytes of one transfer that the kernel holds and has not yet sent.
"""

from __future__ import annotations

from pathlib import Path

WINDOW_MIN = 32 * 1024
"""The least window, in bytes. Below it one client on loopback, whose segments are 64 KiB, crawls."""

RUNNING_COST = 7 * 1024
"""What one running download costs besides its window, in bytes: up to 4 KiB in the process (connection, plan, frames)
and up to 3 KiB of the kernel's bookkeeping around 32 KiB of queued data."""

_LARGEST_DEFAULT = 4 * 1024 * 1024


CROWD = 500
"""So many clients always find their least window: room for them is never lent to others."""


class Budget:
    """Cuts the windows of running transfers from ``memory_bytes``.

    Each has WINDOW_MIN of its own. What is left of the memory, behind room for a CROWD, is *lent*: in equal shares, and
    never more than there is: all the windows of a CROWD together stay within the memory however it behaves. A loan is
    looked at again whenever its transfer can take more, and comes back when the transfer ends; a client that stands
    still keeps what it has, which is counted. ``largest``: what the kernel lets one send queue grow to by itself, in
    bytes; who is lent as much has no bound to set.
    """

    __slots__ = ("_largest", "_lendable", "_lent", "_memory_bytes", "_running", "epoch")

    def __init__(self, memory_bytes: int, largest: int) -> None:
        self._memory_bytes = memory_bytes
        self._largest = largest
        self._lent = 0
        self._running = 0
        self._lendable = 0
        self.epoch = 0  # another number whenever loans are to be looked at again
        self._divide()

    @property
    def running(self) -> int:
        """How many transfers run."""
        return self._running

    @property
    def lent(self) -> int:
        """The bytes of all loans."""
        return self._lent

    def take(self) -> None:
        """One more transfer runs."""
        self._running += 1
        self._divide()

    def give_back(self, loan: int) -> None:
        """A transfer has ended, and its loan with it."""
        self._running -= 1
        self._lent -= loan
        self._divide()

    def renew(self, loan: int, most: int | None = None) -> int:
        """A running transfer's new loan for its old one, ``most`` or less: bytes it may pin beyond WINDOW_MIN."""
        share = min(self._lendable // max(1, self._running), self._largest if most is None else most)
        renewed = max(0, min(share, self._lendable - (self._lent - loan)))
        if renewed < loan:
            self.epoch += 1  # there is more for others, who may have gone short
        self._lent += renewed - loan
        return renewed

    def window(self, loan: int) -> int | None:
        """The window that a loan makes; None: as large as the kernel likes."""
        return None if loan >= self._largest else WINDOW_MIN + loan

    def _divide(self) -> None:
        crowd = max(self._running, min(CROWD, self._memory_bytes // (WINDOW_MIN + RUNNING_COST)))
        self._lendable = max(0, self._memory_bytes - crowd * (WINDOW_MIN + RUNNING_COST))
        self.epoch += 1


def largest_send_queue() -> int:
    """The most the kernel lets a TCP send queue grow to by itself, in bytes: tcp(7), ``tcp_wmem``."""
    try:
        return int(Path("/proc/sys/net/ipv4/tcp_wmem").read_text().split()[2])
    except (OSError, ValueError, IndexError):
        return _LARGEST_DEFAULT
