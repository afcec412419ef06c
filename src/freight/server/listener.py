"""The listening socket, every connection it gave, and how they all end."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextvars import copy_context
from itertools import islice
from sys import intern

from freight.errors import Unservable
from freight.server.connection import Connection
from freight.server.house import House
from freight.server.sink import bound

_BACKLOG = 4096  # connections the kernel may hold ready for us; it takes the lesser of this and net.core.somaxconn
_ACCEPT_AT_ONCE = 64  # a turn of the loop must stay short under a storm of connections
_BACK_OFF_SECONDS = 0.2
_YIELD_SECONDS = 0.002  # so long another worker has to accept who comes before we do, who have more already
_RECEIVE_BYTES = 8 * 1024  # the kernel doubles it
_GRACE_SECONDS = 1.0  # who has just come, or was just answered, is not sent away: its request may be on its way
_EVICTED_AT_ONCE = 16
_SHAKING_EVICTED_AT_ONCE = 128  # those who stand still in a handshake: nobody has been promised anything yet
_RESET = struct.pack("ii", 1, 0)  # struct linger: on, no time. close(2) then sends RST and drops the send queue
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def listen(host: str, port: int, mark: int) -> socket.socket:
    """A listening socket, non-blocking. Raises Unservable when the address cannot be had.

    ``mark``: how many bytes the kernel may hold to send for each connection until something else is said. What it
    holds of received bytes is bounded too: a head is a few KiB, and what comes while nothing is read counts for nobody.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        listening = socket.create_server(
            address[:2], family=family, backlog=_BACKLOG, dualstack_ipv6=family == socket.AF_INET6 and host == "::"
        )
    except (OSError, UnicodeError) as error:
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "the port is taken" if taken else getattr(error, "strerror", None) or "this is not an address"
        raise Unservable(f"cannot listen on {host} port {port}: {why}") from error
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


class Listener:
    """Accepts connections and runs them. ``warn`` is told, in a line, what the operator should know.

    ``room`` is called when a connection has closed: others may wait for what it cost. ``crowded`` is told repeatedly
    that there is no memory for another connection, and once that there is.
    """

    def __init__(
        self,
        house: House,
        listening: socket.socket,
        warn: Callable[[str], None],
        room: Callable[[], None],
        crowded: Callable[[bool], None],
    ) -> None:
        self._house = house
        self._listening = listening
        # Inherited by what is accepted. Should the process be killed, no body that was cut looks complete, and the
        # kernel goes on holding nothing for it.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._warn = warn
        self._room = room
        self._crowded = crowded
        self._connections: set[Connection] = set()
        self._idle: OrderedDict[Connection, None] = OrderedDict()  # who waits for a request, the longest first
        self._shaking: OrderedDict[Connection, None] = OrderedDict()  # of those, who has still to shake hands
        self._exhausted = False  # said once until accepting works again
        self._full = False  # the budget has no room for another connection
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

    def secured(self, connection: Connection) -> None:
        """See :class:`~freight.server.connection.Crowd`."""
        if connection in self._shaking:
            del self._shaking[connection]
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
        if self._full and self._house.budget.can_open():
            self._resume()
        self._room()

    async def _wait_empty(self) -> None:
        while self._connections:
            self._emptied.clear()
            await self._emptied.wait()

    def _resume(self) -> None:
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
        for _ in range(_ACCEPT_AT_ONCE):
            self._yielded = not self._yielded and budget.behind()
            if self._yielded:
                self._pause(_YIELD_SECONDS)
                return
            if budget.shaking >= budget.handshakes:
                self._evict(self._shaking, _SHAKING_EVICTED_AT_ONCE)
                self._pause()
                return
            if not budget.can_open():
                self._full = True
                self._evict(self._idle)
                self._crowded(True)
                self._pause()
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
            connected.setblocking(False)
            budget.opened()
            self._serve(Connection(self._house, connected, intern(address[0]), self))

    def _back_off(self, error: OSError) -> None:
        """Out of descriptors or memory: go on serving, accept again a little later. The rest waits in the kernel."""
        if not self._exhausted:
            self._exhausted = True
            self._warn(f"cannot accept more connections for now: {error.strerror} (see ulimit -n)")
        self._evict(self._idle)
        self._pause()

    def _evict(self, idle: OrderedDict[Connection, None], most: int = _EVICTED_AT_ONCE) -> None:
        """Send away, of these, who has been idle for longest."""
        late = self._house.loop.time() - _GRACE_SECONDS
        oldest = [each for each in islice(idle, most) if each.idle_since <= late]
        # Who is still taking the end of an answer goes only where nobody else can.
        for connection in [each for each in oldest if not each.sink.held()] or oldest:
            self._idle.pop(connection, None)
            self.secured(connection)
            connection.evict()

    def _serve(self, connection: Connection) -> None:
        self._connections.add(connection)
        if self._house.tls is not None:
            self._shaking[connection] = None
            self._house.budget.shook(1)
        # One context for all: a copy for each would cost memory, and nothing here sets context variables.
        connection.task = self._house.loop.create_task(connection.run(), context=self._context)
