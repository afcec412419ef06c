"""What the kernel is known to hold for each connection, and what of that is lent."""

from __future__ import annotations

from collections import OrderedDict
from itertools import chain, islice
from time import monotonic

from freight.account import Account
from freight.ports import Sink

_STANDS_SECONDS = 0.05  # a loan that has not moved for so long is of a client that stands still, or is far away


class Ledger:
    """The accounts of all connections. Nothing is in it that was not asked of the kernel, or handed to it since.

    ``pinned``: bytes of all accounts; ``lent``: of them, beyond what each may always have; ``stuck``: of those, with
    clients that do not move.
    """

    __slots__ = ("_borrowers", "_standing", "lent", "pinned", "stuck")

    def __init__(self) -> None:
        self.pinned = self.lent = self.stuck = 0
        # Any sink of an account can tell what is held for it: streams of one connection have one account.
        self._borrowers: OrderedDict[Account, Sink] = OrderedDict()  # the longest known first,
        self._standing: OrderedDict[Account, Sink] = OrderedDict()  # and those whose loan does not move

    def note(self, sink: Sink, pinned: int) -> None:
        """From now on a connection is known to have so many bytes in the kernel."""
        account = sink.account
        if account.standing:
            account.standing = False
            self.stuck -= account.over
            del self._standing[account]
            self._borrowers[account] = sink
        account.still_since = 0.0
        over = pinned - account.base
        if over > 0:
            self._borrowers[account] = sink
        else:
            over = 0
            if account.over:
                del self._borrowers[account]
        self.pinned += pinned - account.pinned
        self.lent += over - account.over
        account.pinned, account.over = pinned, over

    def forget(self, sink: Sink) -> None:
        """A connection has closed, and the kernel holds nothing for it."""
        self.note(sink, 0)

    def look(self, sink: Sink) -> None:
        """Ask the kernel what a connection has, which may be less than is known."""
        held = sink.held()
        if held < sink.account.pinned:
            self.note(sink, held)

    def reclaim(self, count: int) -> None:
        """Look at the ``count`` oldest loans, each of them once, and take back what has left the kernel.

        Those that have not moved for a while come last: they are of clients that stand still.
        """
        for account, sink in list(islice(chain(self._borrowers.items(), self._standing.items()), count)):
            held = sink.held()
            if held < account.pinned:
                self.note(sink, held)
                if account.over:
                    self._borrowers.move_to_end(account)
            elif account.standing:
                self._standing.move_to_end(account)
            else:
                self._borrowers.move_to_end(account)
                self._look_again(sink)

    def _look_again(self, sink: Sink) -> None:
        """It has not moved: for how long?"""
        account, now = sink.account, monotonic()
        if not account.still_since:
            account.still_since = now
        elif now - account.still_since > _STANDS_SECONDS:
            account.standing = True
            self.stuck += account.over
            del self._borrowers[account]
            self._standing[account] = sink
