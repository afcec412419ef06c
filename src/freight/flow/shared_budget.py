"""One budget for several workers: each reckons with what all of them have, as if it were the only one.

The law is that of :class:`~freight.flow.budget.Budget`, over sums: counts and bytes of the others are read from their
rows before anything is decided. What is still on its way between two workers is less than one call of each; where that
could be too much, the decision is made under the lock, and what it allows is written down before the lock is free.
"""

from __future__ import annotations

from time import monotonic

from freight.flow.budget import Budget
from freight.flow.rows import CHANGES, COUNTED, COUNTS, LENT, PROCESS, READY, STUCK, Rows
from freight.ports import Sink

_COLUMNS = tuple(enumerate(COUNTS, COUNTED))
_CONNECTIONS = COUNTED + COUNTS.index("connections")
_RING_SECONDS = 0.01
_AHEAD = 2  # connections more than another worker has, before that one is to accept


class SharedBudget(Budget):
    """The budget of worker ``number``. Its counts, and ``lent``, are those of all workers."""

    __slots__ = (
        "_mine",
        "_number",
        "_others",
        "_own_process",
        "_racing",
        "_rang_at",
        "_rows",
        "_seen",
        "_their_lent",
        "_theirs",
    )

    def __init__(self, memory_bytes: int, largest: int, besides: int, rows: Rows, number: int) -> None:
        self._rows = rows
        self._number = number
        self._mine = rows.row(number)
        self._others = rows.others(number)
        self._theirs = dict.fromkeys(COUNTS, 0)  # what the others' rows said when they were last read
        self._their_lent = 0
        self._seen = -1
        self._own_process = 0
        self._racing = 0  # with more room than this, in bytes, no two can take the same
        self._rang_at = 0.0
        super().__init__(memory_bytes, largest, besides)

    @property
    def sharing(self) -> int:
        """See :class:`Budget`."""
        return self._rows.workers

    def _divide(self) -> None:
        mine, others, changed = self._mine, self._others, False
        for column, name in _COLUMNS:
            own = getattr(self, name) - self._theirs[name]
            if mine[column] != own:
                mine[column] = own
                changed = True
            theirs = self._theirs[name] = sum([row[column] for row in others])
            setattr(self, name, own + theirs)
        own_process = max(self._own_process, self._own_cost())
        if mine[PROCESS] != own_process:
            mine[PROCESS] = own_process
            changed = True
        if changed:
            mine[CHANGES] += 1
        self._process = own_process + sum([row[PROCESS] for row in others])
        super()._divide()
        self._racing = self.sharing * self._share

    def _own_cost(self) -> int:
        own = dict(zip(COUNTS, self._mine[COUNTED:], strict=False))
        return self._cost_of(*(own[name] for name in ("connections", "running", "shaking", "multiplexed", "streams")))

    def _refresh(self) -> None:
        """Read again what the others have."""
        lent = changes = 0
        for row in self._others:
            lent += row[LENT]
            changes += row[CHANGES]
        self.lent += lent - self._their_lent
        self._their_lent = lent
        if changes != self._seen:
            self._seen = changes
            self._divide()

    def note(self, sink: Sink, held: int) -> None:
        """See :class:`~freight.flow.ledger.Ledger`."""
        super().note(sink, held)
        self._mine[LENT] = self.lent - self._their_lent

    def window(self, sink: Sink, held: int) -> int:
        """See :class:`Budget`."""
        self._refresh()
        if self._pool - self.lent > self._racing:
            return super().window(sink, held)
        with self._rows:
            self._refresh()
            window = super().window(sink, held)
            # Until it is noted.
            self._mine[LENT] += max(0, window - sink.account.base - sink.account.over)
        return window

    def can_open(self) -> bool:
        """See :class:`Budget`."""
        with self._rows:
            self._refresh()
            can = super().can_open()
            if can:
                self._claim("connections")
        return can

    def can_share(self, *, stream: bool) -> bool:
        """See :class:`Budget`."""
        with self._rows:
            self._refresh()
            can = super().can_share(stream=stream)
            if can:
                self._claim("streams" if stream else "multiplexed")
        return can

    def _claim(self, name: str) -> None:
        """One more is to come: the others see it from now on, here it is counted when it has come."""
        column = COUNTED + COUNTS.index(name)
        self._mine[column] = getattr(self, name) - self._theirs[name] + 1
        self._mine[CHANGES] += 1

    def can_run(self, *, express: bool = False, produced: bool = False) -> bool:
        """See :class:`Budget`. To be asked, and what it allows done, under the lock."""
        self._refresh()
        return super().can_run(express=express, produced=produced)

    def room(self, stuck_elsewhere: int = 0) -> float:
        """See :class:`Budget`: of all workers."""
        self._refresh()
        return super().room(stuck_elsewhere + sum([row[STUCK] for row in self._others]))

    def _fits(self, cost: int) -> bool:
        if super()._fits(cost):
            return True
        now = monotonic()
        if now - self._rang_at > _RING_SECONDS:
            self._rang_at = now
            self._rows.ring(self._number, LENT)  # of what they have lent some may have come back
        return False

    @property
    def slack_bytes(self) -> int:
        """See :class:`Budget`: of this process."""
        return self._mine[PROCESS] - self._own_cost()

    def grown(self, process_bytes: int) -> None:
        """See :class:`Budget`: of this process."""
        self._own_process = self._counted(process_bytes, self._own_cost())
        self._mine[STUCK] = self.stuck
        self._divide()

    def behind(self) -> bool:
        """See :class:`Budget`."""
        least = [row[_CONNECTIONS] for row in self._others if row[READY]]
        return self.connections - self._theirs["connections"] >= min(least, default=1 << 30) + _AHEAD
