"""The listening socket, every connection it gave, and how they all end."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from contextvars import copy_context
from sys import intern

from freight.errors import Unservable
from freight.server.connection import Connection, House
from freight.server.sink import bound

_BACKLOG = 4096  # connections the kernel may hold ready for us; it takes the lesser of this and net.core.somaxconn
_ACCEPT_AT_ONCE = 64  # a turn of the loop must stay short under a storm of connections
_BACK_OFF_SECONDS = 0.2
_SWEEP_SECONDS = 1.0
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def listen(host: str, port: int, window: int) -> socket.socket:
    """A listening socket, non-blocking. Raises Unservable when the address cannot be had.

    ``window``: how many unsent bytes the kernel may hold for each connection until something else is said.
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
    listening.setblocking(False)
    # Both are inherited by what is accepted. The first: the last bytes of an answer go out at once.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    bound(listening, window)
    return listening


class Listener:
    """Accepts connections and runs them. ``warn`` is told, in a line, what the operator should know."""

    def __init__(self, house: House, listening: socket.socket, warn: Callable[[str], None]) -> None:
        self._house = house
        self._listening = listening
        self._warn = warn
        self._connections: set[Connection] = set()
        self._exhausted = False  # said once until accepting works again
        self._emptied = asyncio.Event()
        self._context = copy_context()
        self._sweeper: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._connections)

    def start(self) -> None:
        """Begin to accept."""
        self._sweeper = self._house.loop.create_task(self._sweep())
        self._resume()

    async def drain(self, seconds: float) -> None:
        """Accept no more; let what runs finish within ``seconds``, and end what is left abortively."""
        self._stop_accepting()
        for connection in list(self._connections):
            connection.drain()
        try:
            async with asyncio.timeout(seconds):
                await self._wait_empty()
        except TimeoutError:
            self.abort()
            await self._wait_empty()
        assert self._sweeper is not None
        self._sweeper.cancel()

    def abort(self) -> None:
        """End everything now, running downloads by reset."""
        for connection in list(self._connections):
            connection.abort()

    async def _wait_empty(self) -> None:
        while self._connections:
            self._emptied.clear()
            await self._emptied.wait()

    def _resume(self) -> None:
        self._house.loop.add_reader(self._listening.fileno(), self._accept)

    def _stop_accepting(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        self._house.loop.remove_reader(self._listening.fileno())
        self._listening.close()

    def _accept(self) -> None:
        for _ in range(_ACCEPT_AT_ONCE):
            try:
                connected, address = self._listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._back_off(error)
                    return
                continue  # ECONNABORTED and its like are about one connection, already gone: accept(2)
            self._exhausted = False
            connected.setblocking(False)
            self._serve(Connection(self._house, connected, intern(address[0]), self._closed))

    def _back_off(self, error: OSError) -> None:
        """Out of descriptors or memory: go on serving, accept again a little later. The rest waits in the kernel."""
        if not self._exhausted:
            self._exhausted = True
            self._warn(f"cannot accept more connections for now: {error.strerror} (see ulimit -n)")
        self._house.loop.remove_reader(self._listening.fileno())
        self._retry = self._house.loop.call_later(_BACK_OFF_SECONDS, self._resume)

    def _serve(self, connection: Connection) -> None:
        self._connections.add(connection)
        # One context for all: a copy for each would cost memory, and nothing here sets context variables.
        connection.task = self._house.loop.create_task(connection.run(), context=self._context)

    def _closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._emptied.set()

    async def _sweep(self) -> None:
        """One coarse look at everything that waits, instead of a timer for each."""
        pause = min(_SWEEP_SECONDS, self._house.idle_seconds / 4)
        while True:
            await asyncio.sleep(pause)
            now = self._house.loop.time()
            for connection in list(self._connections):
                connection.expire(now)
            await self._house.transfers.sweep()
