"""What the workers of one server tell each other: a row of numbers each, in memory that all of them have.

Only its own worker writes a row, so that writing needs no lock; what must not be done twice, such as taking the last
slot, is done under one. It is the kernel's (fcntl(2)): whoever is killed with it in hand gives it back. A worker that
has died leaves its row to the supervisor, who clears it.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from typing import Self

from freight.errors import Unservable

COUNTS = ("connections", "running", "waiting", "producers", "shaking", "express", "multiplexed", "streams")
"""What a budget counts that costs the same for all; each has a column, in this order, from COUNTED on."""

LENT, CHANGES, PROCESS, READY, PID, SINCE, STUCK, EXHAUSTED, METER = 1, 2, 3, 4, 5, 6, 20, 21, 24
"""Columns: bytes lent, how often the counts have changed, bytes of the process; whether it
accepts, its pid; from SINCE on, for each line, when who has waited longest there came (0: nobody has); bytes lent
to who stands still; whether it is out of descriptors; from METER on what it has counted since the start of the server,
by all who had this row."""

COUNTED = 12

DRAINING, RESTARTS, SUCCEEDED = 0, 1, 2
"""Columns of the row that is nobody's: whether all stop, how many workers were started in another's place,
whether another server accepts in the place of this one."""

CELLS = 1 << 14
_WIDTH = 64  # columns


class Rows:
    """The rows of ``workers``, made before they are. As a context manager it is the lock, which its holder may take
    again. Raises Unservable where the system refuses the shared memory.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        fields = (workers + 1) * _WIDTH + (workers + 1) * CELLS
        try:
            self._fd = os.memfd_create("freight", os.MFD_CLOEXEC)
            os.ftruncate(self._fd, fields * 8)
            shared = memoryview(mmap.mmap(self._fd, fields * 8)).cast("q")
            self._bells = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(workers)]
        except OSError as error:
            raise Unservable(
                f"--workers: this system refuses the memory that workers share: {error.strerror} (memfd_create(2), "
                "eventfd(2)); use --workers 1, or allow these calls in the sandbox"
            ) from error
        self._rows = [shared[at * _WIDTH : (at + 1) * _WIDTH] for at in range(workers + 1)]
        cells = shared[(workers + 1) * _WIDTH :]
        self._cells = [cells[at * CELLS : (at + 1) * CELLS] for at in range(workers + 1)]
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
        """The row of each worker."""
        return iter(self._rows[:-1])

    def row(self, number: int) -> memoryview[int]:
        """One worker's."""
        return self._rows[number]

    def others(self, number: int) -> tuple[memoryview[int], ...]:
        """Those of all other workers."""
        return tuple(row for at, row in enumerate(self._rows[:-1]) if at != number)

    @property
    def common(self) -> memoryview[int]:
        """The row that is nobody's."""
        return self._rows[-1]

    def cells(self, number: int) -> memoryview[int]:
        """CELLS numbers of one worker, or of all together (``workers``), for what is looked up by client."""
        return self._cells[number]

    def bell(self, number: int) -> int:
        """A descriptor that can be read when something has changed that this worker waits for: eventfd(2)."""
        return self._bells[number]

    def ring(self, but: int, column: int) -> None:
        """Ring at every worker, ``but`` for one, whose row has something in this column."""
        for number, row in enumerate(self._rows[:-1]):
            if number != but and row[column]:
                try:
                    os.eventfd_write(self._bells[number], 1)
                except BlockingIOError:
                    pass  # it has 2**64 - 2 to answer already

    def clear(self, number: int) -> None:
        """Its worker has died: what it held is there for the others. What it has counted stays."""
        row, cells = self._rows[number], self._cells[number]
        with self:
            for column in range(METER):
                if column != CHANGES:
                    row[column] = 0
            for at in range(CELLS):
                if cells[at]:
                    cells[at] = 0
            row[CHANGES] += 1
        self.ring(number, COUNTED + COUNTS.index("waiting"))


def cells_of(key: str | bytes) -> tuple[int, int]:
    """Where a client's numbers are: two places, so that hardly any two clients share both.

    The same in all workers, as they are forked from one process: they have its secret of hash().
    """
    hashed = hash(key)
    return hashed % CELLS, hashed // CELLS % CELLS
