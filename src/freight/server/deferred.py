"""Accepted connections that wait for their client's turn: those of clients in debt, and doubtful ones.

At most _COUNT_MAX connections wait, of all clients together, and the budget counts them like any others. Three rules
keep a client in debt from using them up:

1. A connection that its client has closed is closed here too. Nothing is done for it.
2. A connection whose client has sent more than one request is *doubtful* and is served last: the kernel does not report
   a close that follows bytes for which the receive buffer has no space.
3. Beyond _COUNT_MAX, the client in debt with most has one connection reset: its oldest doubtful one, or its oldest.

The connections of a client without debt are never reset.
"""

from __future__ import annotations

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from itertools import islice

from freight.server.connection_reader import peek_state
from freight.server.context import ServerContext
from freight.wire import costs
from freight.wire.accounting import ClientAccount

ONE_REQUEST_BYTES = 4096
"""A client that has sent more than this before it is served is doubtful: a request, or the first flight of a TLS
handshake, is shorter."""

_COUNT_MAX = 1024
_STORM_COUNT = 128  # with more than this waiting, doubtful connections of clients in debt are not kept
_CHECKED_PER_TURN = 32  # the oldest of a client's connections; each check is a system call
_FIRST_CHECK_SECONDS = 0.003


class _ClientQueue:
    """The deferred connections of one client: addresses by socket, the oldest first."""

    __slots__ = ("doubtful", "ordinary", "unchecked")

    def __init__(self) -> None:
        self.ordinary: OrderedDict[socket.socket, str] = OrderedDict()
        self.doubtful: OrderedDict[socket.socket, str] = OrderedDict()
        self.unchecked: list[socket.socket] = []

    def __len__(self) -> int:
        return len(self.ordinary) + len(self.doubtful)

    def add(self, connected: socket.socket, client: str, doubtful: bool) -> None:
        if doubtful:
            self.doubtful[connected] = client
        else:
            self.ordinary[connected] = client
            self.unchecked.append(connected)

    def check_new(self) -> list[socket.socket]:
        """Check the connections that were added since the last call. Return those that were closed."""
        unchecked, self.unchecked = self.unchecked, []
        return self._check([connected for connected in unchecked if connected in self.ordinary])

    def check_oldest(self) -> list[socket.socket]:
        """Check some of the oldest connections. Return those that were closed."""
        return self._check(list(islice(self.ordinary or self.doubtful, _CHECKED_PER_TURN)))

    def _check(self, some: list[socket.socket]) -> list[socket.socket]:
        closed = []
        for connected in some:
            peer_closed, received = peek_state(connected)
            if peer_closed:
                closed.append(connected)
            elif received > ONE_REQUEST_BYTES and connected in self.ordinary:
                self.doubtful[connected] = self.ordinary.pop(connected)
        return closed

    def first_to_serve(self) -> socket.socket:
        return next(iter(self.ordinary or self.doubtful))

    def first_to_drop(self) -> socket.socket:
        return next(iter(self.doubtful or self.ordinary))

    def remove(self, connected: socket.socket) -> str:
        """Remove a connection and return its client's address."""
        return (self.ordinary if connected in self.ordinary else self.doubtful).pop(connected)


class DeferredConnections:
    """The deferred connections of one listener. ``serve`` starts to serve one of them."""

    def __init__(self, context: ServerContext, serve: Callable[[socket.socket, str, ClientAccount], None]) -> None:
        self._context = context
        self._serve = serve
        self._queues: dict[ClientAccount, _ClientQueue] = {}
        self._count = 0  # of all queues: len() is asked for each connection that is accepted
        self._check_timer: asyncio.TimerHandle | None = None
        self._scheduled: set[ClientAccount] = set()  # clients whose next turn is for a deferred connection

    def __len__(self) -> int:
        return self._count

    @property
    def is_full(self) -> bool:
        """Whether _COUNT_MAX connections wait."""
        return self._count >= _COUNT_MAX

    @property
    def is_storm(self) -> bool:
        """Whether so many connections wait that no doubtful one of a client in debt is kept."""
        return self._count > _STORM_COUNT

    def add(self, account: ClientAccount, connected: socket.socket, client: str, doubtful: bool) -> None:
        """Keep an accepted connection until the client's turn. The budget must have counted it."""
        queue = self._queues.get(account)
        if queue is None:
            queue = self._queues[account] = _ClientQueue()
        queue.add(connected, client, doubtful)
        self._count += 1
        self._schedule(account)
        if self._check_timer is None:
            self._check_timer = self._context.loop.call_later(_FIRST_CHECK_SECONDS, self._check_new)
        if self._count > _COUNT_MAX:
            self._drop_one()

    def serve_all(self) -> None:
        """Serve all connections now."""
        while self._queues:
            self._serve_next(next(iter(self._queues)))

    def reset_all(self) -> None:
        """Reset all connections."""
        while self._queues:
            account, queue = next(iter(self._queues.items()))
            self._drop(account, queue.first_to_drop())

    def drop_closed(self) -> int:
        """Drop some connections that their clients have closed, of the client in debt with most. Return how many."""
        account = self._largest()
        return 0 if account is None else self._drop_each(account, self._queues[account].check_oldest())

    def _schedule(self, account: ClientAccount) -> None:
        """Have the client's next connection served when it is the client's turn."""
        if account not in self._scheduled:
            self._scheduled.add(account)
            self._context.turns.call_on_turn(account, partial(self._serve_next, account))

    def _serve_next(self, account: ClientAccount) -> bool:
        """Serve one of a client's connections. Return False if none is left."""
        self._scheduled.discard(account)
        if account in self._queues and account.pause_factor:
            self._drop_each(account, self._queues[account].check_oldest())
        queue = self._queues.get(account)
        if queue is None:
            return False
        connected = queue.first_to_serve()
        self._serve(connected, self._remove(account, connected), account)
        if queue:
            self._schedule(account)
        return True

    def _check_new(self) -> None:
        self._check_timer = None
        for account, queue in list(self._queues.items()):
            if account.pause_factor:
                self._drop_each(account, queue.check_new())

    def _largest(self) -> ClientAccount | None:
        """Return the client in debt with most connections here."""
        in_debt = [account for account in self._queues if account.pause_factor]
        return max(in_debt, key=lambda account: len(self._queues[account]), default=None)

    def _drop_one(self) -> None:
        account = self._largest()
        if account is not None and (self._queues[account].doubtful or not self.drop_closed()):
            self._drop(account, self._queues[account].first_to_drop())

    def _drop_each(self, account: ClientAccount, some: list[socket.socket]) -> int:
        for connected in some:
            self._drop(account, connected)
        return len(some)

    def _drop(self, account: ClientAccount, connected: socket.socket) -> None:
        """Reset a connection, and charge its client for the accept, which was of no use."""
        self._remove(account, connected)
        account.charge(costs.ACCEPT)
        connected.close()
        self._context.budget.connection_opened(-1)

    def _remove(self, account: ClientAccount, connected: socket.socket) -> str:
        queue = self._queues[account]
        self._count -= 1
        client = queue.remove(connected)
        if not queue:
            del self._queues[account]
        return client
