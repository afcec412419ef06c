"""The listening socket, every connection it gave, and how they all end."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextvars import copy_context
from functools import partial
from itertools import islice
from sys import intern

from freight.guard import Account, Guard
from freight.server.binding import bind
from freight.server.connection import Connection
from freight.server.house import House
from freight.server.inlet import look_at
from freight.server.sink import bound
from freight.wire import costs

_BACKLOG = 4096  # connections the kernel may hold ready for us; it takes the lesser of this and net.core.somaxconn
_ACCEPT_AT_ONCE = 64  # a step of the loop must stay short under a storm of connections,
_BEGIN_AT_ONCE = 4  # and while a client in debt connects shorter: those that are begun are most of the work
_LATE_AT_ONCE = 48  # and so many that wait for their client's turns are accepted
_BACK_OFF_SECONDS = 0.2
_YIELD_SECONDS = 0.002  # so long another worker has to accept who comes before we do, who have more already
_RECEIVE_BYTES = 8 * 1024  # the kernel doubles it
_GRACE_SECONDS = 1.0  # a client that was just answered is not sent away: its next request may be on its way
_SILENT_SECONDS = 0.25  # the same of a client that has just come: its first request comes with its connection
_ANSWER_SECONDS = 0.25  # the same of one that has to answer in a handshake: the time of a long way there and back
_SHAKING_SECONDS = 0.02  # between looks at handshakes that all go on
_CROWDED_SECONDS = 0.05  # between looks at who may make room: the time in which a client's kernel says what it has
_EVICTED_AT_ONCE, _LOOKED_AT_AT_ONCE = 16, 64
_LATE_MOST = 1024  # accepted connections of clients in debt that wait for turns, within the budget
_STORM = 128  # and with more than so many, one that has sent much is not kept
_LATE_LOOKED_AT = 32  # of those, in a turn, the oldest, to see what has become of them: each look is a system call
_LATE_SECONDS = 0.003  # until the first look
_LATE_BYTES = 4096  # a request, or the first flight of a handshake, is shorter
_RESET = struct.pack("ii", 1, 0)  # struct linger: on, no time. close(2) then sends RST and drops the send queue
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def listen(host: str, port: int, mark: int, host_setting: str, port_setting: str) -> socket.socket:
    """A listening socket, non-blocking. Raises Unservable, about one of these settings, when it cannot be had.

    ``mark``: how many bytes the kernel may hold to send for each connection until something else is said. What it
    holds of received bytes is bounded too: a head is a few KiB, and what comes while nothing is read counts for nobody.
    """
    listening = bind(host, port, _BACKLOG, host_setting, port_setting)
    prepare(listening, mark)
    return listening


def prepare(listening: socket.socket, mark: int) -> None:
    """Make a listening socket, whoever has bound it, as :func:`listen` says."""
    listening.setblocking(False)
    listening.listen(_BACKLOG)
    # Both are inherited by what is accepted. The first: the last bytes of an answer go out at once.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    bound(listening, mark)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)


class Late:
    """Accepted connections of one client, which wait for that client's turns: addresses by socket.

    At most _LATE_MOST wait, of all clients together, and the budget counts them as it counts others. A connection that
    a client in debt has closed is closed here too: nothing is done for it. One whose client has sent more than a
    request has is served last, since the kernel tells nothing of a close behind bytes that it has no room for; with
    _STORM waiting it is reset. For more than _LATE_MOST one is reset, of the client that has most: the oldest that is
    served last, or the oldest. The connections of a client without debt are never reset.
    """

    __slots__ = ("first", "fresh", "last")

    def __init__(self) -> None:
        self.first: OrderedDict[socket.socket, str] = OrderedDict()  # the oldest first
        self.last: OrderedDict[socket.socket, str] = OrderedDict()
        self.fresh: list[socket.socket] = []  # which have not been looked at

    def __len__(self) -> int:
        return len(self.first) + len(self.last)

    def add(self, connected: socket.socket, client: str, doubtful: bool) -> None:
        """One more. If it is not known to be doubtful, it is to be looked at a moment later."""
        if doubtful:
            self.last[connected] = client
        else:
            self.first[connected] = client
            self.fresh.append(connected)

    def look(self) -> list[socket.socket]:
        """Look at those that have come since the last time; return those that were closed."""
        fresh, self.fresh = self.fresh, []
        return self._sort([connected for connected in fresh if connected in self.first])

    def sort(self) -> list[socket.socket]:
        """Look at some of the oldest; return those that were closed."""
        some = [*islice(self.first, _LATE_LOOKED_AT), *([] if self.first else islice(self.last, _LATE_LOOKED_AT))]
        return self._sort(some)

    def _sort(self, some: list[socket.socket]) -> list[socket.socket]:
        closed = []
        for connected in some:
            deserted, received = look_at(connected)
            if deserted:
                closed.append(connected)
            elif received > _LATE_BYTES and connected in self.first:
                self.last[connected] = self.first.pop(connected)
        return closed

    def best(self) -> socket.socket:
        """Return the one to be served next."""
        return next(iter(self.first or self.last))

    def worst(self) -> socket.socket:
        """Return the one to be given up."""
        return next(iter(self.last or self.first))

    def take(self, connected: socket.socket) -> str:
        """One less: the address that it comes from."""
        return (self.first if connected in self.first else self.last).pop(connected)


class Listener:
    """Accepts connections and runs them. ``warn`` is told, in a line, what the operator should know.

    ``room`` is called when a connection has closed: others may wait for what it cost. ``crowded`` is told repeatedly
    that there is no memory for another connection, and once that there is. ``silent_seconds``: how long a connection
    that has said nothing yet is kept where others wait for its room.
    """

    def __init__(
        self,
        house: House,
        listening: socket.socket,
        warn: Callable[[str], None],
        room: Callable[[], None],
        crowded: Callable[[bool], None],
        silent_seconds: float = _SILENT_SECONDS,
    ) -> None:
        self._house = house
        self._listening = listening
        # Inherited by what is accepted. Should the process be killed, no body that was cut looks complete, and the
        # kernel goes on holding nothing for it.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._warn = warn
        self._room = room
        self._crowded = crowded
        self._silent_seconds = silent_seconds
        self._connections: set[Connection] = set()
        self._idle: OrderedDict[Connection, None] = OrderedDict()  # who waits for a request, the longest first
        self._shaking: set[Connection] = set()  # of those, who has still to shake hands
        # Of those, whose bytes are waited for, the longest first: until the server has answered, and after that.
        self._unanswered: OrderedDict[Connection, None] = OrderedDict()
        self._answered: OrderedDict[Connection, None] = OrderedDict()
        self._late: dict[Account, Late] = {}
        self._late_count = 0  # of them all
        self._look: asyncio.TimerHandle | None = None  # when those that have come are looked at
        self._called: set[Account] = set()  # whose next turn is for a late connection
        self._exhausted = False  # said once until accepting works again
        self._full = False  # the budget has no room for another connection
        self._held = False  # nobody is accepted until there is room, for that or for another handshake
        self._emptied = asyncio.Event()
        self._context = copy_context()
        self._retry: asyncio.TimerHandle | None = None
        self._accepting = False
        self._yielded = False  # another worker has had its chance

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[Connection]:
        """The connections at this moment; they may change while this goes on."""
        return iter(list(self._connections))

    @property
    def exhausted(self) -> bool:
        """Whether nobody can be accepted for want of descriptors."""
        return self._exhausted

    def start(self) -> None:
        """Begin to accept."""
        self._resume()

    async def drain(self, seconds: float, grace_seconds: float = 0.0) -> None:
        """Accept no more; let what runs finish within ``seconds``, and end what is left abortively.

        Where nothing runs yet, a request that begins within ``grace_seconds`` is answered.
        """
        self.stop_accepting()
        while self._late:
            self._begin_late(next(iter(self._late)))
        for connection in list(self._connections):
            connection.drain(grace_seconds)
        try:
            async with asyncio.timeout(seconds):
                await self._wait_empty()
        except TimeoutError:
            self.abort()
            await self._wait_empty()

    def abort(self) -> None:
        """End everything now, running downloads by reset."""
        while self._late:
            account, late = next(iter(self._late.items()))
            self._drop_late(account, late.worst())
        for connection in list(self._connections):
            connection.abort()

    def expire(self) -> None:
        """Let those go whose time is over."""
        now = self._house.loop.time()
        for connection in list(self._connections):
            connection.expire(now)

    def idle(self, connection: Connection) -> None:
        """See :class:`~freight.server.connection.Crowd`."""
        self._idle[connection] = None

    def busy(self, connection: Connection) -> None:
        """See :class:`~freight.server.connection.Crowd`."""
        self._idle.pop(connection, None)

    def shaking(self, connection: Connection, answered: bool | None) -> None:
        """See :class:`~freight.server.connection.Crowd`."""
        self._unanswered.pop(connection, None)
        self._answered.pop(connection, None)
        if answered is not None:
            connection.idle_since = self._house.loop.time()
            (self._answered if answered else self._unanswered)[connection] = None

    def secured(self, connection: Connection) -> None:
        """See :class:`~freight.server.connection.Crowd`."""
        self.shaking(connection, None)
        if connection in self._shaking:
            self._shaking.discard(connection)
            self._house.budget.shook(-1)

    def closed(self, connection: Connection) -> None:
        """See :class:`~freight.server.connection.Crowd`."""
        self._idle.pop(connection, None)
        self.secured(connection)
        self._connections.discard(connection)
        connection.release()
        self._house.budget.opened(-1)
        if not self._connections:
            self._emptied.set()
        if self._held and self._can_accept():
            self._resume()
        self._room()

    async def _wait_empty(self) -> None:
        while self._connections:
            self._emptied.clear()
            await self._emptied.wait()

    def _can_accept(self) -> bool:
        budget = self._house.budget
        return budget.shaking < budget.handshakes and budget.can_open()

    def _resume(self) -> None:
        self._held = False
        if not self._accepting and self._listening.fileno() >= 0:
            self._accepting = True
            self._house.loop.add_reader(self._listening.fileno(), self._accept)

    def _pause(self, seconds: float = _BACK_OFF_SECONDS) -> None:
        """Accept a little later. Who comes meanwhile waits in the kernel."""
        if self._accepting:
            self._accepting = False
            self._house.loop.remove_reader(self._listening.fileno())
        if self._retry is not None:
            self._retry.cancel()
        self._retry = self._house.loop.call_later(seconds, self._resume)

    def stop_accepting(self) -> None:
        """Accept no more. Whoever is there is served as before."""
        if self._retry is not None:
            self._retry.cancel()
        if self._listening.fileno() >= 0:
            self._house.loop.remove_reader(self._listening.fileno())
            self._listening.close()

    def _accept(self) -> None:
        budget = self._house.budget
        begun = len(self._connections) + (_BEGIN_AT_ONCE if self._late else _ACCEPT_AT_ONCE)
        late = self._late_count + _LATE_AT_ONCE
        for _ in range(_ACCEPT_AT_ONCE):
            if len(self._connections) >= begun or self._late_count >= late:
                return
            self._yielded = not self._yielded and budget.behind()
            if self._yielded:
                self._pause(_YIELD_SECONDS)
                return
            if budget.shaking >= budget.handshakes:
                self._held = True
                self._evict_shaking()
                self._pause(_SHAKING_SECONDS)
                return
            if not budget.can_open() and not (self._drop_closed() and budget.can_open()):
                self._held = self._full = True
                self._evict()
                self._crowded(True)
                self._pause(_CROWDED_SECONDS)
                return
            try:
                connected, address = self._listening.accept()
            except BlockingIOError:
                self._exhausted = False
                if self._full:
                    self._full = False
                    self._crowded(False)
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._back_off(error)
                    return
                continue  # ECONNABORTED and its like are about one connection, already gone: accept(2)
            self._exhausted = False
            self._welcome(connected, intern(address[0]))

    def _welcome(self, connected: socket.socket, client: str) -> None:
        """Serve an accepted connection. One of a client in debt waits for that client's turn.

        How many connections a client has is no reason to wait: what runs is no debt (:mod:`freight.guard`). One that
        its client has closed already, or has sent more on than a request has, waits for a turn too, so that those
        behind it in the backlog are accepted soon. Without a debt nobody is reset for that.
        """
        house = self._house
        # With the PROXY protocol the client is not known yet.
        account = house.accounts.exempt if house.proxy_protocol else house.account(client)
        if account.pause:
            account.settle(house.loop.time())
        deserted, received = look_at(connected)
        if deserted:
            account.charge(costs.DESERTED)
        doubtful = deserted or received > _LATE_BYTES
        if doubtful and account.pause and (deserted or self._late_count > _STORM):
            connected.close()
            return
        connected.setblocking(False)
        house.budget.opened()
        if not account.pause and (not doubtful or self._late_count >= _LATE_MOST):
            self._serve(connected, client, account)
            return
        late = self._late.get(account)
        if late is None:
            late = self._late[account] = Late()
        late.add(connected, client, doubtful)
        self._late_count += 1
        self._call_late(account)
        if self._look is None:
            self._look = house.loop.call_later(_LATE_SECONDS, self._look_at_late)
        if self._late_count > _LATE_MOST:
            self._drop_one()

    def _begin_late(self, account: Account) -> bool:
        """Begin one of a client's late connections, as it has a turn. Return False if none is left."""
        self._called.discard(account)
        if account in self._late and account.pause:
            self._drop_all(account, self._late[account].sort())
        late = self._late.get(account)
        if late is None:
            return False
        connected = late.best()
        self._serve(connected, self._take_late(account, connected), account)
        if late:
            self._call_late(account)
        return True

    def _look_at_late(self) -> None:
        self._look = None
        for account, late in list(self._late.items()):
            if account.pause:
                self._drop_all(account, late.look())

    def _call_late(self, account: Account) -> None:
        """Have the next of a client's late connections begun when it is the client's turn."""
        if account not in self._called:
            self._called.add(account)
            self._house.pace.call(account, partial(self._begin_late, account))

    def _most_late(self) -> Account | None:
        """Return the client in debt with most late connections."""
        in_debt = [account for account in self._late if account.pause]
        return max(in_debt, key=lambda account: len(self._late[account]), default=None)

    def _drop_one(self) -> None:
        """Drop a late connection of the client in debt that has most: a closed one before the oldest."""
        account = self._most_late()
        if account is not None and (self._late[account].last or not self._drop_closed()):
            self._drop_late(account, self._late[account].worst())

    def _drop_closed(self) -> int:
        """Make room: drop some of the late connections that their clients have closed; how many."""
        account = self._most_late()
        return 0 if account is None else self._drop_all(account, self._late[account].sort())

    def _drop_all(self, account: Account, some: list[socket.socket]) -> int:
        for connected in some:
            self._drop_late(account, connected)
        return len(some)

    def _drop_late(self, account: Account, connected: socket.socket) -> None:
        """Reset a late connection: it was of no use, which is charged."""
        self._take_late(account, connected)
        account.charge(costs.ACCEPTED)
        connected.close()
        self._house.budget.opened(-1)

    def _take_late(self, account: Account, connected: socket.socket) -> str:
        late = self._late[account]
        self._late_count -= 1
        client = late.take(connected)
        if not late:
            del self._late[account]
        return client

    def _back_off(self, error: OSError) -> None:
        """Out of descriptors or memory: go on serving, accept again a little later. The rest waits in the kernel."""
        if not self._exhausted:
            self._exhausted = True
            self._warn(f"cannot accept more connections for now: {error.strerror}; raise ulimit -n")
        self._evict()
        self._pause()

    def _evict(self) -> None:
        """Send away who has been idle for longest.

        A connection that has said nothing at all is given less time, and one that ends anyway none.
        """
        now, oldest = self._house.loop.time(), list[Connection]()
        for connection in islice(self._idle, _LOOKED_AT_AT_ONCE):
            seconds = now - connection.idle_since
            silent = seconds >= self._silent_seconds and not connection.has_spoken and not connection.has_come()
            if silent or seconds >= _GRACE_SECONDS or connection.has_done:
                oldest.append(connection)
                if len(oldest) == _EVICTED_AT_ONCE:
                    break
        # Who is still taking the end of an answer goes only where nobody else can.
        for connection in [each for each in oldest if not each.sink.held()] or oldest:
            self._send_away(connection)

    def _evict_shaking(self) -> None:
        """Send away those that keep their handshakes waiting, the longest first; no room is kept for who says nothing.

        One that has our answer has the time to receive and answer it.
        """
        late = self._house.loop.time() - _ANSWER_SECONDS
        silent = [each for each in islice(self._unanswered, _EVICTED_AT_ONCE) if not each.has_come()]
        slow = [each for each in islice(self._answered, _EVICTED_AT_ONCE) if each.idle_since <= late]
        for connection in silent or slow:
            self._send_away(connection)

    def _send_away(self, connection: Connection) -> None:
        self._idle.pop(connection, None)
        self.shaking(connection, None)
        connection.evict()

    def _serve(self, connected: socket.socket, client: str, account: Account) -> None:
        guard = Guard(account)
        guard.arrive(costs.ACCEPTED)
        connection = Connection(self._house, connected, client, self, guard)
        self._connections.add(connection)
        if self._house.tls is not None:
            self._shaking.add(connection)
            self._house.budget.shook(1)
        # One context for all: a copy for each would cost memory, and nothing here sets context variables.
        connection.task = self._house.loop.create_task(connection.run(), context=self._context)
