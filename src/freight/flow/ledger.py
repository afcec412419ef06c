"""What the kernel is known to hold for each connection beyond its own windows."""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice

from freight.account import Account
from freight.ports import Sink


class Ledger:
    """The accounts of all connections. Nothing is in it that was not asked of the kernel, or handed to it since.

    ``lent``: bytes that the kernel holds beyond the own windows of those who run, of all accounts.
    """

    __slots__ = ("_borrowers", "lent")

    def __init__(self) -> None:
        self.lent = 0
        # Any sink of an account can tell what is held for it: streams of one connection have one account.
        self._borrowers: OrderedDict[Account, Sink] = OrderedDict()  # the longest known first

    def note(self, sink: Sink, held: int) -> None:
        """Record that the kernel holds ``held`` bytes for a connection."""
        account = sink.account
        over = held - account.base
        if over == account.over:
            return
        if over > 0:
            self._borrowers[account] = sink
        else:
            over = 0
            if account.over:
                del self._borrowers[account]
        self.lent += over - account.over
        account.over = over

    def forget(self, sink: Sink) -> None:
        """A connection has closed, and the kernel holds nothing for it."""
        self.note(sink, 0)

    def reclaim(self, count: int) -> None:
        """Look at the ``count`` oldest loans, each of them once, and take back what has left the kernel."""
        for account, sink in list(islice(self._borrowers.items(), count)):
            self.note(sink, sink.held())
            if account.over:
                self._borrowers.move_to_end(account)
