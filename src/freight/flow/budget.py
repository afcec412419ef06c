"""The memory that may grow with clients: what each costs, and how much of it is whose at this moment.

**Goal.** The process's growth and the kernel's send queues together never exceed ``--memory``. A client that stops
reading pins its send queue in the kernel whatever the process does: megabytes each, unless the queue is bounded. So
what is counted is what the kernel really holds (``wmem_queued``: sent and not acknowledged, unsent, and the
bookkeeping around both), asked of each socket before and after bytes are handed to it.

**Law.** At every instant::

    connections x CONNECTION_COST + what they cost besides by kind + producers x their cost
        + running x WINDOW_MIN + lent + what is kept for small answers and for one large call  <=  memory

**Rules.**

1. A slot is a window of WINDOW_MIN bytes. A transfer runs if it can get one; otherwise it waits. Nothing is kept for
   clients that are not there.
2. A window grows by what its client has room for (its receive window). Those bytes leave the kernel though the client
   does not read, so that a client that stalls keeps WINDOW_MIN. On a short path a window is FAST_WINDOW at most; on a
   long one as much as the path takes at a time, up to an equal share of what is free and to half of the memory. What
   the kernel holds beyond WINDOW_MIN is *lent*.
3. Loans are reclaimed oldest first: when memory is short, the kernel is asked what it still holds of them.

**What is over-counted, and why.** A running transfer counts WINDOW_MIN even when its queue is empty, as it may fill it
at any time without asking. A loan counts as it was last seen, as asking costs as much as a small call. The process
counts the greater of what its connections cost and what it has grown by.
"""

from __future__ import annotations

from time import monotonic

from freight.account import Account
from freight.errors import Unservable
from freight.flow.costs import (
    CONNECTION_COST,
    ENTRY_COST,
    HANDSHAKE_COST,
    MULTIPLEX_COST,
    STREAM_COST,
    WAITING_COST,
)
from freight.flow.ledger import Ledger
from freight.ports import Sink
from freight.quantities import format_size

KIB = 1024

WINDOW_MIN = 28 * KIB
"""What one running transfer may always have in the kernel, in bytes of the kernel's memory: 500 fit in 20 MB."""

FAST_WINDOW = 200 * KIB
"""The most that a transfer may have over a short path, in bytes: three segments of the loopback in one call, the best
measured (docs/decisions/007)."""

FAR_SECONDS = 0.002
"""A path with this round trip, in seconds, or a longer one is a long path (docs/decisions/024)."""

UNGROWN_SHARE = 4
"""A quarter of the memory beyond LEAST_MEMORY is never counted as growth of the process, so that somebody can run."""

HANDSHAKE_SHARE = 8
"""TLS handshakes take at most an eighth of the memory. This limits how many are open at once."""

DOOR_SHARE = 16
"""A sixteenth of the memory is kept for connections that send a request, and for small responses."""

PRODUCER_SHARE = 64
"""A producer (one directory listing) takes at most 1/64 of the memory."""

PRODUCERS_SHARE = 4
"""All producers together take at most a quarter of the memory, so that listings do not displace downloads."""

FLOOR_SHARE = 4
"""A quarter of the slots is never given up to accept more connections."""

# The last segment of a near client's receive window does not count. The server's kernel may keep back a part of a
# segment (RFC 9293, section 3.8.6.2.1), and the client's kernel may accept less than it offered, because small packets
# cost it more memory than their bytes.
_SEGMENT_BYTES = 64 * KIB
_CALL_SHARE = 32  # at most 1/32 of the memory is kept for one large call
_PIECE_BYTES = 64 * KIB  # the largest piece that a producer makes; it costs two: one is sent while the next is made
_LISTING_ENTRIES = 4096  # the largest window of a listing, in entries (docs/decisions/005)
_LITTLE_SHARE = 64  # a 64th of the memory may be spent before the room told to a load balancer falls
_RECLAIMED_AT_MOST = 512  # loans looked at to let one more in: a quarter of a millisecond
_SEEK_SECONDS = 0.005  # how long it is believed that they do not bring enough
_RECLAIMED_AT_ONCE = 4  # loans looked at when room is short: the oldest, which are the likeliest to be over


class Budget(Ledger):
    """Divides ``memory_bytes``. ``largest``: what the kernel lets one send queue grow to by itself, in bytes.

    ``besides``: what a connection costs beyond CONNECTION_COST, by what it speaks.

    Raises :class:`~freight.errors.Unservable` for less memory than one client and its small answers need.
    """

    __slots__ = (
        "_call",
        "_cost",
        "_for_asking",
        "_kept",
        "_largest",
        "_least",
        "_pool",
        "_process",
        "_share",
        "_sought_at",
        "connections",
        "express",
        "express_slots",
        "handshakes",
        "listing_entries",
        "memory_bytes",
        "multiplexed",
        "piece_bytes",
        "producer_cost",
        "producers",
        "running",
        "shaking",
        "slots",
        "streams",
        "stuck",
        "waiting",
    )

    def __init__(self, memory_bytes: int, largest: int, besides: int = 0) -> None:
        super().__init__()
        self._cost = CONNECTION_COST + besides
        self.connections = self.running = self.waiting = self.producers = self.shaking = 0
        self.multiplexed = self.streams = 0  # connections of HTTP/2, and the streams of them all
        self._sought_at = 0.0  # when all loans were looked at, and too little had come back
        self._process = 0  # bytes that it has grown by, as far as is known
        self.express = 0  # of those who run, who have an express slot
        self.stuck = 0  # bytes lent to clients that did not move between the last two looks
        self._largest = largest
        self.resize(memory_bytes)

    def resize(self, memory_bytes: int) -> None:
        """Divide another memory from now on. Who runs goes on; raises Unservable where it is too little."""
        least = least_memory(self._cost)
        if memory_bytes < least:
            raise Unservable(f"{format_size(memory_bytes)} is too little; the least is {format_size(least)}", "memory")
        each = WINDOW_MIN + self._cost
        door = memory_bytes // DOOR_SHARE
        self.memory_bytes = memory_bytes
        self._call = min(FAST_WINDOW - WINDOW_MIN, (memory_bytes - least) // _CALL_SHARE)
        self.handshakes = max(_LEAST_HANDSHAKES, memory_bytes // HANDSHAKE_SHARE // HANDSHAKE_COST)
        self.express_slots = max(_LEAST_EXPRESS, door // 4 // each)
        self.slots = (memory_bytes - self._call - max(door, _least_door(self._cost))) // each
        share = memory_bytes // PRODUCER_SHARE
        self.piece_bytes = min(_PIECE_BYTES, max(_LEAST_PIECE, share // 8))
        self.listing_entries = min(_LISTING_ENTRIES, max(_LEAST_ENTRIES, (share - 2 * self.piece_bytes) // ENTRY_COST))
        self.producer_cost = 2 * self.piece_bytes + self.listing_entries * ENTRY_COST
        self._for_asking = max(door, _least_door(self._cost)) - self.express_slots * WINDOW_MIN - self.producer_cost
        self.reclaim(len(self._borrowers))  # whole windows were lent of the other memory
        self._divide()

    def _divide(self) -> None:
        """Compute what may be lent, after a count has changed."""
        self._process = max(self._process, self._of_connections())
        self._kept = max(0, self.express_slots - self.express) * WINDOW_MIN
        if not self.producers:
            self._kept += self.producer_cost
        self._kept += max(0, self._for_asking - self._asking() * (self._cost + WAITING_COST))
        # What nobody has been promised, with what is kept for one large call.
        self._pool = self.memory_bytes - self._kept - self._spent() - self.running * WINDOW_MIN
        running = max(1, self.running)
        # Less than WINDOW_MIN if the process has outgrown its costs.
        self._least = WINDOW_MIN + min(0, self._pool // running)
        share = max(FAST_WINDOW, WINDOW_MIN + (self._pool - self._call) // running)
        self._share = min(share, self._largest, self.memory_bytes // 2)

    # What costs the same for all

    def opened(self, count: int = 1) -> None:
        """So many connections more, or fewer."""
        self.connections += count
        self._divide()

    def queued(self, count: int = 1) -> None:
        """So many more, or fewer, wait in line."""
        self.waiting += count
        self._divide()

    def shook(self, count: int) -> None:
        """So many more, or fewer, have still to shake hands."""
        self.shaking += count
        self._divide()

    def can_open(self) -> bool:
        """Whether one more connection can be paid for: so that a part of the slots is left, whoever comes to wait.

        So many as the door has room for always can, as that is kept for them.
        """
        asking, asking_cost = self._asking() + 1, self._cost + WAITING_COST
        if asking * asking_cost <= self._for_asking:
            return self.spent_bytes() + asking_cost <= self.memory_bytes  # after a resize it may be gone
        least = max(0, self.slots // FLOOR_SHARE + 1 - self.running) * WINDOW_MIN
        # Within what those who left have not given back it costs nothing more.
        return self._fits(max(0, asking_cost - self.slack_bytes) + least)

    def shared(self, multiplexed: int, streams: int = 0) -> None:
        """So many connections of HTTP/2 more, or fewer, and so many streams."""
        self.multiplexed += multiplexed
        self.streams += streams
        self._divide()

    def can_share(self, *, stream: bool) -> bool:
        """Whether a stream more can be paid for, or else a connection's being of HTTP/2."""
        cost = STREAM_COST + WAITING_COST if stream else MULTIPLEX_COST
        if stream and (self._asking() + 1) * (self._cost + WAITING_COST) <= self._for_asking:
            return self.spent_bytes() + cost <= self.memory_bytes  # it is kept at the door
        return self._fits(max(0, cost - self.slack_bytes))

    def can_run(self, *, express: bool = False, produced: bool = False) -> bool:
        """Whether one more transfer's window can be paid for; ``express``: it is kept; ``produced``: and a producer."""
        producer = self.producer_cost if produced else 0
        if producer and self.producers and (self.producers + 1) * producer * PRODUCERS_SHARE > self.memory_bytes:
            return False
        cost = (0 if express else WINDOW_MIN) + (producer if self.producers else 0)
        if cost and not self._fits(cost):
            return False
        return self.spent_bytes() + WINDOW_MIN + producer <= self.memory_bytes  # after a resize less may be kept

    def spent_bytes(self) -> int:
        """All that is spent, lent or promised at this moment, in bytes, without what is kept."""
        return self._spent() + self.running * WINDOW_MIN + self.lent

    def room(self, stuck_elsewhere: int = 0) -> float:
        """What part of the memory for downloads is free, from 0 to 1. A loan that moves comes back, so it is free.

        ``stuck_elsewhere``: bytes of those that do not, in other processes.
        """
        free = self._pool - self._call - self.stuck - stuck_elsewhere
        # A little that is spent is no less room: a balancer that hashes would move files with each change of weight.
        free += self.memory_bytes // _LITTLE_SHARE
        untaken = 1 - (self.running - self.express) / self.slots
        return max(0.0, min(untaken, free / (self.slots * (WINDOW_MIN + self._cost))))

    def _free(self) -> int:
        """What may be lent over long paths, or promised to a transfer more, in bytes."""
        return self._pool - self._call - self.lent

    def _fits(self, cost: int) -> bool:
        if cost <= self._free():
            return True
        now = monotonic()
        # Hundreds of loans are not looked at where all of them would not be enough, nor again at once.
        if cost <= self._free() + self.lent and now - self._sought_at > _SEEK_SECONDS:
            self.reclaim(_RECLAIMED_AT_MOST)
            if cost <= self._free():
                return True
            self._sought_at = now
        return False

    def _spent(self) -> int:
        return max(self._process, self._of_connections()) + self.producers * self.producer_cost

    def _of_connections(self) -> int:
        return self._cost_of(self.connections, self.running, self.shaking, self.multiplexed, self.streams)

    def _own_cost(self) -> int:
        """The same of this process alone."""
        return self._of_connections()

    def _cost_of(self, connections: int, running: int, shaking: int, multiplexed: int, streams: int) -> int:
        cost = connections * self._cost + shaking * HANDSHAKE_COST
        cost += multiplexed * MULTIPLEX_COST + streams * STREAM_COST
        return cost + max(0, connections + streams - running) * WAITING_COST

    def _asking(self) -> int:
        """How many connections, and streams, do not run."""
        return self.connections + self.streams - self.running

    @property
    def sharing(self) -> int:
        """How many processes divide it: one, or several workers (:mod:`freight.flow.shared_budget`)."""
        return 1

    def behind(self) -> bool:
        """Whether another process is to accept the next connection, as it has fewer."""
        return False

    @property
    def slack_bytes(self) -> int:
        """What the process has beyond the cost of its connections: left by those who are gone, or a cost too low."""
        return self._process - self._of_connections()

    def excess(self, process_bytes: int) -> int:
        """How much of what this process has grown by is beyond the cost of its connections, in bytes."""
        return max(0, process_bytes - self._own_cost())

    def grown(self, process_bytes: int) -> None:
        """The process has grown by so much since it began: what that is beyond the cost of connections is spent too.

        Not all of it: where it is most of a small memory, nobody could run.
        """
        self._process = self._counted(process_bytes, self._of_connections())
        self._divide()

    def _counted(self, process_bytes: int, cost: int) -> int:
        """What is spent of such a growth by a process whose connections cost so much."""
        beyond = self.memory_bytes - least_memory(self._cost)
        most = (beyond - beyond // UNGROWN_SHARE) // self.sharing
        return max(cost, min(process_bytes, cost + most))

    # What each has in the kernel

    def promise(self, sink: Sink, *, express: bool = False, produced: bool = False) -> None:
        """A connection begins to run, or a stream of one: it has a window of its own now."""
        self._run(sink, 1, express, produced)

    def withdraw(self, sink: Sink, *, express: bool = False, produced: bool = False) -> None:
        """It runs no more. What the kernel still holds for it is lent to it until it has gone."""
        self._run(sink, -1, express, produced)

    def _run(self, sink: Sink, step: int, express: bool, produced: bool) -> None:
        held = sink.held()
        self.running += step
        self.express += step * express
        self.producers += step * produced
        sink.account.base += step * WINDOW_MIN
        self.note(sink, held)
        self._divide()

    def window(self, sink: Sink, held: int) -> int:
        """How many bytes of the kernel's memory a transfer may have now, of which it has ``held``.

        What is handed over is to be noted before anybody else asks.
        """
        account, far = sink.account, False
        own = account.base if self._least == WINDOW_MIN else account.base * self._least // WINDOW_MIN
        wanted = FAST_WINDOW
        if account.room < FAST_WINDOW:  # else it need not be asked again
            round_trip, takes, offered = sink.path()
            far = round_trip >= FAR_SECONDS
            if not far:
                offered = max(0, offered - _SEGMENT_BYTES)
            account.room = 0 if far else offered - held
            wanted = min(own + offered, min(max(takes, FAST_WINDOW), self._share) if far else FAST_WINDOW)
        if wanted > own + self._lendable(account, far) and self.lent > account.over:
            self.note(sink, held)
            self.reclaim(_RECLAIMED_AT_ONCE)
        return min(wanted, own + max(0, self._lendable(account, far)))

    @property
    def ample(self) -> bool:
        """Whether more than half of the pool is free. A transfer is then lent a whole window, and not asked after each
        call how much of it is used.
        """
        return 2 * self.lent < self._pool

    def _lendable(self, account: Account, far: bool) -> int:
        """How many bytes an account may be lent in all. Only near clients are lent what is kept for one large call,
        because it comes back at once.
        """
        lendable = self._pool - self.lent + account.over
        return lendable - self._call if far else lendable


_LEAST_ENTRIES = 32
_LEAST_PIECE = 4 * KIB
_LEAST_PRODUCER = 2 * _LEAST_PIECE + _LEAST_ENTRIES * ENTRY_COST
_LEAST_HANDSHAKES = 8
_LEAST_EXPRESS = 2  # a listing, and a small answer beside it


def _least_door(cost: int) -> int:
    return _LEAST_EXPRESS * WINDOW_MIN + 4 * (cost + WAITING_COST) + _LEAST_PRODUCER


def least_memory(cost: int = CONNECTION_COST) -> int:
    """The least memory that works, in bytes: one download, a listing and a small answer beside it, and some who ask.

    ``cost``: of a connection.
    """
    return -(-(_least_door(cost) + WINDOW_MIN + cost) // (64 * KIB)) * 64 * KIB


LEAST_MEMORY = least_memory()
"""The same where nothing but clear text is spoken."""
