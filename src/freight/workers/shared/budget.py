"""One budget for several workers. Each decides by the sums over all workers, as if it were the only process.

**Invariant.** That of :mod:`freight.memory.budget`, over the sums: each worker reads the counts and the lent bytes of
the others from their rows before it decides.

**Rules.** While there is more memory than a window for each worker, windows are granted without a lock: two workers
cannot take the same bytes. Below that, and for all that costs a fixed amount (a connection, a stream, a slot), the
decision is made under the lock, and what it allows is written to the row before the lock is released.

**Over-counted.** A window that was granted under the lock counts as lent until the transfer records what it used.

**Left out.** Bytes that another worker records between the reading and the decision: less than one call each. Answers
that another worker keeps meanwhile: less than a piece of a listing.
"""

from __future__ import annotations

from time import monotonic

from freight.memory.budget import Budget, Lane
from freight.memory.costs import WAITING_COST
from freight.memory.ledger import SendQueue
from freight.workers.shared.state import COUNTS, Column, SharedState

# A column is read as a global name: that is faster than an attribute of an enum.
_LENT, _CHANGES, _PROCESS_COST = Column.LENT, Column.CHANGES, Column.PROCESS_COST
_NAMES = tuple((column, column.name.lower()) for column in COUNTS)
_OWN_COSTS = (
    Column.CONNECTIONS,
    Column.RUNNING,
    Column.HANDSHAKING,
    Column.HTTP2_CONNECTIONS,
    Column.STREAMS,
)
_NOTIFY_SECONDS = 0.01
_MORE_CONNECTIONS = 2  # than the worker with the fewest: then that one should accept


class SharedBudget(Budget):
    """The budget of worker ``number`` of those in ``state``. Its counts, and ``lent``, are those of all workers."""

    __slots__ = (
        "_lock_below",
        "_notified_at",
        "_other_counts",
        "_other_rows",
        "_others_lent",
        "_own_growth",
        "_own_row",
        "_seen_changes",
        "number",
        "state",
    )

    def __init__(self, memory_bytes: int, max_queue: int, extra_cost: int, state: SharedState, number: int) -> None:
        self.state = state
        self.number = number
        self._own_row = state.row(number)
        self._other_rows = state.others(number)
        self._other_counts = {name: 0 for _, name in _NAMES}  # as they were last read
        self._others_lent = 0
        self._seen_changes = -1
        self._own_growth = 0
        self._lock_below = 0  # with more bytes free than this, no two workers can take the same
        self._notified_at = 0.0
        super().__init__(memory_bytes, max_queue, extra_cost)

    @property
    def worker_count(self) -> int:
        return self.state.worker_count

    def _update(self) -> None:
        own_row, other_rows, changed = self._own_row, self._other_rows, False
        for column, name in _NAMES:
            own = getattr(self, name) - self._other_counts[name]
            if own_row[column] != own:
                own_row[column] = own
                changed = True
            others = self._other_counts[name] = sum([row[column] for row in other_rows])
            setattr(self, name, own + others)
        own_cost = max(self._own_growth, self._own_cost())
        if own_row[_PROCESS_COST] != own_cost:
            own_row[_PROCESS_COST] = own_cost
            changed = True
        if changed:
            own_row[_CHANGES] += 1
        self._process_cost = own_cost + sum([row[_PROCESS_COST] for row in other_rows])
        super()._update()
        self._lock_below = self.worker_count * self._equal_share

    def _own_cost(self) -> int:
        cost = self._cost_of(*[self._own_row[column] for column in _OWN_COSTS])
        return cost + self._own_row[Column.UNACKNOWLEDGED] * WAITING_COST

    def _refresh(self) -> None:
        """Read again what the other workers have."""
        lent = changes = 0
        for row in self._other_rows:
            lent += row[_LENT]
            changes += row[_CHANGES]
        self.lent += lent - self._others_lent
        self._others_lent = lent
        if changes != self._seen_changes:
            self._seen_changes = changes
            self._update()

    def record(self, queue: SendQueue, held: int) -> None:
        super().record(queue, held)
        self._own_row[_LENT] = self.lent - self._others_lent

    def window(self, queue: SendQueue, held: int) -> int:
        self._refresh()
        if self._lendable_bytes - self.lent > self._lock_below:
            return super().window(queue, held)
        with self.state:
            self._refresh()
            window = super().window(queue, held)
            self._own_row[_LENT] += max(0, window - queue.account.reserved - queue.account.borrowed)
        return window

    def can_open(self) -> bool:
        with self.state:
            self._refresh()
            return super().can_open() and self._claim(Column.CONNECTIONS, self.connections)

    def can_open_http2(self) -> bool:
        with self.state:
            self._refresh()
            return super().can_open_http2() and self._claim(Column.HTTP2_CONNECTIONS, self.http2_connections)

    def can_open_stream(self) -> bool:
        with self.state:
            self._refresh()
            return super().can_open_stream() and self._claim(Column.STREAMS, self.streams)

    def _claim(self, column: Column, count: int) -> bool:
        """Show one more to the other workers at once, and return True. This worker counts it when it has opened."""
        self._own_row[column] = count - self._other_counts[column.name.lower()] + 1
        self._own_row[_CHANGES] += 1
        return True

    def can_run(self, lane: Lane = Lane.ORDINARY) -> bool:
        """Return whether one more transfer can run. The caller must hold the lock until it has reserved its window."""
        self._refresh()
        return super().can_run(lane)

    def can_lend(self, queue: SendQueue, cost: int) -> bool:
        self._refresh()
        return self._lendable_bytes - self.lent > self._lock_below and super().can_lend(queue, cost)

    def extend_producer(self) -> bool:
        with self.state:
            self._refresh()
            return super().extend_producer()

    def free_fraction(self, stalled_elsewhere: int = 0) -> float:
        self._refresh()
        return super().free_fraction(stalled_elsewhere + sum([row[Column.STALLED_LOANS] for row in self._other_rows]))

    def _fits(self, cost: int) -> bool:
        if super()._fits(cost):
            return True
        now = monotonic()
        if now - self._notified_at > _NOTIFY_SECONDS:
            self._notified_at = now
            self.state.notify(self.number, _LENT)  # the others may have loans that have drained
        return False

    @property
    def slack_bytes(self) -> int:
        return self._own_row[_PROCESS_COST] - self._own_cost()

    def set_process_growth(self, growth_bytes: int) -> None:
        self._own_growth = self._counted(growth_bytes, self._own_cost())
        self._own_row[Column.STALLED_LOANS] = self.stalled_loans
        self._update()

    def should_yield_accept(self) -> bool:
        fewest = min([row[Column.CONNECTIONS] for row in self._other_rows if row[Column.READY]], default=1 << 30)
        return self.connections - self._other_counts["connections"] >= fewest + _MORE_CONNECTIONS
