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
    clients that do not move; ``ventured``: of those, with clients that have not proven that they do.
    """

    __slots__ = ("_borrowers", "_standing", "lent", "pinned", "stuck", "ventured")

    def __init__(self) -> None:
        self.pinned = self.lent = self.stuck = self.ventured = 0
        # Any sink of an account can tell what is held for it: streams of one connection have one account.
        self._borrowers: OrderedDict[Account, Sink] = OrderedDict()  # the longest known first,
        self._standing: OrderedDict[Account, Sink] = OrderedDict()  # and those whose loan does not move

    def note(self, sink: Sink, pinned: int) -> None:
        """From now on a connection is known to have so many bytes in the kernel; a loan for several calls is over."""
        account = sink.account
        account.calls = account.calls_seen = 0
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
        if not account.proven:
            self.ventured += over - account.over
        account.pinned, account.over = pinned, over

    def lend(self, sink: Sink, window: int, calls: int) -> None:
        """From now on a connection has ``window`` bytes for so many calls, however much of it lies in the kernel."""
        self.note(sink, window)
        sink.account.calls = calls

    def prove(self, account: Account) -> None:
        """From now on it is known to be of a client that takes what it is given."""
        self.ventured -= account.over
        account.proven = True

    def forget(self, sink: Sink) -> None:
        """A connection has closed, and the kernel holds nothing for it."""
        self.note(sink, 0)

    def look(self, sink: Sink) -> None:
        """Ask the kernel what a connection has, which may be less than is known."""
        held = sink.held()
        if held < sink.account.pinned:
            self.note(sink, held)

    def reclaim(self, count: int, *, called_in: bool = False) -> None:
        """Look at the ``count`` oldest loans, each of them once, and take back what has left the kernel.

        Those that have not moved for a while come last: they are of clients that stand still. Who has calls left, and
        makes them, keeps what it was lent for them, unless all is ``called_in``.
        """
        for account, sink in list(islice(chain(self._borrowers.items(), self._standing.items()), count)):
            if account.calls:
                if not called_in and self._calls(account):
                    continue
                account.calls = 0
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

    def _calls(self, account: Account) -> bool:
        """Whether it has made a call lately."""
        now = monotonic()
        if account.calls != account.calls_seen:
            account.calls_seen, account.still_since = account.calls, now
        elif now - account.still_since > _STANDS_SECONDS:
            return False
        self._borrowers.move_to_end(account)
        return True

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
