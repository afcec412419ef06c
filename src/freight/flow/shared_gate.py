"""One gate for several workers: each gives slots to its own clients, and never one that another worker may have given.

A slot is taken under the lock of the rows. One that comes free is for the line whose first has waited longest, in
whichever worker that is; the one that has it rings, and where nobody comes for it in a moment, takes it itself: a
worker may be stopped, or its client gone.
"""

from __future__ import annotations

import asyncio
import os

from freight.core.line import Key
from freight.flow.gate import PLACES, Gate, Lane, Place, Slot, Terms
from freight.flow.meter import Meter
from freight.flow.rounds import Rounds
from freight.flow.rows import COUNTED, COUNTS, SINCE, Rows, cells_of
from freight.flow.shared_budget import SharedBudget
from freight.model import Refusal

_PATIENCE_SECONDS = 0.02  # how long a free slot waits for another worker's line
_WAITING = COUNTED + COUNTS.index("waiting")
_RECLAIMED_AT_MOST = 512


class SharedGate(Gate):
    """The gate of worker ``number``."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        budget: SharedBudget,
        rounds: Rounds,
        meter: Meter,
        terms: Terms,
        rows: Rows,
        number: int,
    ) -> None:
        super().__init__(loop, budget, rounds, meter, terms)
        self._rows = rows
        self._number = number
        self._mine = rows.row(number)
        self._others = rows.others(number)
        self._own_cells = rows.cells(number)
        self._other_cells = [rows.cells(at) for at in range(rows.workers) if at != number]
        self._offered_at: dict[Place, float] = {}  # since when a free slot has waited for another worker's line
        self._timer: asyncio.TimerHandle | None = None
        loop.add_reader(rows.bell(number), self._answer)

    def take_slot(self, slot: Slot) -> bool:
        """See :class:`Gate`."""
        with self._rows:
            place = slot.lane, slot.produced
            if self._lines[place] or not self._earliest(place):
                return super().take_slot(slot)
            if not self._may_run(slot):
                return False
            self._rows.ring(self._number, self._column(place))
            return False

    def call_next(self) -> None:
        """See :class:`Gate`."""
        with self._rows:
            super().call_next()
            self._publish()

    def give_back(self, slot: Slot) -> None:
        """See :class:`Gate`."""
        super().give_back(slot)
        if slot.lane is Lane.ORDINARY:
            self._count(slot.key, -1)
        self._rows.ring(self._number, _WAITING)

    def progressed(self, taken_bytes: int) -> None:
        """See :class:`Gate`."""
        super().progressed(taken_bytes)
        self._rows.ring(self._number, _WAITING)  # once a second, should a bell have been missed

    def close(self) -> None:
        """Hear no bell any more."""
        self._loop.remove_reader(self._rows.bell(self._number))
        if self._timer is not None:
            self._timer.cancel()

    def _take(self, slot: Slot) -> None:
        super()._take(slot)
        if slot.lane is Lane.ORDINARY:
            self._count(slot.key, 1)

    def _count(self, key: Key, step: int) -> None:
        for cell in set(cells_of(key)):
            self._own_cells[cell] += step

    def _running_of(self, key: Key) -> int:
        # The lesser of two: others that share one of the two do not count.
        theirs = min(sum(cells[cell] for cells in self._other_cells) for cell in cells_of(key))
        return super()._running_of(key) + theirs

    def _cannot_wait(self) -> Refusal | None:
        theirs = sum(row[_WAITING] for row in self._others)
        if not self._draining and self.waiting + theirs >= self.terms.queue:
            return Refusal.FULL
        return super()._cannot_wait()

    def _queue(self, count: int) -> None:
        super()._queue(count)
        self._publish()
        if count > 0:
            self._wind()  # should what is free now be left

    def _is_turn(self, place: Place) -> bool:
        first = self._earliest(place)
        if not first or self._since(place) <= first:
            self._offered_at.pop(place, None)
            return True
        now = self._loop.time()
        if now - self._offered_at.setdefault(place, now) >= _PATIENCE_SECONDS:
            return True
        self._rows.ring(self._number, self._column(place))
        self._wind()
        return False

    def _publish(self) -> None:
        """Say how long who waits has waited."""
        for place in PLACES:
            self._mine[self._column(place)] = self._since(place)

    def _since(self, place: Place) -> int:
        """When the first of a line came, in nanoseconds; 0: nobody waits who may run."""
        found = self._lines[place].oldest()
        return int(found[1].since * 1e9) if found and self._is_allowed(place[0], found[0]) else 0

    def _earliest(self, place: Place) -> int:
        """The same for all other workers' lines together."""
        column = self._column(place)
        return min([row[column] for row in self._others if row[column]], default=0)

    def _column(self, place: Place) -> int:
        return SINCE + PLACES.index(place)

    def _wind(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(_PATIENCE_SECONDS, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self.call_next()

    def _answer(self) -> None:
        """The bell was rung: room may have come free elsewhere, or others need what may have come back to us."""
        try:
            os.eventfd_read(self._rows.bell(self._number))
        except BlockingIOError:
            return
        lent = self._budget.lent
        if any(row[_WAITING] for row in self._others):
            self._budget.reclaim(_RECLAIMED_AT_MOST)
        self.call_next()
        if self._budget.lent < lent:
            self._rows.ring(self._number, _WAITING)
