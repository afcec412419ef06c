"""The memory that may grow with clients: what each costs, and how much of it is whose at this moment.

A client that stops reading pins its send queue in the kernel whatever the process does: megabytes each, unless the
queue is bounded. So what is counted here is what the kernel really holds (``wmem_queued``: sent and not acknowledged,
unsent, and the bookkeeping around both), asked of each socket before more is handed to it. Nothing is handed over that
has not been counted first, so the sum holds at every instant and not only on the average::

    connections x their cost + those that do not run x WAITING_COST + those that shake hands x HANDSHAKE_COST
        + all that is pinned + producers x their cost + what is kept for small answers  <=  memory

Whoever runs has a window of WINDOW_MIN. What is free beyond that is *lent*: to who drains it, up to a pool, by the
call. A loan is over when its bytes have left the kernel, which is looked at when the next one asks.
"""

from __future__ import annotations

from time import monotonic

from freight.errors import Unservable
from freight.flow.ledger import Ledger
from freight.ports import Sink
from freight.quantities import format_size

KIB = 1024

WINDOW_MIN = 30 * KIB
"""What one running transfer may always have in the kernel, in bytes of the kernel's memory."""

CONNECTION_COST = 5 * KIB
"""What one open connection costs in bytes of the process, running or idle; tests/load holds it to what is measured."""

TLS_COST = 17 * KIB
"""What a connection that speaks TLS costs besides: OpenSSL's state of it (docs/decisions/014)."""

HANDSHAKE_COST = 32 * KIB
"""What one may cost besides until it has shaken hands, in bytes: OpenSSL's buffers of messages and records."""

HANDSHAKE_SHARE = 8
"""One in so many bytes is the most that all who shake hands take besides: it bounds how many do at once."""

WAITING_COST = 3 * KIB // 2
"""What one that does not run may cost besides, in bytes: a place in the line, or a short answer on its way out."""

MULTIPLEX_COST = 24 * KIB
"""What a connection of HTTP/2 costs besides, in bytes of the process: its state, two tables of HPACK, a frame."""

STREAM_COST = 6 * KIB
"""What one of its streams costs, in bytes of the process, from request to end."""

ONCE_BYTES = 512 * KIB
"""What the first clients allocate once and for all, in bytes: stacks of threads, caches, modules."""

ONCE_SHARE = 32
"""Of a small memory it is one in so many bytes instead, so that the whole still holds."""

UNGROWN_SHARE = 4
"""One in so many bytes, beyond LEAST_MEMORY, is never taken by the process's growth besides its connections."""

PIECE_BYTES = 64 * KIB
"""The largest piece that a producer makes, in bytes. It costs two: one is sent while the next is made."""

ENTRY_COST = 700
"""What an entry in a listing's window costs, in bytes: two passes of it while they are sorted, its name and its key."""

LISTING_ENTRIES = 4096
"""The largest window of a listing, in entries (docs/decisions/005). A small budget has smaller ones."""

CROWD = 500
"""So many clients always find their least window: room for them is lent for the moment only (see FLOAT_SHARE)."""

FIRST_WINDOW = 132 * KIB
"""What a new transfer may hold, in bytes: small answers then leave in one call."""

FAST_WINDOW = 200 * KIB
"""What a transfer that has drained TRUSTED_BYTES may hold, in bytes: three segments of the loopback in one call, the
best measured (docs/decisions/007). It has more where its equal share is more and its link takes more at a time."""

TRUSTED_BYTES = 256 * KIB
"""How far a transfer must have come for more than FIRST_WINDOW, in bytes: further than who stalls from the start."""

FIRST_SHARE = 4
"""Once one in so many bytes that may be lent is lent to newcomers, more of them have WINDOW_MIN: some stand still from
the start."""

DOOR_SHARE = 14
"""One in so many bytes is kept for who is neither running nor lent to: small answers, and connections that ask."""

PRODUCER_SHARE = 64
"""One in so many bytes is what one producer may take: a window of entries of a directory."""

PRODUCERS_SHARE = 4
"""One in so many bytes is what all producers together may take, so that listings do not end downloads."""

FLOOR_SHARE = 4
"""One in so many slots is never given up to let more connections in."""

FLOAT_SHARE = 22
"""One in so many bytes may be lent though it is promised: to who drains what it has at once, and never beyond what is
free.

Should all of it end with clients that stand still, what is left is still a window for everybody (docs/decisions/011):
a call of WINDOW_MIN takes 28 KiB of it. Where a process has grown more than is reckoned, that is lent less.
"""

SLOW_SHARE = 4
"""One in so many bytes that may be lent is left to who is slow, however many others drain all they have at once."""

DRAINED_BYTES = 4 * KIB
"""With so much or less in the kernel a transfer has drained all it had."""

LOAN_CALLS = 16
"""For so many calls more a whole window is lent to who has drained all it had, and is not counted anew meanwhile."""

_LOAN = FAST_WINDOW - WINDOW_MIN  # a whole one
_MANY = 1 << 20  # as many as may come
_RECLAIMED_AT_MOST = 512  # loans looked at to let one more in: a quarter of a millisecond
_SEEK_SECONDS = 0.005  # how long it is believed that they do not bring enough
_RECLAIMED_AT_ONCE = 4  # loans looked at when room is short: the oldest, which are the likeliest to be over


class Budget(Ledger):
    """Divides ``memory_bytes``. ``largest``: what the kernel lets one send queue grow to by itself, in bytes.

    ``besides``: what a connection costs beyond CONNECTION_COST, by what it speaks.

    Raises :class:`~freight.errors.Unservable` for less memory than one client and its small answers need.
    """

    __slots__ = (
        "_cost",
        "_crowd",
        "_float",
        "_for_asking",
        "_for_windows",
        "_kept",
        "_largest",
        "_most",
        "_pool",
        "_process",
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
        "scarce",
        "shaking",
        "slots",
        "streams",
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
        self._largest = largest
        self.resize(memory_bytes)

    def resize(self, memory_bytes: int) -> None:
        """Divide another memory from now on. Who runs goes on; raises Unservable where it is too little."""
        least = least_memory(self._cost)
        if memory_bytes < least:
            raise Unservable(f"memory: {format_size(memory_bytes)} is too little; the least is {format_size(least)}")
        each = WINDOW_MIN + self._cost
        door = memory_bytes // DOOR_SHARE
        self.memory_bytes = memory_bytes
        self.handshakes = max(_LEAST_HANDSHAKES, memory_bytes // HANDSHAKE_SHARE // HANDSHAKE_COST)
        self.express_slots = max(_LEAST_EXPRESS, door // 4 // each)
        self.slots = (memory_bytes - max(door, _least_door(self._cost))) // each
        share = memory_bytes // PRODUCER_SHARE
        self.piece_bytes = min(PIECE_BYTES, max(_LEAST_PIECE, share // 8))
        self.listing_entries = min(LISTING_ENTRIES, max(_LEAST_ENTRIES, (share - 2 * self.piece_bytes) // ENTRY_COST))
        self.producer_cost = 2 * self.piece_bytes + self.listing_entries * ENTRY_COST
        self._for_asking = max(door, _least_door(self._cost)) - self.express_slots * WINDOW_MIN - self.producer_cost
        self._crowd = min(CROWD, self.slots)
        self._divide()

    def _divide(self) -> None:
        """Reckon anew what all have together, after anything that costs the same for all has come or gone."""
        self._process = max(self._process, self._of_connections())
        self._kept = max(0, self.express_slots - self.express) * WINDOW_MIN
        if not self.producers:
            self._kept += self.producer_cost
        self._kept += max(0, self._for_asking - self._asking() * (self._cost + WAITING_COST))
        self._for_windows = self.memory_bytes - self._kept - self._spent()
        pool = self._for_windows - max(self.running, self._crowd) * WINDOW_MIN
        pool -= max(0, self._crowd - self.connections) * self._cost
        least, short = self.memory_bytes // FLOAT_SHARE, self.running * WINDOW_MIN - self._for_windows
        self._pool, self._float, self.scarce = pool, max(0, pool, least - max(0, short)), pool < least
        if self._largest * self.running <= pool:
            self._most = 0  # no bound
        else:
            self._most = min(max(FAST_WINDOW, WINDOW_MIN + pool // max(1, self.running)), self._largest)

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
            return self._spent() + self.pinned + asking_cost <= self.memory_bytes  # after a resize it may be gone
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
            return self._spent() + self.pinned + cost <= self.memory_bytes  # it is kept at the door
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
        """All that is spent or promised at this moment, in bytes, less what is kept at the door.

        What is lent though it is promised is there once.
        """
        return self._spent() + self.running * WINDOW_MIN + self._overlent()

    def _overlent(self, lent_elsewhere: int = 0) -> int:
        """How much more is lent than may be though it is promised, in bytes, and so is spent."""
        return max(0, self.lent + lent_elsewhere - self.memory_bytes // FLOAT_SHARE)

    def room(self, stuck_elsewhere: int = 0) -> float:
        """What part of the memory for downloads is free, from 0 to 1. A loan that moves comes back, so it is free.

        ``stuck_elsewhere``: bytes of those that do not, in other processes.
        """
        stuck = self.stuck + stuck_elsewhere
        free = self.memory_bytes - self._kept - self._spent() - self.running * WINDOW_MIN - stuck
        untaken = 1 - (self.running - self.express) / self.slots
        return max(0.0, min(untaken, free / (self.slots * (WINDOW_MIN + self._cost))))

    def _fits(self, cost: int) -> bool:
        short = self._short(cost)
        # Hundreds of loans are not looked at where all of them would not be enough, nor again at once: a crowd may ask.
        if short <= 0 or short > self._overlent():
            return short <= 0
        now = monotonic()
        if now - self._sought_at > _SEEK_SECONDS:
            self.reclaim(_RECLAIMED_AT_MOST, called_in=True)
            short = self._short(cost)
            if short > 0:
                self._sought_at = now
        return short <= 0

    def _short(self, cost: int) -> int:
        """How many bytes are missing for a cost; 0 or less: it is there."""
        return self._kept + self.spent_bytes() + cost - self.memory_bytes

    def _spent(self) -> int:
        return max(self._process, self._of_connections()) + self.producers * self.producer_cost

    def _of_connections(self) -> int:
        return self._cost_of(self.connections, self.running, self.shaking, self.multiplexed, self.streams)

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

    def grown(self, process_bytes: int) -> None:
        """The process has grown by so much since it began: what that is beyond the cost of connections is spent too.

        Not all of it: ONCE_BYTES are of no client, and where it is most of a small memory, nobody could run.
        """
        self._process = self._counted(process_bytes, self._of_connections())
        self._divide()

    def _counted(self, process_bytes: int, cost: int) -> int:
        """What is spent of such a growth by a process whose connections cost so much."""
        grown = process_bytes - min(ONCE_BYTES, self.memory_bytes // ONCE_SHARE) // self.sharing
        beyond = self.memory_bytes - least_memory(self._cost)
        most = (beyond - beyond // UNGROWN_SHARE) // self.sharing
        return max(cost, min(grown, cost + most))

    # What each has in the kernel

    def promise(self, sink: Sink, *, express: bool = False, produced: bool = False) -> None:
        """A connection begins to run, or a stream of one: it has a window of its own now."""
        self._run(sink, 1, express, produced)

    def withdraw(self, sink: Sink, *, express: bool = False, produced: bool = False) -> None:
        """It runs no more. What the kernel still holds for it is lent to it until it has gone."""
        self._run(sink, -1, express, produced)

    def _run(self, sink: Sink, step: int, express: bool, produced: bool) -> None:
        self.running += step
        self.express += step * express
        self.producers += step * produced
        self._divide()
        sink.account.base += step * WINDOW_MIN
        self.note(sink, sink.account.pinned)

    def window(self, sink: Sink, held: int, moved: int, quick: bool) -> int:
        """How many bytes a transfer may have in the kernel now, which holds ``held`` of it and has had ``moved``.

        ``quick``: it has drained all it had, at once; where loans are ``scarce``, only those who do have any.
        0: as many as the kernel likes, while there is room for the host's maximum for everyone who runs. What is then
        handed over is to be noted, unless the account has calls, for which it is noted. Nobody else may ask meanwhile.
        """
        account = sink.account
        if moved < TRUSTED_BYTES:
            others = self.ventured if account.proven else self.ventured - account.over
            most = window = WINDOW_MIN
            if others * FIRST_SHARE < self._float:
                # What its peer has room for leaves the kernel though nobody reads it there.
                most = window = max(WINDOW_MIN, min(FIRST_WINDOW, held + sink.offered()))
        else:
            if not account.proven:
                self.prove(account)
            # Without a bound it may take as much as a queue ever does; those who ended may still hold as much.
            window = self._most
            if window > account.need:
                window = min(window, account.need or FAST_WINDOW)
            most = window or self._largest
        own = self._float if quick else self._pool
        lendable = own + account.over + account.base
        free = self._for_windows + account.pinned
        if most <= lendable - self.lent and most <= free - self.pinned:
            return self._granted(sink, window, quick)
        self.note(sink, held)
        lendable = own + account.over + account.base
        for _ in range(_RECLAIMED_AT_ONCE if self._borrowers else 1):
            self.reclaim(1)
            if most <= lendable - self.lent and most - held <= self._for_windows - self.pinned:
                return self._granted(sink, window, quick)
        lent = max(account.base, lendable - self.lent)
        return max(held, min(most, lent, held + self._for_windows - self.pinned)) or 1  # 0 would be no bound

    def _granted(self, sink: Sink, window: int, quick: bool) -> int:
        """A window that there is room for. The usual one is lent for several calls: asking costs as much as a third."""
        if quick and window == FAST_WINDOW:
            self.lend(sink, window, LOAN_CALLS)
        return window

    @property
    def tight(self) -> bool:
        """Whether somebody may find less than its own window, which is promised: a process costs more than is reckoned.

        What others are known to have may then be more than they have: what was handed over within their own windows is
        not looked at again when it goes.
        """
        return self._for_windows - self.pinned < WINDOW_MIN

    def measure(self, sink: Sink) -> None:
        """Ask how much its link takes at a time, which decides whether it may have more than FAST_WINDOW."""
        if self._most > FAST_WINDOW:
            sink.account.need = max(FAST_WINDOW, 2 * sink.under_way())

    def whole_loans(self) -> int:
        """How many who have drained all they had could be lent a whole window now; many where nothing is short.

        0 only while loans are about that may come back in a moment: then it is worth one.
        """
        if not self._most or self._float < _LOAN:
            return _MANY
        free = self._free()
        if free < _LOAN <= free + self.lent - self.stuck:
            self.reclaim(_RECLAIMED_AT_ONCE)
            free = self._free()
        return free // _LOAN if free + self.lent - self.stuck >= _LOAN else _MANY

    def _free(self) -> int:
        for_slow = 0 if self.scarce else self._pool // SLOW_SHARE
        return max(0, min(self._float - for_slow - self.lent, self._for_windows - self.pinned))


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
