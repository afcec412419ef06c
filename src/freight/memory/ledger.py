"""The ledger: what the kernel holds for each connection beyond the windows that are reserved for it.

**Invariant.** ``account.reserved + account.borrowed`` is never less than what the kernel and the pieces hold for the
connection, and ``lent`` is the sum of ``borrowed`` over all accounts.

**Rules.** The caller records what the kernel holds after each call that adds to it. A send queue shrinks without
notice, when the client acknowledges, so a loan may be recorded for longer than it lasts. :meth:`Ledger.reclaim` asks
the kernel again, about the oldest loans first: they are the likeliest to have drained.

**Left out.** Reserved windows are never reclaimed: transfers may fill them at any time without asking.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from typing import Protocol

from freight.protocols import SendAccount


class SendQueue(Protocol):
    """The part of a :class:`~freight.protocols.Sink` that the budget needs."""

    account: SendAccount

    def queued_bytes(self) -> int:
        """Return how many bytes of its memory the kernel holds for the connection (``wmem_queued``)."""

    def path_info(self) -> tuple[float, int, int]:
        """Return the least round trip in seconds, twice the congestion window, and the receive window, in bytes."""


class Ledger:
    """The accounts of all connections. ``lent`` is the sum of what they have borrowed, in bytes."""

    __slots__ = ("_borrowers", "lent")

    def __init__(self) -> None:
        self.lent = 0
        # The oldest loan first. All streams of an HTTP/2 connection share its account, so any of their queues will do.
        self._borrowers: OrderedDict[SendAccount, SendQueue] = OrderedDict()

    def record(self, queue: SendQueue, held: int) -> None:
        """Record that the kernel holds ``held`` bytes for a connection, besides its pieces. Takes constant time."""
        account = queue.account
        borrowed = held + account.piece_bytes - account.reserved
        if borrowed == account.borrowed:
            return
        if borrowed > 0:
            self._borrowers[account] = queue
        else:
            borrowed = 0
            if account.borrowed:
                del self._borrowers[account]
        self.lent += borrowed - account.borrowed
        account.borrowed = borrowed

    def forget(self, queue: SendQueue) -> None:
        """Close the account of a connection that has closed, so that nothing is held for it any more."""
        self.record(queue, 0)

    def reclaim(self, count: int) -> None:
        """Record what the kernel still holds of the ``count`` oldest loans. Costs a system call for each."""
        for account, queue in list(islice(self._borrowers.items(), count)):
            self.record(queue, queue.queued_bytes())
            if account.borrowed:
                self._borrowers.move_to_end(account)
