"""The memory that may grow with clients: what each costs, and how much of it is whose at this moment.

A client that stops reading pins its send queue in the kernel whatever the process does: megabytes each, unless the
queue is bounded. So what is counted here is what the kernel really holds (``wmem_queued``: sent and not acknowledged,
unsent, and the bookkeeping around both), asked of each socket before more is handed to it. Nothing is handed over that
has not been counted first, so the sum holds at every instant and not only on the average::

    connections x CONNECTION_COST + those that do not run x WAITING_COST + all that is pinned
        + producers x their cost + what is kept for small answers  <=  memory

Whoever runs has a window of WINDOW_MIN. What is free beyond that is *lent*: to who drains it, up to a pool, by the
call. A loan is over when its bytes have left the kernel, which is looked at when the next one asks.
"""

from __future__ import annotations

from collections import OrderedDict

from freight.errors import Unservable
from freight.ports import Sink
from freight.quantities import format_size

KIB = 1024

WINDOW_MIN = 32 * KIB
"""What one running transfer may always have in the kernel, in bytes of the kernel's memory."""

CONNECTION_COST = 4 * KIB
"""What one open connection costs in bytes of the process, running or idle; tests/load holds it to what is measured."""

WAITING_COST = 2 * KIB
"""What one that does not run may cost besides, in bytes: a place in the line, or a short answer on its way out."""

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
best measured (docs/decisions/007). It has more where its equal share is more."""

TRUSTED_BYTES = 1024 * KIB
"""How far a transfer must have come for more than FIRST_WINDOW, in bytes: further than who stalls from the start."""

DOOR_SHARE = 14
"""One in so many bytes is kept for who is neither running nor lent to: small answers, and connections that ask."""

PRODUCER_SHARE = 64
"""One in so many bytes is what one producer may take: a window of entries of a directory."""

PRODUCERS_SHARE = 4
"""One in so many bytes is what all producers together may take, so that listings do not end downloads."""

FLOOR_SHARE = 4
"""One in so many slots is never given up to let more connections in."""

FLOAT_SHARE = 80
"""One in so many bytes may be lent though it is promised: to who drains it at once, and never beyond what is free."""

_RECLAIMED_AT_MOST = 512  # loans looked at to let one more in: a quarter of a millisecond
_RECLAIMED_AT_ONCE = 4  # loans looked at when room is short: the oldest, which are the likeliest to be over


class Budget:
    """Divides ``memory_bytes``. ``largest``: what the kernel lets one send queue grow to by itself, in bytes.

    Raises :class:`~freight.errors.Unservable` for less memory than one client and its small answers need.
    """

    __slots__ = (
        "_borrowers",
        "_crowd",
        "_express",
        "_for_windows",
        "_kept",
        "_largest",
        "_lendable",
        "_most",
        "_process",
        "connections",
        "express_slots",
        "lent",
        "listing_entries",
        "memory_bytes",
        "piece_bytes",
        "pinned",
        "producer_cost",
        "producers",
        "running",
        "slots",
        "waiting",
    )

    def __init__(self, memory_bytes: int, largest: int) -> None:
        self.connections = self.running = self.waiting = self.producers = 0
        self._process = 0  # bytes of the process that connections have taken and not given back
        self._express = 0  # of those who run, who have an express slot
        self.pinned = 0  # bytes of all accounts
        self.lent = 0  # of them, beyond what each may always have
        self._largest = largest
        self._borrowers: OrderedDict[Sink, None] = OrderedDict()  # the longest known first
        self.resize(memory_bytes)

    def resize(self, memory_bytes: int) -> None:
        """Divide another memory from now on. Who runs goes on; raises Unservable where it is too little."""
        if memory_bytes < LEAST_MEMORY:
            raise Unservable(
                f"memory: {format_size(memory_bytes)} is too little; the least is {format_size(LEAST_MEMORY)}"
            )
        each = WINDOW_MIN + CONNECTION_COST
        door = memory_bytes // DOOR_SHARE
        self.memory_bytes = memory_bytes
        self.express_slots = max(_LEAST_EXPRESS, door // 4 // each)
        self.slots = (memory_bytes - max(door, _LEAST_DOOR)) // each
        share = memory_bytes // PRODUCER_SHARE
        self.piece_bytes = min(PIECE_BYTES, max(_LEAST_PIECE, share // 8))
        self.listing_entries = min(LISTING_ENTRIES, max(_LEAST_ENTRIES, (share - 2 * self.piece_bytes) // ENTRY_COST))
        self.producer_cost = 2 * self.piece_bytes + self.listing_entries * ENTRY_COST
        self._crowd = min(CROWD, self.slots)
        self._divide()

    def _divide(self) -> None:
        """Reckon anew what all have together, after anything that costs the same for all has come or gone."""
        self._process = max(self._process, self._of_connections())
        self._kept = max(0, self.express_slots - self._express) * WINDOW_MIN
        if not self.producers:
            self._kept += self.producer_cost
        self._for_windows = self.memory_bytes - self._kept - self._spent()
        pool = self._for_windows - max(self.running, self._crowd) * WINDOW_MIN
        pool -= max(0, self._crowd - self.connections) * CONNECTION_COST
        self._lendable = max(pool, self.memory_bytes // FLOAT_SHARE)
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

    def can_open(self) -> bool:
        """Whether one more connection can be paid for: so that a part of the slots is left, whoever comes to wait."""
        least = max(0, self.slots // FLOOR_SHARE + 1 - self.running) * WINDOW_MIN
        return self._fits(CONNECTION_COST + WAITING_COST + least)

    def can_run(self, *, express: bool = False, produced: bool = False) -> bool:
        """Whether one more transfer's window can be paid for; ``express``: it is kept; ``produced``: and a producer."""
        after = (self.producers + 1) * self.producer_cost
        if produced and self.producers and after * PRODUCERS_SHARE > self.memory_bytes:
            return False
        cost = (0 if express else WINDOW_MIN) + (self.producer_cost if produced and self.producers else 0)
        return not cost or self._fits(cost)

    def spent_bytes(self) -> int:
        """All that is spent or promised at this moment, in bytes, less what is kept for small answers."""
        return self._spent() + self.running * WINDOW_MIN + self.lent

    def _fits(self, cost: int) -> bool:
        if self._kept + self.spent_bytes() + cost > self.memory_bytes:
            self.reclaim(_RECLAIMED_AT_MOST)
        return self._kept + self.spent_bytes() + cost <= self.memory_bytes

    def _spent(self) -> int:
        return max(self._process, self._of_connections()) + self.producers * self.producer_cost

    def _of_connections(self) -> int:
        return self.connections * CONNECTION_COST + max(0, self.connections - self.running) * WAITING_COST

    @property
    def slack_bytes(self) -> int:
        """What connections that are gone have left in the process: it is spent until it has been given back."""
        return self._process - self._of_connections()

    def given_back(self) -> None:
        """The process has given its free pages back to the operating system."""
        self._process = self._of_connections()
        self._divide()

    # What each has in the kernel

    def promise(self, sink: Sink, *, express: bool = False, produced: bool = False) -> None:
        """A connection begins to run: it has a window of its own now."""
        self._run(sink, 1, WINDOW_MIN, express, produced)

    def withdraw(self, sink: Sink, *, express: bool = False, produced: bool = False) -> None:
        """It runs no more. What the kernel still holds for it is lent to it until it has gone."""
        self._run(sink, -1, 0, express, produced)

    def _run(self, sink: Sink, step: int, base: int, express: bool, produced: bool) -> None:
        self.running += step
        self._express += step * express
        self.producers += step * produced
        self._divide()
        sink.account.base = base
        self.note(sink, sink.account.pinned)

    def window(self, sink: Sink, held: int, moved: int) -> int:
        """How many bytes a transfer may have in the kernel now, which holds ``held`` of it and has had ``moved``.

        0: as many as the kernel likes, while there is room for the host's maximum for everyone who runs. What is then
        handed over is to be noted; nobody else may ask meanwhile.
        """
        if moved < TRUSTED_BYTES:
            most = window = FIRST_WINDOW
        else:
            # Without a bound it may take as much as a queue ever does; those who ended may still hold as much.
            window = self._most
            most = window or self._largest
        account = sink.account
        lendable = self._lendable + account.over + account.base
        free = self._for_windows + account.pinned
        if most <= lendable - self.lent and most <= free - self.pinned:
            return window
        self.note(sink, held)
        lendable = self._lendable + account.over + account.base
        for _ in range(_RECLAIMED_AT_ONCE):
            self.reclaim(1)
            if most <= lendable - self.lent and most - held <= self._for_windows - self.pinned:
                return window
        lent = max(account.base, lendable - self.lent)
        return max(held, min(most, lent, held + self._for_windows - self.pinned)) or 1  # 0 would be no bound

    def note(self, sink: Sink, pinned: int) -> None:
        """From now on a connection is known to have so many bytes in the kernel."""
        account = sink.account
        over = pinned - account.base
        if over > 0:
            self._borrowers[sink] = None
        else:
            over = 0
            if account.over:
                self._borrowers.pop(sink, None)
        self.pinned += pinned - account.pinned
        self.lent += over - account.over
        account.pinned, account.over = pinned, over

    def forget(self, sink: Sink) -> None:
        """A connection has closed, and the kernel holds nothing for it."""
        self.note(sink, 0)

    def reclaim(self, count: int) -> None:
        """Look at the ``count`` oldest loans and take back what has left the kernel."""
        borrowers = self._borrowers
        for _ in range(min(count, len(borrowers))):
            sink = next(iter(borrowers))
            account = sink.account
            held = sink.held()
            if held >= account.pinned:
                borrowers.move_to_end(sink)
                continue
            over = held - account.base
            if over <= 0:
                over = 0
                del borrowers[sink]
            else:
                borrowers.move_to_end(sink)
            self.pinned += held - account.pinned
            self.lent += over - account.over
            account.pinned, account.over = held, over


_LEAST_ENTRIES = 32
_LEAST_PIECE = 4 * KIB
_LEAST_PRODUCER = 2 * _LEAST_PIECE + _LEAST_ENTRIES * ENTRY_COST
_LEAST_EXPRESS = 2  # a listing, and a small answer beside it
_LEAST_DOOR = _LEAST_EXPRESS * WINDOW_MIN + 4 * (CONNECTION_COST + WAITING_COST) + _LEAST_PRODUCER
LEAST_MEMORY = -(-(_LEAST_DOOR + WINDOW_MIN + CONNECTION_COST) // (64 * KIB)) * 64 * KIB
"""The least memory that works, in bytes: one download, a listing and a small answer beside it, and some who ask."""
