"""Charge work to clients: an account for each client, and one for each connection.

**Goal.** No client takes more of the loop than its share, over any number of connections, and no honest client is
disconnected for what another client at its address does.

**Units.** A cost is in microseconds of one core; :mod:`freight.wire.costs` has the table. ``now`` is in seconds of any
monotonic clock: nothing here reads a clock.

**Invariants.**

1. A debt belongs to the client's address or /64, not to a connection: a client that reconnects finds its debt.
2. Running work is not debt. Slots, the queue and the memory budget limit what runs at the same time. So a client may
   open ten thousand connections at once, and owes nothing while their downloads run, stall or wait.
3. Only time, delivered bytes and finished requests pay a debt, and no connection pays for another.

**Plan.** The cost of a connection and of its running requests is *pending*: up to REQUEST_ALLOWANCE for each request,
and the setup cost of the connection. The end of the work decides about that cost:

- A request that was answered completely drops it. The first such request drops the setup cost too.
- A request that was reset, cancelled or cut off makes it debt, less what delivered bytes pay.
- A connection that ends before any request was answered makes it debt.

A cost beyond that is debt at once: floods of frames, resets, heads that are expensive to parse.

A client in debt is slowed first: after each turn all its connections pause for a multiple of the work's time
(:mod:`freight.server.turns`), and its new connections wait for turns. A connection is closed last, when its client owes
more than MAX_DEBT and the connection itself owes more than MAX_OWED of it. So an honest client at an attacker's address
is slowed a little, and never disconnected.

**Left out.** The cost of sending content: slots and the memory budget limit transfers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

REQUEST_ALLOWANCE = 400.0
"""The cost of an ordinary request: its frames, a field section of 600 bytes, a priority and a window update.

At most this much of a running request's cost is pending, and a finished request pays this much.
"""

QUANTUM = 1000.0
"""Work done for one connection before other connections have their turn."""

QUANTUM_IN_DEBT = 600.0
"""The quantum of a client in debt: enough to accept a connection and to answer one small request on it."""

TOLERATED_DEBT = 100_000.0
"""A debt up to this has no effect. To leave a page of 100 images at once costs 40,000."""

MAX_DEBT = 300_000.0
"""Connections of a client with a larger debt are closed. About 800 requests, cancelled at once, cost as much."""

MAX_OWED = 30_000.0
"""A connection is closed only if it owes more than this itself."""

CREDIT_PER_SECOND = 100_000.0
"""What a second pays: a tenth of a core is free for every client. A second pays less while the client's work waits."""

MAX_PAUSE_FACTOR = 8.0
"""A client in debt pauses for at most 8 times what its work took, so it has at least a ninth of the time."""

# While work of the client waits, time pays only this fraction: otherwise a pause would pay for itself.
_WAITING_FRACTION = 0.1
# A larger debt is forgotten; time pays this one in six seconds.
_DEBT_CAP = 2 * MAX_DEBT
# Time pays at most this fraction to one connection, so that one that goes on slowly is closed too.
_MAX_OWED_FRACTION = 0.3
# A client without a debt gains this fraction of the elapsed time as work without turns.
_REFILL_FRACTION = 0.5
_MAX_ACCOUNTS = 1024  # about 300 KiB
_MAX_INTERNED = 64  # setup costs have few distinct sums


class ClientAccount:
    """The debt of one client.

    ``exempt``: never in debt, as for a proxy, whose clients have accounts of their own. ``waiting_connections`` is the
    number of its connections that wait for turns. Its pause ends at ``paused_until``.
    """

    __slots__ = ("_settled_at", "debt", "exempt", "paused_until", "waiting_connections")

    def __init__(self, exempt: bool = False) -> None:
        self.debt = 0.0
        self.exempt = exempt
        self.paused_until = 0.0
        self.waiting_connections = 0
        self._settled_at: float | None = None

    def settle(self, now: float) -> None:
        """Credit the time since the last call."""
        if self.debt > 0.0 and self._settled_at is not None:
            self.debt = max(0.0, min(self.debt, _DEBT_CAP) - self.credit_for(now - self._settled_at))
        self._settled_at = now

    def credit_for(self, seconds: float) -> float:
        """Return what ``seconds`` pay."""
        return seconds * CREDIT_PER_SECOND * (_WAITING_FRACTION if self.waiting_connections else 1.0)

    @property
    def pause_factor(self) -> float:
        """How long the client pauses, as a multiple of its work: 0 up to TOLERATED_DEBT, from 1 to 8 beyond."""
        beyond = self.debt - TOLERATED_DEBT
        if beyond <= 0.0 or self.exempt:
            return 0.0
        return min(MAX_PAUSE_FACTOR, 1.0 + (MAX_PAUSE_FACTOR - 1.0) * 2.0 * beyond / (MAX_DEBT - TOLERATED_DEBT))

    @property
    def over_limit(self) -> bool:
        """Whether the client owes more than MAX_DEBT."""
        return self.debt > MAX_DEBT and not self.exempt

    def charge(self, cost: float) -> None:
        """Add ``cost`` to the debt."""
        self.debt += cost

    def pay(self, cost: float) -> None:
        """Take ``cost`` off the debt."""
        self.debt = max(0.0, self.debt - cost)


class ClientAccounts:
    """The accounts of the 1,024 clients used last, by a key of the caller's.

    ``exempt_all``: no client is ever in debt, as on the admin listener.
    """

    __slots__ = ("_by_key", "_exempt_all", "exempt")

    def __init__(self, *, exempt_all: bool = False) -> None:
        self._exempt_all = exempt_all
        self._by_key: OrderedDict[Hashable, ClientAccount] = OrderedDict()
        self.exempt = ClientAccount(exempt=True)

    def __len__(self) -> int:
        return len(self._by_key)

    def get(self, key: Hashable) -> ClientAccount:
        """Return a client's account. A new account evicts the least recently used one."""
        if self._exempt_all:
            return self.exempt
        account = self._by_key.get(key)
        if account is None:
            account = self._by_key[key] = ClientAccount()
            if len(self._by_key) > _MAX_ACCOUNTS:
                self._by_key.popitem(last=False)
        else:
            self._by_key.move_to_end(key)
        return account


_INTERNED: dict[float, float] = {}


def interned(number: float) -> float:
    """Return an equal, shared number: otherwise each of ten thousand connections keeps 32 bytes for its own."""
    if len(_INTERNED) < _MAX_INTERNED:
        return _INTERNED.setdefault(number, number)
    return _INTERNED.get(number, number)


class ConnectionAccount:
    """Charges one connection, or one request of a client behind a proxy.

    ``quantum_left`` is the work that may be done for it before it needs a turn. ``pending`` is the cost of what runs,
    at most ``pending_limit``. ``owed`` is its own part of the client's debt.
    """

    __slots__ = (
        "_answered",
        "_settled_at",
        "_setup_cost",
        "account",
        "owed",
        "pending",
        "pending_limit",
        "quantum_left",
    )

    def __init__(self, account: ClientAccount | None = None) -> None:
        self.account = account or ClientAccount()
        self.owed = 0.0
        self.quantum_left = QUANTUM_IN_DEBT if self.account.pause_factor else QUANTUM
        self.pending = 0.0
        self.pending_limit = REQUEST_ALLOWANCE  # for the next request, or the only one
        self._setup_cost = 0.0
        self._answered = False  # a request was answered completely
        self._settled_at: float | None = None

    def charge(self, cost: float) -> None:
        """Charge for work, before or after it is done. What exceeds ``pending_limit`` is debt at once."""
        self.quantum_left -= cost
        self.pending = self.pending + cost if self.pending else cost
        if self.pending > self.pending_limit:
            self._owe_excess()

    def charge_setup(self, cost: float) -> None:
        """Charge for accepting the connection or for its handshake: pending until a request was answered."""
        self._setup_cost = self._setup_cost + cost if self._setup_cost else cost
        self.pending_limit = interned(self.pending_limit + cost)
        self.charge(cost)
        self.quantum_left = interned(self.quantum_left)

    @property
    def setup_cost(self) -> float:
        """The cost of the setup; 0 once a request was answered."""
        return self._setup_cost

    def drop_pending(self) -> None:
        """Drop what is pending: the server evicts the connection and did nothing for it."""
        self.pending = 0.0

    def open_request(self) -> None:
        """Allow for the cost of one more concurrent request. :meth:`close_request` must follow."""
        self.pending_limit += REQUEST_ALLOWANCE

    def close_request(self) -> None:
        """End a request of :meth:`open_request`. Unless :meth:`credit_request` came first, its cost is debt."""
        self.pending_limit -= REQUEST_ALLOWANCE
        if self.pending > self.pending_limit:
            self._owe_excess()

    def credit_request(self, uncharged: float = 0.0) -> None:
        """Pay for a request that was answered completely, and for the setup cost.

        ``uncharged`` is the part of the request's cost that the caller never charged.
        """
        self._answered = True
        credit = REQUEST_ALLOWANCE - uncharged
        if self._setup_cost:
            self.pending_limit -= self._setup_cost
            credit += self._setup_cost
            self._setup_cost = 0.0
        if self.pending <= credit and not self.owed:
            self.pending = 0.0
            return
        self.pay(credit)
        if self.pending > self.pending_limit:
            self._owe_excess()

    def close(self) -> None:
        """End the connection. What is pending is debt if no request was answered completely."""
        if not self._answered:
            self.pending_limit = 0.0
            self._owe_excess()
        self.pending = 0.0

    def _owe_excess(self) -> None:
        excess = self.pending - self.pending_limit
        self.pending = self.pending_limit
        self.owed += excess
        self.account.debt += excess

    def transfer_to(self, account: ClientAccount) -> None:
        """Move what is owed to another account and charge that one from now on: the connection is that client's."""
        self.account.pay(self.owed)
        self.account = account
        account.charge(self.owed)
        if account.pause_factor:
            self.quantum_left = 0.0

    def pay(self, cost: float) -> None:
        """Take ``cost`` off what is pending, then off what this connection owes.

        This adds nothing to ``quantum_left``, and pays for no other connection.
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
        """Credit the time since the last call to this connection's part of the debt, and refill ``quantum_left``.

        Only a client without a debt gets the refill.
        """
        elapsed = 0.0 if self._settled_at is None else now - self._settled_at
        self._settled_at = now
        if self.owed > 0.0:
            part = min(_MAX_OWED_FRACTION, self.owed / max(self.owed, self.account.debt))
            self.owed = max(0.0, self.owed - part * self.account.credit_for(elapsed))
        self.account.settle(now)
        if not self.account.pause_factor:
            self.quantum_left = min(QUANTUM, self.quantum_left + elapsed * _REFILL_FRACTION * 1e6)

    @property
    def over_limit(self) -> bool:
        """Whether to close the connection: it owes more than MAX_OWED of a debt above MAX_DEBT, or itself more."""
        if self.owed <= MAX_OWED or self.account.exempt:
            return False
        return self.account.over_limit or self.owed > MAX_DEBT
