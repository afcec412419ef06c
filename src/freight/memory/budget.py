"""The memory budget: how many clients may be served at once, and how much the kernel may hold for each.

**Goal.** The process's growth and the kernel's send queues together never exceed ``--memory``. A client that stops
reading pins its send queue in the kernel: megabytes, unless the queue is limited. So the budget counts what the kernel
holds: unsent and unacknowledged bytes, and its bookkeeping for them. This is ``wmem_queued`` (``SO_MEMINFO``,
socket(7); the field is described at ``INET_DIAG_SKMEMINFO``, sock_diag(7)). The sender of a file asks each socket.

**Invariant.** At every instant::

    process  =  max(growth,  connections x connection cost  +  handshaking x HANDSHAKE_COST
                             +  http2_connections x HTTP2_COST  +  streams x STREAM_COST
                             +  (connections + streams - running) x WAITING_COST
                             +  unacknowledged x WAITING_COST)

    process  +  producers x producer_cost  +  running x WINDOW_MIN  +  lent  <=  memory_bytes

``growth`` is what the process was last seen to have grown by. The connection cost is CONNECTION_COST, with TLS_COST
where TLS is served. ``lent`` is what the kernel holds beyond the WINDOW_MIN of each running transfer. Growth or a
resize may break the invariant: until it holds again no transfer starts, and windows may be less than WINDOW_MIN.

**Rules.**

1. A slot reserves a window of WINDOW_MIN bytes. A transfer that gets none waits. Nothing is reserved for clients that
   are not there. What is sent without a slot borrows that window too.
2. A window grows by what its client can take: its receive window (``tcpi_snd_wnd`` of ``TCP_INFO``, tcp(7)). Those
   bytes leave the kernel even if the client does not read, so a client that stalls keeps at most WINDOW_MIN. A near
   client (round trip below LONG_PATH_SECONDS) has at most FAST_WINDOW. A far client has at most twice the congestion
   window, or FAST_WINDOW if that is more. Three more limits apply to it: an equal share of the lendable memory, half of
   the memory, and the host's largest send queue.
3. 1/16 of the memory is a reserve for connections without a slot, the express lane and one listing. Another part, at
   most 1/32, is lent to near clients only: their loans come back at once, and large calls are twice as fast as small.
4. The client of a Unix socket has no receive window. It is near and borrows FAST_WINDOW too, but only while more than
   half of the lendable memory is free: what it does not read stays lent.
5. When memory is short, the budget asks the kernel what it still holds of the oldest loans, and reclaims the rest.

**Over-counted.** A running transfer counts WINDOW_MIN even when its queue is empty, because it may fill it at any time
without asking. A loan counts as it was last recorded, that of a near client as a whole window, until it is reclaimed:
asking the kernel after each call costs 3 to 4 % of the speed (decision 025). The process counts the greater of what
its connections cost and what it has grown by.

**Left out.** The kernel's structures for a socket and its receive buffer (at most 16 KiB), the page cache, and the
process as it was before the first client. Growth beyond 3/4 of the memory above LEAST_MEMORY is not counted.
"""

from __future__ import annotations

from enum import Enum
from time import monotonic

from freight.memory.costs import (
    CONNECTION_COST,
    FAST_WINDOW,
    HANDSHAKE_COST,
    HTTP2_COST,
    STREAM_COST,
    WAITING_COST,
    WINDOW_MIN,
)
from freight.memory.division import divide, least_memory
from freight.memory.ledger import Ledger, SendQueue
from freight.protocols import SendAccount

LONG_PATH_SECONDS = 0.002
"""Least round trip of a far client, in seconds. Below 2 ms, FAST_WINDOW carries at least 100 MB/s (decision 024)."""

UNCOUNTED_GROWTH_DIVISOR = 4
"""1/4 of the memory beyond LEAST_MEMORY is never counted as growth of the process, so that one client can run."""

LISTINGS_DIVISOR = 4
"""All listings together take at most 1/4 of the memory, so that they do not displace downloads."""

_EXTENDED_PARTS, _EXTENDED_DIVISOR = 7, 32
"""A listing that has begun may get more memory as long as all listings together keep within 7/32 of it."""

ADMISSION_FLOOR_DIVISOR = 4
"""1/4 of the slots is never given up to accept more connections (decision 009)."""

RECLAIM_LIMIT = 512
"""Most loans that are looked up to admit one client: a quarter of a millisecond of system calls."""

# The last segment of a near client's receive window does not count. The server's kernel may keep back a part of a
# segment (RFC 9293, section 3.8.6.2.1), and the client's kernel may accept less than it offered, because small packets
# cost it more memory than their bytes.
_SEGMENT_BYTES = 64 * 1024
_DEAD_BAND_DIVISOR = 64  # free_fraction() ignores the first 1/64 that is spent
_RECLAIM_RETRY_SECONDS = 0.005  # after a reclaim that freed too little, none is tried for this long
_RECLAIM_BATCH = 4  # loans looked up before a window is limited: the oldest are the likeliest to have drained


class Lane(Enum):
    """Which slots a transfer may use, and what memory it needs.

    ORDINARY uses ordinary slots. EXPRESS and LISTING use express slots, or ordinary ones when those are all in use.
    LISTING also needs the memory of a producer. A producer that got more counts as several.
    """

    ORDINARY = "ordinary"
    EXPRESS = "express"
    LISTING = "listing"

    __hash__ = object.__hash__  # that of Enum is written in Python, and each request has several look-ups by lane


_ORDINARY, _LISTING = Lane.ORDINARY, Lane.LISTING  # faster than attributes of an enum


class Budget(Ledger):
    """Divides ``memory_bytes`` among clients. All methods take constant time, except ``reclaim`` and its callers.

    ``max_queue`` is the largest send queue of this host, in bytes (``tcp_wmem``, tcp(7)). ``extra_cost`` is what each
    connection costs beyond CONNECTION_COST, for example TLS_COST. ``express`` counts the running transfers of the
    express lane, listings included. ``stalled_loans`` is how many bytes clients had borrowed that acknowledged
    nothing between the last two sweeps.

    Raises :class:`~freight.errors.ConfigurationError` for less than :func:`least_memory`.
    """

    __slots__ = (
        "_connection_cost",
        "_equal_share",
        "_guaranteed",
        "_lendable_bytes",
        "_max_queue",
        "_process_cost",
        "_reclaim_failed_at",
        "connections",
        "division",
        "express",
        "handshaking",
        "http2_connections",
        "memory_bytes",
        "producers",
        "running",
        "stalled_loans",
        "streams",
        "unacknowledged",
        "waiting",
    )

    def __init__(self, memory_bytes: int, max_queue: int, extra_cost: int = 0) -> None:
        super().__init__()
        self._connection_cost = CONNECTION_COST + extra_cost
        self.connections = self.running = self.waiting = self.producers = self.handshaking = 0
        self.http2_connections = self.streams = self.unacknowledged = self.express = 0
        self.stalled_loans = 0
        self._process_cost = 0
        self._reclaim_failed_at = 0.0
        self._max_queue = max_queue
        self.resize(memory_bytes)

    def resize(self, memory_bytes: int) -> None:
        """Divide another amount of memory. Running transfers go on; new ones wait until the invariant holds.

        Raise ConfigurationError, and change nothing, if it is too little.
        """
        self.division = divide(memory_bytes, self._connection_cost)
        self.memory_bytes = memory_bytes
        self.reclaim(len(self._borrowers))  # a loan may be recorded as a whole window of the old size
        self._update()

    def _update(self) -> None:
        """Compute what may be lent, after a count has changed."""
        self._process_cost = max(self._process_cost, self._connections_cost())
        # What is left of the reserve: express slots, one listing, connections without a slot.
        reserve = max(0, self.division.express_slots - self.express) * WINDOW_MIN
        if not self.producers:
            reserve += self.division.producer_cost
        reserve += max(0, self.division.slotless_reserve - self._slotless() * (self._connection_cost + WAITING_COST))
        self._lendable_bytes = self.memory_bytes - reserve - self._spent() - self.running * WINDOW_MIN
        running = max(1, self.running)
        # Less than WINDOW_MIN if the process has grown by more than its connections cost.
        self._guaranteed = WINDOW_MIN + min(0, self._lendable_bytes // running)
        share = max(FAST_WINDOW, WINDOW_MIN + (self._lendable_bytes - self.division.call_reserve) // running)
        self._equal_share = min(share, self._max_queue, self.memory_bytes // 2)

    # Counts, each with a fixed cost. A negative count subtracts.

    def connection_opened(self, count: int = 1) -> None:
        """Count connections that were accepted."""
        self.connections += count
        self._update()

    def request_queued(self, count: int = 1) -> None:
        """Count requests that wait for a slot."""
        self.waiting += count
        self._update()

    def handshake_started(self, count: int = 1) -> None:
        """Count connections whose TLS handshake is not done."""
        self.handshaking += count
        self._update()

    def http2_opened(self, count: int = 1) -> None:
        """Count connections that speak HTTP/2."""
        self.http2_connections += count
        self._update()

    def stream_opened(self, count: int = 1) -> None:
        """Count streams of HTTP/2."""
        self.streams += count
        self._update()

    def answer_kept(self, count: int = 1) -> None:
        """Count answers that are kept until they are acknowledged, beyond the first of each connection."""
        self.unacknowledged += count
        self._update()

    def can_open(self) -> bool:
        """Return whether one more connection can be accepted. Costs up to RECLAIM_LIMIT system calls.

        The reserve pays for the first ones. For others, memory to run 1/4 of the slots must be left.
        """
        floor = max(0, self.division.slots // ADMISSION_FLOOR_DIVISOR + 1 - self.running) * WINDOW_MIN
        return self._fits_without_slot(self._connection_cost + WAITING_COST, floor)

    def can_open_http2(self) -> bool:
        """Return whether one more connection can speak HTTP/2. Costs up to RECLAIM_LIMIT system calls."""
        return self._fits_in_process(HTTP2_COST)

    def can_open_stream(self) -> bool:
        """Return whether one more stream of HTTP/2 can be answered. Costs up to RECLAIM_LIMIT system calls."""
        return self._fits_without_slot(STREAM_COST + WAITING_COST)

    def _fits_without_slot(self, cost: int, floor: int = 0) -> bool:
        """Return whether a connection or stream without a slot fits: in the reserve, or with ``floor`` bytes left."""
        if (self._slotless() + 1) * (self._connection_cost + WAITING_COST) <= self.division.slotless_reserve:
            return self.spent_bytes() + cost <= self.memory_bytes  # a resize may have taken the reserve
        return self._fits_in_process(cost, floor)

    def can_keep_answer(self) -> bool:
        """Return whether another answer may be kept until it is acknowledged."""
        return self._fits_in_process(WAITING_COST)

    def can_run(self, lane: Lane = Lane.ORDINARY) -> bool:
        """Return whether one more transfer can run in a lane. Costs up to RECLAIM_LIMIT system calls.

        The caller must check that there are slots, and call :meth:`reserve` before anything else is counted.
        """
        producer = self.division.producer_cost if lane is _LISTING else 0
        if producer and self.producers and (self.producers + 1) * producer * LISTINGS_DIVISOR > self.memory_bytes:
            return False
        in_reserve = lane is not _ORDINARY and self.express < self.division.express_slots
        cost = (0 if in_reserve else WINDOW_MIN) + (producer if self.producers else 0)
        if cost and not self._fits(cost):
            return False
        return self.spent_bytes() + WINDOW_MIN + producer <= self.memory_bytes  # a resize may have taken the reserve

    def can_lend(self, queue: SendQueue, cost: int) -> bool:
        """Return whether ``cost`` bytes, at most FAST_WINDOW, may be lent to a connection that has nothing queued.

        They must be free, and beyond WINDOW_MIN its client must have space for them, as for a transfer that runs.
        Costs a system call if the receive window may be used up.
        """
        if cost > self._free():
            return False
        if cost <= WINDOW_MIN or queue.account.peer_window >= FAST_WINDOW:
            return True
        return cost <= self._wanted(queue, 0, WINDOW_MIN)[0]

    def extend_producer(self) -> bool:
        """Count the memory of one more producer for one that runs, if it is free; return whether it was.

        Some memory is always left for the first pass of other listings.
        """
        cost = self.division.producer_cost
        extended = (self.producers + 1) * cost
        if extended * _EXTENDED_DIVISOR > self.memory_bytes * _EXTENDED_PARTS or not self._fits(cost):
            return False
        self.producers += 1
        self._update()
        return True

    def shrink_producer(self, count: int) -> None:
        """Return what ``count`` calls of :meth:`extend_producer` have granted."""
        self.producers -= count
        self._update()

    def spent_bytes(self) -> int:
        """Return the left side of the invariant: all that is spent, reserved by running transfers, or lent."""
        return self._spent() + self.running * WINDOW_MIN + self.lent

    def free_fraction(self, stalled_elsewhere: int = 0) -> float:
        """Return what part of the slots' memory is free, from 0 to 1. Loans that have not stalled count as free.

        ``stalled_elsewhere`` is how many bytes of stalled loans other processes have.
        """
        free = self._lendable_bytes - self.division.call_reserve - self.stalled_loans - stalled_elsewhere
        # What closed connections have left in the heap is used again by the next ones.
        idle_slots = max(0, self.division.slots - (self.running - self.express))
        free += min(max(0, self._process_cost - self._connections_cost()), idle_slots * self._connection_cost)
        # A balancer that hashes would move files with each change of weight, so small changes do not count.
        free += self.memory_bytes // _DEAD_BAND_DIVISOR
        free_slots = 1 - (self.running - self.express) / self.division.slots
        return max(0.0, min(free_slots, free / (self.division.slots * (WINDOW_MIN + self._connection_cost))))

    def _free(self) -> int:
        """Return how many more bytes may be lent to far clients, or reserved for another transfer."""
        return self._lendable_bytes - self.division.call_reserve - self.lent

    def _fits(self, cost: int) -> bool:
        """Return whether ``cost`` bytes are free. Reclaim loans if that could help, but not again at once."""
        if cost <= self._free():
            return True
        now = monotonic()
        if cost <= self._free() + self.lent and now - self._reclaim_failed_at > _RECLAIM_RETRY_SECONDS:
            self.reclaim(RECLAIM_LIMIT)
            if cost <= self._free():
                return True
            self._reclaim_failed_at = now
        return False

    def _fits_in_process(self, cost: int, floor: int = 0) -> bool:
        """Return whether ``cost`` bytes of the process, and ``floor`` bytes of windows, are free: see :meth:`_fits`.

        What closed connections have left in the heap is used again, so it costs nothing more.
        """
        return self._fits(max(0, cost - self.slack_bytes) + floor)

    def _spent(self) -> int:
        # The connections are part of the process's growth.
        return self._process_cost + self.producers * self.division.producer_cost

    def _connections_cost(self) -> int:
        cost = self._cost_of(self.connections, self.running, self.handshaking, self.http2_connections, self.streams)
        return cost + self.unacknowledged * WAITING_COST

    def _own_cost(self) -> int:
        """Return what the connections of this process cost, without those of other workers."""
        return self._connections_cost()

    def _cost_of(self, connections: int, running: int, handshaking: int, http2_connections: int, streams: int) -> int:
        cost = connections * self._connection_cost + handshaking * HANDSHAKE_COST
        cost += http2_connections * HTTP2_COST + streams * STREAM_COST
        return cost + max(0, connections + streams - running) * WAITING_COST

    def _slotless(self) -> int:
        """Return how many connections and streams have no slot."""
        return self.connections + self.streams - self.running

    @property
    def worker_count(self) -> int:
        """How many processes share the budget: several in :mod:`freight.workers.shared.budget`."""
        return 1

    def should_yield_accept(self) -> bool:
        """Return whether another worker, which has fewer connections, should accept the next one."""
        return False

    @property
    def slack_bytes(self) -> int:
        """Growth beyond the cost of the connections: closed ones have left it, or their cost is set too low."""
        return self._process_cost - self._connections_cost()

    def excess(self, growth_bytes: int) -> int:
        """Return how many bytes of this growth of the process are beyond the cost of its connections."""
        return max(0, growth_bytes - self._own_cost())

    def set_process_growth(self, growth_bytes: int) -> None:
        """Count what this process has grown by since its start, where that is more than its connections cost.

        The part that UNCOUNTED_GROWTH_DIVISOR exempts is not counted.
        """
        self._process_cost = self._counted(growth_bytes, self._connections_cost())
        self._update()

    def _counted(self, growth_bytes: int, cost: int) -> int:
        """Return how much a growth counts, in bytes, in a process whose connections cost ``cost`` bytes."""
        beyond = self.memory_bytes - least_memory(self._connection_cost)
        most = (beyond - beyond // UNCOUNTED_GROWTH_DIVISOR) // self.worker_count
        return max(cost, min(growth_bytes, cost + most))

    # Windows and loans

    def reserve(self, queue: SendQueue, lane: Lane = Lane.ORDINARY) -> None:
        """Reserve a window for a transfer that begins. :meth:`can_run` must have allowed it."""
        self._count_running(queue, 1, lane)

    def release(self, queue: SendQueue, lane: Lane = Lane.ORDINARY) -> None:
        """End the reservation. What the kernel still holds for the connection is a loan until it has drained."""
        self._count_running(queue, -1, lane)

    def _count_running(self, queue: SendQueue, step: int, lane: Lane) -> None:
        account = queue.account
        # Without a loan the queue is within what is reserved, and stays so when more is.
        held = queue.queued_bytes() if step < 0 or account.borrowed else None
        self.running += step
        if lane is not _ORDINARY:
            self.express += step
            if lane is _LISTING:
                self.producers += step
        account.reserved += step * WINDOW_MIN
        if held is not None:
            self.record(queue, held)
        self._update()

    def window(self, queue: SendQueue, held: int) -> int:
        """Return how many bytes the kernel may hold for a running transfer now; it holds ``held``.

        The caller must :meth:`record` what it has handed over before any other transfer asks. Costs a system call if
        the client's receive window may be used up, and up to four more when memory is short.
        """
        account, wanted, is_far = queue.account, FAST_WINDOW, False
        own = account.reserved
        if self._guaranteed != WINDOW_MIN:
            own = own * self._guaranteed // WINDOW_MIN
        if account.peer_window < FAST_WINDOW:  # else it need not be asked again
            wanted, is_far = self._wanted(queue, held, own)
        if wanted > own + self._borrowable(account, is_far) and self.lent > account.borrowed:
            self.record(queue, held)
            self.reclaim(_RECLAIM_BATCH)
        return min(wanted, own + max(0, self._borrowable(account, is_far)))

    def _wanted(self, queue: SendQueue, held: int, own: int) -> tuple[int, bool]:
        """Ask for the path to a client. Return the window for it, whatever memory is free, and whether it is far."""
        account = queue.account
        round_trip, twice_congestion, peer_window = queue.path_info()
        if round_trip >= LONG_PATH_SECONDS:
            account.peer_window = 0  # ask each time: the congestion window changes
            return min(own + peer_window, max(twice_congestion, FAST_WINDOW), self._equal_share), True
        peer_window = max(0, peer_window - _SEGMENT_BYTES)
        if not twice_congestion and not self._half_is_free():
            peer_window = 0  # a Unix socket: what its client does not read stays in our memory
        account.peer_window = peer_window - held
        return min(own + peer_window, FAST_WINDOW), False

    def _half_is_free(self) -> bool:
        """Return whether more than half of the lendable memory is free. Reclaim some loans if it is not."""
        if 2 * self.lent >= self._lendable_bytes:
            self.reclaim(_RECLAIM_BATCH)
        return 2 * self.lent < self._lendable_bytes

    def _borrowable(self, account: SendAccount, is_far: bool) -> int:
        """Return how many bytes an account may borrow in all, with what it has borrowed already."""
        lendable = self._lendable_bytes - self.lent + account.borrowed
        return lendable - self.division.call_reserve if is_far else lendable
