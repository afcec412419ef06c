"""The listening sockets: accept connections, evict some while memory or descriptors are short, end them all."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextvars import copy_context
from itertools import islice
from sys import intern

from freight.config.types import Address
from freight.server.addresses import host_of
from freight.server.binding import bind
from freight.server.connection import Connection
from freight.server.connection_reader import peek_state
from freight.server.context import ServerContext
from freight.server.deferred import ONE_REQUEST_BYTES, DeferredConnections
from freight.server.socket_sink import set_send_buffer
from freight.wire import costs
from freight.wire.accounting import ClientAccount, ConnectionAccount

_BACKLOG = 4096  # connections; the kernel takes the lesser of this and net.core.somaxconn
_RECEIVE_BYTES = 8 * 1024  # the kernel doubles it
_RESET = struct.pack("ii", 1, 0)  # struct linger: on, no time. close(2) then sends RST and drops the send queue
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_ONE_CONNECTION = frozenset(  # these errors are about one connection, already gone: accept(2)
    {errno.ECONNABORTED, errno.ENETDOWN, errno.EPROTO, errno.ENOPROTOOPT, errno.EHOSTDOWN, errno.ENONET}
    | {errno.EHOSTUNREACH, errno.EOPNOTSUPP, errno.ENETUNREACH, errno.ETIMEDOUT}
)

# A step of the loop must stay short while many clients connect. Starting a connection is most of the work.
_ACCEPTED_PER_STEP = 64
_STARTED_PER_STEP = 4  # while connections are deferred
_DEFERRED_PER_STEP = 48

# How long accepting pauses.
_RETRY_SECONDS = 0.2  # after the process ran out of descriptors
_SHORTAGE_SECONDS = 10.0  # without a failure for this long, a shortage of descriptors is over
_YIELD_SECONDS = 0.002  # so that a worker with fewer connections accepts first
_HANDSHAKES_SECONDS = 0.02  # while as many handshakes run as the budget allows
_MEMORY_SECONDS = 0.05  # while memory is short: by then a client's kernel has acknowledged what it has

# For how long a connection is not evicted.
_IDLE_GRACE_SECONDS = 1.0  # after an answer: the client's next request may be on its way
_SILENT_SECONDS = 0.25  # after the accept: the first request arrives with the connection
_ANSWER_SECONDS = 0.25  # after the server has sent its part of a handshake: a long round trip

_EVICTED_AT_ONCE, _EXAMINED_AT_ONCE = 16, 64


def listen(address: Address, send_buffer: int, host_setting: str, port_setting: str) -> socket.socket:
    """Return a listening socket, non-blocking. Raise ConfigurationError, about one of the two settings, on failure.

    ``send_buffer``: how many bytes the kernel may hold to send for each connection, until a sink sets another number.
    The receive buffer is bounded too: a head is a few KiB, and the budget does not count bytes that nobody reads.
    """
    listening = bind(address, _BACKLOG, host_setting, port_setting)
    prepare(listening, send_buffer)
    return listening


def prepare(listening: socket.socket, send_buffer: int) -> None:
    """Configure a bound socket, such as one that systemd passes, as :func:`listen` does."""
    listening.setblocking(False)
    listening.listen(_BACKLOG)
    if listening.family == socket.AF_UNIX:
        return  # accepted Unix sockets inherit nothing, and what a client sends counts in its own send buffer
    # Accepted sockets inherit these options. TCP_NODELAY: the last bytes of an answer go out at once.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    set_send_buffer(listening, send_buffer)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)


class Listener:
    """Accepts connections from ``listening`` sockets and serves them. ``warn`` logs a line for the operator.

    ``on_closed`` is called when a connection has closed: requests may wait for the memory that it used.
    ``on_memory_short`` is called with True, repeatedly, while there is no memory for another connection, and then once
    with False. ``silent_seconds``: how long a connection that has sent nothing is kept while memory is short.
    """

    def __init__(
        self,
        context: ServerContext,
        listening: Sequence[socket.socket],
        warn: Callable[[str], None],
        on_closed: Callable[[], None],
        on_memory_short: Callable[[bool], None],
        silent_seconds: float = _SILENT_SECONDS,
    ) -> None:
        self._context = context
        self._listening: Sequence[socket.socket] = listening
        for each in listening:
            # Accepted sockets inherit this. If the process is killed, a truncated body cannot look complete, and the
            # kernel keeps no send queues.
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._warn = warn
        self._on_closed = on_closed
        self._on_memory_short = on_memory_short
        self._silent_seconds = silent_seconds
        self._connections: set[Connection] = set()
        self._handshaking: set[Connection] = set()
        # Connections that wait for their clients' bytes, the longest idle first: for a request, and in a handshake
        # before and after the server has answered.
        self._idle: OrderedDict[Connection, None] = OrderedDict()
        self._unanswered: OrderedDict[Connection, None] = OrderedDict()
        self._answered: OrderedDict[Connection, None] = OrderedDict()
        self._deferred = DeferredConnections(context, self._serve)
        self._out_of_descriptors = False
        self._shortage_until: float | None = None  # of descriptors: it was logged, and lasts until then at least
        self._memory_short = False
        self._accept_blocked = False  # until a connection closes: memory is short, or too many handshakes run
        self._all_closed = asyncio.Event()
        # One context for all: a copy for each would cost memory, and no connection sets context variables.
        self._task_context = copy_context()
        self._resume_timer: asyncio.TimerHandle | None = None
        self._accepting = False
        self._yielded = False  # to another worker, at the last connection

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[Connection]:
        """Iterate over the present connections. They may change meanwhile."""
        return iter(list(self._connections))

    @property
    def out_of_descriptors(self) -> bool:
        """Whether accepting fails: for want of descriptors or memory, or because a sandbox refuses it."""
        return self._out_of_descriptors

    def start(self) -> None:
        """Start to accept."""
        self._resume()

    async def drain(self, seconds: float, grace_seconds: float = 0.0) -> None:
        """Stop accepting. Let running requests finish within ``seconds``, then reset the connections that are left.

        An idle connection may still send a request within ``grace_seconds``.
        """
        self.stop_accepting()
        self._deferred.serve_all()
        for connection in list(self._connections):
            connection.drain(grace_seconds)
        try:
            async with asyncio.timeout(seconds):
                await self._wait_empty()
        except TimeoutError:
            self.abort()
            await self._wait_empty()

    def abort(self) -> None:
        """Reset all connections now."""
        self._deferred.reset_all()
        for connection in list(self._connections):
            connection.abort()

    def expire(self) -> None:
        """Close the connections whose timeout has passed. Log when a shortage of descriptors is over."""
        now = self._context.loop.time()
        if self._shortage_until is not None and now > self._shortage_until:
            self._shortage_until = None
            self._warn("connections are accepted without delay again")
        for connection in list(self._connections):
            connection.expire(now)

    def idle(self, connection: Connection) -> None:
        self._idle[connection] = None

    def answered(self, connection: Connection) -> None:
        if connection in self._idle:
            self._idle.move_to_end(connection)

    def busy(self, connection: Connection) -> None:
        self._idle.pop(connection, None)

    def handshake_waits(self, connection: Connection, answered: bool) -> None:
        connection.idle_since = self._context.loop.time()
        (self._answered if answered else self._unanswered)[connection] = None

    def handshake_resumed(self, connection: Connection) -> None:
        self._unanswered.pop(connection, None)
        self._answered.pop(connection, None)

    def handshake_done(self, connection: Connection) -> None:
        self.handshake_resumed(connection)
        if connection in self._handshaking:
            self._handshaking.discard(connection)
            self._context.budget.handshake_started(-1)

    def closed(self, connection: Connection) -> None:
        self._idle.pop(connection, None)
        self.handshake_done(connection)
        self._connections.discard(connection)
        connection.release()
        self._context.budget.connection_opened(-1)
        if not self._connections:
            self._all_closed.set()
        if self._accept_blocked and self._can_accept():
            self._resume()
        self._on_closed()

    async def _wait_empty(self) -> None:
        while self._connections:
            self._all_closed.clear()
            await self._all_closed.wait()

    def _can_accept(self) -> bool:
        budget = self._context.budget
        return budget.handshaking < budget.division.max_handshakes and budget.can_open()

    def _resume(self) -> None:
        self._accept_blocked = False
        if not self._accepting and self._listening:
            self._accepting = True
            for each in self._listening:
                self._context.loop.add_reader(each.fileno(), self._accept, each)

    def _pause(self, seconds: float) -> None:
        """Accept nothing for ``seconds``. New connections wait in the kernel's backlog."""
        if self._accepting:
            self._accepting = False
            for each in self._listening:
                self._context.loop.remove_reader(each.fileno())
        if self._resume_timer is not None:
            self._resume_timer.cancel()
        self._resume_timer = self._context.loop.call_later(seconds, self._resume)

    def stop_accepting(self) -> None:
        """Close the listening sockets. Accepted connections are served as before."""
        if self._resume_timer is not None:
            self._resume_timer.cancel()
        for each in self._listening:
            self._context.loop.remove_reader(each.fileno())
            each.close()
        self._listening = ()

    def _accept(self, listening: socket.socket) -> None:
        most_started = len(self._connections) + (_STARTED_PER_STEP if self._deferred else _ACCEPTED_PER_STEP)
        most_deferred = len(self._deferred) + _DEFERRED_PER_STEP
        for _ in range(_ACCEPTED_PER_STEP):
            if len(self._connections) >= most_started or len(self._deferred) >= most_deferred:
                return
            if self._pause_if_blocked():
                return
            try:
                connected, address = listening.accept()
            except BlockingIOError:
                self._out_of_descriptors = False
                if self._memory_short:
                    self._memory_short = False
                    self._on_memory_short(False)
                return
            except OSError as error:
                if error.errno in _ONE_CONNECTION:
                    continue
                self._back_off(error)
                return
            self._out_of_descriptors = False
            self._serve_or_defer(connected, intern(host_of(address)))

    def _pause_if_blocked(self) -> bool:
        """Pause and return True if another worker should accept, too many handshakes run, or memory is short."""
        budget = self._context.budget
        self._yielded = not self._yielded and budget.should_yield_accept()
        if self._yielded:
            self._pause(_YIELD_SECONDS)
            return True
        if budget.handshaking >= budget.division.max_handshakes:
            self._accept_blocked = True
            self._evict_handshaking()
            self._pause(_HANDSHAKES_SECONDS)
            return True
        if not budget.can_open() and not (self._deferred.drop_closed() and budget.can_open()):
            self._accept_blocked = self._memory_short = True
            self._evict()
            self._on_memory_short(True)
            self._pause(_MEMORY_SECONDS)
            return True
        return False

    def _serve_or_defer(self, connected: socket.socket, client: str) -> None:
        """Serve an accepted connection, defer it to its client's turn, or reset it.

        Connections of a client in debt are deferred. How many connections a client has does not count, since running
        requests are no debt (:mod:`freight.wire.accounting`). A connection that its client has closed, or that has sent
        more than one request, is deferred too, so that the next ones in the backlog are accepted soon. A client without
        debt loses no connection by that.
        """
        context = self._context
        # With the PROXY protocol the client is not known yet.
        account = context.accounts.exempt if context.proxy_protocol else context.account(client)
        if account.pause_factor:
            account.settle(context.loop.time())
        peer_closed, received = peek_state(connected)
        if peer_closed:
            account.charge(costs.ABANDONED)
        doubtful = peer_closed or received > ONE_REQUEST_BYTES
        if doubtful and account.pause_factor and (peer_closed or self._deferred.is_storm):
            connected.close()
            return
        connected.setblocking(False)
        context.budget.connection_opened()
        if not account.pause_factor and (not doubtful or self._deferred.is_full):
            self._serve(connected, client, account)
        else:
            self._deferred.add(account, connected, client, doubtful)

    def _back_off(self, error: OSError) -> None:
        """Pause after accept(2) failed: no descriptor, no memory, or a sandbox. Open connections are served as before.

        A shortage is logged once: descriptors that become free are taken at once, and the next accept fails again.
        """
        self._out_of_descriptors = True
        first, self._shortage_until = self._shortage_until is None, self._context.loop.time() + _SHORTAGE_SECONDS
        if first:
            advice = "; raise ulimit -n" if error.errno == errno.EMFILE else ""
            self._warn(f"cannot accept more connections for now: {error.strerror}{advice}")
        if error.errno in _EXHAUSTED:
            self._evict()
        self._pause(_RETRY_SECONDS)

    def _evict(self) -> None:
        """Evict the connections that have been idle for longest.

        A connection that has sent nothing has a shorter grace, and one that ends anyway has none.
        """
        now, oldest = self._context.loop.time(), list[Connection]()
        for connection in islice(self._idle, _EXAMINED_AT_ONCE):
            seconds = now - connection.idle_since
            silent = seconds >= self._silent_seconds and not connection.has_request_data and not connection.has_input()
            if silent or seconds >= _IDLE_GRACE_SECONDS or connection.is_finished:
                oldest.append(connection)
                if len(oldest) == _EVICTED_AT_ONCE:
                    break
        # A connection whose client still receives the end of an answer is evicted only if there is no other.
        for connection in [each for each in oldest if not each.sink.queued_bytes()] or oldest:
            self._evict_one(connection)

    def _evict_handshaking(self) -> None:
        """Evict connections that delay their handshakes: those that have sent nothing, or else the slow ones.

        A client has _ANSWER_SECONDS to receive the server's part and reply.
        """
        slow_since = self._context.loop.time() - _ANSWER_SECONDS
        silent = [each for each in islice(self._unanswered, _EVICTED_AT_ONCE) if not each.has_input()]
        slow = [each for each in islice(self._answered, _EVICTED_AT_ONCE) if each.idle_since <= slow_since]
        for connection in silent or slow:
            self._evict_one(connection)

    def _evict_one(self, connection: Connection) -> None:
        self._idle.pop(connection, None)
        self.handshake_resumed(connection)
        connection.evict()

    def _serve(self, connected: socket.socket, client: str, account: ClientAccount) -> None:
        charges = ConnectionAccount(account)
        charges.charge_setup(costs.ACCEPT)
        connection = Connection(self._context, connected, client, self, charges)
        self._connections.add(connection)
        if self._context.tls is not None:
            self._handshaking.add(connection)
            self._context.budget.handshake_started(1)
        connection.task = self._context.loop.create_task(connection.run(), context=self._task_context)
