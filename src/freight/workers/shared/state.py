"""What the workers of one server share: a row of numbers for each, in one mapping (memfd_create(2), mmap(2)).

**Goal.** Each worker decides by what all workers have, without asking any of them.

**Rules.** Only its own worker writes a row, so writing needs no lock. What must not be done twice, such as taking the
last slot, is done under one lock: a record lock of the kernel (fcntl(2)), which a worker that is killed loses. The
supervisor clears the row of a dead worker, except for its counters, which the next worker carries on.

**Left out.** A reader may see the counts of a row at different moments. What that can amount to is stated where it is
read (:mod:`freight.workers.shared.budget`).
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from enum import IntEnum, auto
from typing import Self

from freight.errors import ConfigurationError
from freight.memory.budget import Lane
from freight.model import Counts
from freight.workers.aggregate import COUNTER_COLUMNS, total


class Column(IntEnum):
    """Columns of a worker's row. Those in COUNTS are the counts of its budget, under the same names."""

    LENT = auto()  # bytes
    CHANGES = auto()  # how often the counts have changed
    PROCESS_COST = auto()  # bytes
    STALLED_LOANS = auto()  # bytes
    PID = auto()
    READY = auto()  # 1 while it accepts connections and is not to stop
    ROOT_HANGS = auto()  # 1 while the served path's file system does not answer
    EXHAUSTED = auto()  # 1 while it has no descriptor to accept with
    CONNECTIONS = auto()
    RUNNING = auto()
    WAITING = auto()
    PRODUCERS = auto()
    HANDSHAKING = auto()
    EXPRESS = auto()
    HTTP2_CONNECTIONS = auto()
    UNACKNOWLEDGED = auto()
    STREAMS = auto()
    ORDINARY_SINCE = auto()  # in nanoseconds, when the oldest request of this queue arrived; 0: none, or it may not run
    EXPRESS_SINCE = auto()
    LISTING_SINCE = auto()
    COUNTERS = auto()  # the first of the counters: since the start of the server, by all workers that had this row


class GlobalColumn(IntEnum):
    """Columns of the row that belongs to no worker."""

    DRAINING = auto()  # 1 while all workers stop
    RESTARTS = auto()  # how many workers were started in place of a dead one
    HANDED_OVER = auto()  # 1 once another server accepts in place of this one
    RATE_USED_UNTIL = auto()  # in nanoseconds, until when the total rate is used up


COUNTS = tuple(Column(number) for number in range(Column.CONNECTIONS, Column.STREAMS + 1))
"""The columns of what a budget counts."""

SINCE = {Lane.ORDINARY: Column.ORDINARY_SINCE, Lane.EXPRESS: Column.EXPRESS_SINCE, Lane.LISTING: Column.LISTING_SINCE}
"""The column for the oldest request of each lane's queue."""

HASH_SLOTS = 1 << 14
"""How many numbers each worker, and the total of all, has for its clients: see :func:`hash_slots_of`."""

_MOST_REPORTED = 16
# After the counters: hashes of what the worker has reported to the operator; 0: nothing
_REPORTED = slice(Column.COUNTERS + COUNTER_COLUMNS, Column.COUNTERS + COUNTER_COLUMNS + _MOST_REPORTED)
_WIDTH = _REPORTED.stop


class SharedState:
    """The rows of ``worker_count`` workers. Make it before they are forked.

    Enter it to take the lock; its holder may enter again.
    Raises ConfigurationError where the system refuses the shared memory.
    """

    def __init__(self, worker_count: int) -> None:
        self.worker_count = worker_count
        fields = (worker_count + 1) * (_WIDTH + HASH_SLOTS)
        try:
            self._fd = os.memfd_create("freight", os.MFD_CLOEXEC)
            os.ftruncate(self._fd, fields * 8)
            shared = memoryview(mmap.mmap(self._fd, fields * 8)).cast("q")
            self._eventfds = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(worker_count)]
        except OSError as error:
            raise ConfigurationError(
                f"--workers: this system refuses the memory that workers share: {error.strerror} (memfd_create(2), "
                "eventfd(2)); use --workers 1, or allow these calls in the sandbox"
            ) from error
        self._rows = [shared[at * _WIDTH : (at + 1) * _WIDTH] for at in range(worker_count + 1)]
        slots = shared[(worker_count + 1) * _WIDTH :]
        self._hash_slots = [slots[at * HASH_SLOTS : (at + 1) * HASH_SLOTS] for at in range(worker_count + 1)]
        self._depth = 0

    def __enter__(self) -> Self:
        if not self._depth:
            fcntl.lockf(self._fd, fcntl.LOCK_EX)
        self._depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)

    def __iter__(self) -> Iterator[memoryview[int]]:
        """Iterate over the rows of the workers."""
        return iter(self._rows[:-1])

    def total(self, column: Column) -> int:
        """Return the sum of a column over all workers."""
        return sum([row[column] for row in self])

    def counts(self) -> Counts:
        """Return the counters of all workers since the start of the server."""
        return total(row[Column.COUNTERS :] for row in self)

    def row(self, number: int) -> memoryview[int]:
        """Return the row of worker ``number``."""
        return self._rows[number]

    def others(self, number: int) -> tuple[memoryview[int], ...]:
        """Return the rows of all workers except ``number``."""
        return tuple(row for at, row in enumerate(self._rows[:-1]) if at != number)

    @property
    def global_row(self) -> memoryview[int]:
        """The row of :class:`GlobalColumn`, which belongs to no worker."""
        return self._rows[-1]

    def hash_slots(self, number: int) -> memoryview[int]:
        """Return HASH_SLOTS numbers, indexed by :func:`hash_slots_of`: a worker's, or of all (``worker_count``)."""
        return self._hash_slots[number]

    def eventfd(self, number: int) -> int:
        """Return the eventfd(2) that becomes readable when worker ``number`` should look for free slots."""
        return self._eventfds[number]

    def report(self, number: int, subject: str) -> bool:
        """Note that worker ``number`` has found something to report. Return whether no other one has reported it.

        A worker that has reported too much already says it in any case.
        """
        hashed = hash(subject) or 1
        with self:
            own = self._reported(number)
            if 0 in own and hashed not in own:
                own[list(own).index(0)] = hashed
            return not any(hashed in self._reported(other) for other in range(self.worker_count) if other != number)

    def withdraw(self, number: int, subject: str) -> bool:
        """Note that what a worker has reported is over for it. Return whether it is for every worker."""
        hashed = hash(subject) or 1
        with self:
            own = self._reported(number)
            for at, each in enumerate(own):
                if each == hashed:
                    own[at] = 0
            return not any(hashed in self._reported(other) for other in range(self.worker_count))

    def _reported(self, number: int) -> memoryview[int]:
        return self._rows[number][_REPORTED]

    def notify(self, sender: int, column: Column) -> None:
        """Wake each worker whose row is not 0 in this column, except ``sender``."""
        for number, row in enumerate(self._rows[:-1]):
            if number != sender and row[column]:
                try:
                    os.eventfd_write(self._eventfds[number], 1)
                except BlockingIOError:
                    pass  # the counter is full, so the worker will wake anyway

    def clear(self, number: int) -> None:
        """Free what a dead worker held. Its counters stay."""
        row, slots = self._rows[number], self._hash_slots[number]
        with self:
            for column in range(Column.COUNTERS):
                if column != Column.CHANGES:
                    row[column] = 0
            reported = self._reported(number)
            for at in range(_MOST_REPORTED):
                reported[at] = 0
            for at in range(HASH_SLOTS):
                if slots[at]:
                    slots[at] = 0
            row[Column.CHANGES] += 1
        self.notify(number, Column.WAITING)


def hash_slots_of(key: str | bytes) -> tuple[int, int]:
    """Return the two hash slots of a client; hardly any two clients share both.

    All workers return the same: they are forked from one process, so they share its seed of hash().
    """
    hashed = hash(key)
    return hashed % HASH_SLOTS, hashed // HASH_SLOTS % HASH_SLOTS
