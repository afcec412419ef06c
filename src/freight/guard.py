"""Keep an account of work for each client, and a guard for each connection that charges what is done for it.

A cost is a number of microseconds of one core; :mod:`freight.wire.costs` has the table. A debt belongs to the client's
address or /64 and not to a connection: a client that connects again finds its debt as it was.

**Running work is no debt.** The server bounds what runs at the same time by slots, the queue and the memory budget. So
a client may open ten thousand connections at once, and owes nothing while their downloads run, stall or wait. The cost
of a connection and of its running requests is *pending*: up to ORDINARY for each request, and the cost of accepting the
connection. How the work ends decides what becomes of that cost:

- A request that was answered to its end drops it. The first one drops the cost of accepting the connection too.
- A request that was reset, cancelled or cut makes it debt, less what delivered bytes pay.
- So does a connection that ends before any of its requests was answered.

What goes beyond that is debt at once: floods of frames, resets, heads that are expensive to read. Only time, delivered
bytes and finished requests pay a debt, and no connection pays for another.

A client in debt is slowed first: it pauses for several times what its work took, with all of its connections together
(:mod:`freight.server.pace`), and its new connections wait for turns. A connection is ended last, when its client owes
more than DEBT_MOST and the connection owes a part of that itself. So an honest client at the address of an attacker is
slowed a little, and never ended.

Nothing here reads a clock: ``now`` is in seconds of any clock that never goes back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

ORDINARY = 400.0
"""What an ordinary request costs, with its frames, a section of 600 bytes, and a frame or two around it, such as a
priority and a window update. So much of a running request's cost is pending, and so much a finished request pays.
"""

QUANTUM = 1000.0
"""What is done for one connection before others have their turn."""

QUANTUM_IN_DEBT = 600.0
"""The same for a client in debt: enough to accept a connection and to answer one small request on it."""

DEBT_FREE = 100_000.0
"""A debt up to this has no consequence. To leave a page of a hundred pictures at once costs 40,000."""

DEBT_MOST = 300_000.0
"""Beyond this debt connections are ended. About 800 requests that are cancelled at once cost as much."""

OWED_MOST = 30_000.0
"""How much of it a connection must owe itself to be ended."""

PAID_PER_SECOND = 100_000.0
"""What a second pays: every client may use a tenth of a core for nothing. While its work waits, a second pays less."""

PAUSE_MOST = 8.0
"""A client in debt pauses for at most so many times what its work took: it has at least a ninth of the time."""

_WAITING_PART = 0.1  # of what time pays, while work of the client waits: a pause does not pay for itself
_DEBT_KEPT = 2 * DEBT_MOST  # more is forgotten: time pays this in six seconds
_OWED_PART = 0.3  # of what time pays, at most, for one connection: one that goes on slowly is ended too
_REFILL = 0.5  # of the time that passes, a client without a debt may have work done without turns
_ACCOUNTS = 1024  # some 300 KiB
_SHARED_MOST = 64  # numbers that arrivals come to: they are few


class Account:
    """What one client owes. An ``exempt`` one is never in debt: that of a proxy, whose clients have their own.

    ``waiting`` is how many of its connections wait for turns, and ``free_at`` when its pause ends.
    """

    __slots__ = ("_at", "debt", "exempt", "free_at", "waiting")

    def __init__(self, exempt: bool = False) -> None:
        self.debt = 0.0
        self.exempt = exempt
        self.free_at = 0.0
        self.waiting = 0
        self._at = -1.0  # when time last paid; below 0: not yet

    def settle(self, now: float) -> None:
        """Let time pay."""
        if self.debt > 0.0 and self._at >= 0.0:
            self.debt = max(0.0, min(self.debt, _DEBT_KEPT) - self.paid(now - self._at))
        self._at = now

    def paid(self, seconds: float) -> float:
        """Return what so much time pays."""
        return seconds * PAID_PER_SECOND * (_WAITING_PART if self.waiting else 1.0)

    @property
    def pause(self) -> float:
        """For how many times its work the client pauses: 0 up to DEBT_FREE, from 1 to PAUSE_MOST beyond it."""
        beyond = self.debt - DEBT_FREE
        if beyond <= 0.0 or self.exempt:
            return 0.0
        return min(PAUSE_MOST, 1.0 + (PAUSE_MOST - 1.0) * 2.0 * beyond / (DEBT_MOST - DEBT_FREE))

    @property
    def exhausted(self) -> bool:
        """Whether the client owes so much that its connections are ended."""
        return self.debt > DEBT_MOST and not self.exempt

    def charge(self, cost: float) -> None:
        """Add the cost of work to the debt."""
        self.debt += cost

    def pay(self, cost: float) -> None:
        """Take the cost of something useful off the debt."""
        self.debt = max(0.0, self.debt - cost)


class Accounts:
    """The accounts of the clients that were here last, in bounded number, by a key of the caller's.

    ``exempt_all``: nobody is ever in debt, such as those who look after the server.
    """

    __slots__ = ("_by_key", "_exempt_all", "exempt")

    def __init__(self, *, exempt_all: bool = False) -> None:
        self._exempt_all = exempt_all
        self._by_key: OrderedDict[Hashable, Account] = OrderedDict()
        self.exempt = Account(exempt=True)

    def __len__(self) -> int:
        return len(self._by_key)

    def of(self, key: Hashable) -> Account:
        """Return a client's account. A new one takes the place of the one that was asked for least recently."""
        if self._exempt_all:
            return self.exempt
        account = self._by_key.get(key)
        if account is None:
            account = self._by_key[key] = Account()
            if len(self._by_key) > _ACCOUNTS:
                self._by_key.popitem(last=False)
        else:
            self._by_key.move_to_end(key)
        return account


_SHARED: dict[float, float] = {}


def shared(number: float) -> float:
    """Return an equal number that others have too: of ten thousand connections each would have 32 bytes for its own."""
    if len(_SHARED) < _SHARED_MOST:
        return _SHARED.setdefault(number, number)
    return _SHARED.get(number, number)


class Guard:
    """Charge for one connection, or for one request of a client behind a proxy.

    ``left`` is what may be done for it before it needs a turn. ``pending`` is the cost of what runs, at most
    ``allowed``. ``owed`` is its own part of the client's debt.
    """

    __slots__ = ("_arrival", "_at", "_useful", "account", "allowed", "left", "owed", "pending")

    def __init__(self, account: Account | None = None) -> None:
        self.account = account or Account()
        self.owed = 0.0
        self.left = QUANTUM_IN_DEBT if self.account.pause else QUANTUM
        self.pending = 0.0
        self.allowed = ORDINARY  # for the next request, or the only one
        self._arrival = 0.0  # what it cost until a request could come
        self._useful = False  # a request was answered to its end
        self._at = -1.0

    def charge(self, cost: float) -> None:
        """Charge for work, before or after it is done. It is debt as far as it goes beyond what may be pending."""
        self.left -= cost
        self.pending = self.pending + cost if self.pending else cost
        if self.pending > self.allowed:
            self._owe()

    def arrive(self, cost: float) -> None:
        """Charge for accepting the connection or for its handshake: pending until a request was answered."""
        self._arrival = self._arrival + cost if self._arrival else cost
        self.allowed = shared(self.allowed + cost)
        self.charge(cost)
        self.left = shared(self.left)

    @property
    def arrival(self) -> float:
        """What it cost until a request could come, if none was answered yet."""
        return self._arrival

    def forgive(self) -> None:
        """Drop what is pending: the connection is ended to make room, and nothing was done for it."""
        self.pending = 0.0

    def run(self) -> None:
        """Allow for the cost of one more request that runs beside others. ``stop`` or ``finish`` is to follow."""
        self.allowed += ORDINARY

    def stop(self) -> None:
        """End a request that ``run`` has begun and that was not answered to its end: its cost is debt."""
        self.allowed -= ORDINARY
        if self.pending > self.allowed:
            self._owe()

    def finish(self, uncharged: float = 0.0) -> None:
        """Pay for a request that was answered to its end, and for what it cost to accept the connection.

        ``uncharged`` is a part of its cost that :meth:`charge` was not told of.
        """
        self._useful = True
        credit = ORDINARY - uncharged
        if self._arrival:
            self.allowed -= self._arrival
            credit += self._arrival
            self._arrival = 0.0
        if self.pending <= credit and not self.owed:
            self.pending = 0.0
            return
        self.pay(credit)
        if self.pending > self.allowed:
            self._owe()

    def close(self) -> None:
        """End the connection. What is pending is debt if none of its requests was answered to its end."""
        if not self._useful:
            self.allowed = 0.0
            self._owe()
        self.pending = 0.0

    def _owe(self) -> None:
        beyond = self.pending - self.allowed
        self.pending = self.allowed
        self.owed += beyond
        self.account.debt += beyond

    def move(self, account: Account) -> None:
        """Charge another account from now on, and for what is owed already: the connection is that client's."""
        self.account.pay(self.owed)
        self.account = account
        account.charge(self.owed)
        if account.pause:
            self.left = 0.0

    def pay(self, cost: float) -> None:
        """Take the cost of something useful off what is pending, then off the connection's own debt.

        That gives no turn back, and pays for no other connection.
        """
        if cost <= self.pending:
            self.pending -= cost
            return
        paid = min(cost - self.pending, self.owed)
        self.pending = 0.0
        if paid:
            self.owed -= paid
            self.account.pay(paid)

    def settle(self, now: float) -> None:
        """Let time pay this connection's part of the debt. Without a debt, time also lets more be done."""
        passed = now - self._at if self._at >= 0.0 else 0.0
        self._at = now
        if self.owed > 0.0:
            part = min(_OWED_PART, self.owed / max(self.owed, self.account.debt))
            self.owed = max(0.0, self.owed - part * self.account.paid(passed))
        self.account.settle(now)
        if not self.account.pause:
            self.left = min(QUANTUM, self.left + passed * _REFILL * 1e6)

    @property
    def overdrawn(self) -> bool:
        """Whether the connection is to be ended: its client owes too much and it a part of that, or it does alone."""
        if self.owed <= OWED_MOST or self.account.exempt:
            return False
        return self.account.exhausted or self.owed > DEBT_MOST
